"""local engine: what is done stays done, what is not is made again, and both look as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from rawsynth import storage
from rawsynth.corpus.verify import verify
from rawsynth.engine.local import generate
from rawsynth.engine.observer import Observer
from rawsynth.engine.resources import available_cores, torch_threads
from rawsynth.engine.summary import Summary
from rawsynth.errors import CorpusError, OutputError, UsageError
from rawsynth.pipeline.config import build_config

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]
Records = Callable[[str | Path], dict[str, dict[str, Any]]]

SHARDS = {"read": {"images_per_shard": 2}, "write": {"part_size": 12_000}}


def everything_under(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file."""
    stats = {p.relative_to(folder).as_posix(): p.stat() for p in folder.rglob("*") if p.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def hidden(folder: Path) -> list[str]:
    return [name for name in everything_under(folder) if any(part.startswith(".") for part in name.split("/"))]


@pytest.fixture
def series(make_series: Callable[[int], Path]) -> Path:
    """Twelve photographs, six shards."""
    return make_series(12)


# ---- going on ----


def test_finished_shards_are_not_touched(series: Path, tmp_path: Path, make_corpus: Make) -> None:
    first = make_corpus(series, tmp_path / "corpus", **SHARDS)
    assert (first.shards, first.done, first.skipped_shards, first.exit_code) == (6, 6, 0, 0)
    before = everything_under(tmp_path / "corpus")
    again = make_corpus(series, tmp_path / "corpus", **SHARDS)
    assert (again.done, again.skipped_shards, again.samples, again.exit_code) == (6, 6, 12, 0)
    after = everything_under(tmp_path / "corpus")
    before.pop("dataset.json"), after.pop("dataset.json")
    assert after == before


def test_only_what_is_missing_is_made(series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    tars, before = hash_tars(corpus), everything_under(corpus)
    (corpus / "records/images-00002.json").unlink()
    (corpus / "images-00002-00.tar").write_bytes(b"half")
    (corpus / "records/images-00004.json").unlink()
    (corpus / "images-00004-00.tar").unlink()
    summary = make_corpus(series, corpus, **SHARDS)
    assert (summary.done, summary.skipped_shards) == (6, 4)
    assert hash_tars(corpus) == tars
    changed = {name for name, stat in everything_under(corpus).items() if before[name] != stat}
    assert all("00002" in name or "00004" in name or name == "dataset.json" for name in changed)


def test_what_a_killed_run_left_goes(series: Path, tmp_path: Path, make_corpus: Make) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    (corpus / "records/images-00001.json").unlink()
    for name in ("dataset.json", "images-00001-00.tar", "images-00000-07.tar", "records/images-00001.json"):
        storage.AtomicFile(str(corpus / name)).write(b"half")
    assert len(hidden(corpus)) == 4
    make_corpus(series, corpus, **SHARDS)
    assert hidden(corpus) == []


def test_extend_leaves_what_is_there_and_adds_shards(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, photo: Callable[..., bytes],
    read_samples: Callable[..., dict[str, Any]],
) -> None:  # fmt: skip
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    before, tars = everything_under(corpus), hash_tars(corpus)
    for name in ("a0.png", "z0.png", "z1.png"):
        (series / name).write_bytes(photo(20))
    assert make_corpus(series, corpus, **SHARDS).samples == 12
    summary = make_corpus(series, corpus, **SHARDS, run={"extend": True})
    assert (summary.shards, summary.skipped_shards, summary.samples) == (8, 6, 15)
    after = everything_under(corpus)
    assert {name: after[name] for name in tars} == {name: before[name] for name in tars}
    make_corpus(series, tmp_path / "fresh", **SHARDS)
    assert read_samples(tmp_path / "fresh") == read_samples(corpus)  # the same samples, in shards of other members


# ---- killed anywhere ----

# Forks children that make a corpus, from a process that has imported everything, and ends them in all sorts of ways.
RUNNER = r"""
import contextlib, hashlib, json, os, random, shutil, signal, sys, time
from pathlib import Path
from rawsynth.corpus.verify import verify
from rawsynth.engine.local import generate
from rawsynth.pipeline.config import build_config

def child(values, before=lambda: None):
    pid = os.fork()
    if pid:
        return pid
    try:
        before()
        os._exit(generate(build_config(values)).exit_code)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(77)

def finish(values):
    return os.waitstatus_to_exitcode(os.waitpid(child(values), 0)[1])

def state(values, code):
    corpus = Path(values["output"])
    files = [p for p in corpus.rglob("*") if p.is_file()]
    return {
        "code": code,
        "tars": {p.relative_to(corpus).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
                 for p in files if p.suffix == ".tar"},
        "hidden": [str(p) for p in files if p.name.startswith(".")],
        "problems": verify(str(corpus)).problems,
    }

def random_kills(values, wanted, seed):
    started = time.perf_counter()
    states = [state(values, finish(values))]
    usual = time.perf_counter() - started
    shutil.rmtree(values["output"])
    rng, kills = random.Random(seed), 0
    while kills < wanted:
        pid = child(values)
        time.sleep(rng.uniform(0, usual))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == -signal.SIGKILL:
            kills += 1
        else:  # it was faster: what it made counts, and the next one starts from nothing
            states.append(state(values, code))
            shutil.rmtree(values["output"])
    states.append(state(values, finish(values)))
    return states

def crash_at(call):
    # Dies at the call-th half step: odd before a file gets its name, even after it has.
    replace, half_steps = os.replace, 0
    def step():
        nonlocal half_steps
        half_steps += 1
        if half_steps == call:
            os._exit(99)
    def noted(*args):
        step()
        replace(*args)
        step()
    os.replace = noted

def every_crash(values, prepared, then):
    states = []
    for call in range(1, 10_000):
        shutil.rmtree(values["output"], ignore_errors=True)
        if prepared:
            shutil.copytree(prepared, values["output"])
        code = os.waitstatus_to_exitcode(os.waitpid(child(values, lambda: crash_at(call)), 0)[1])
        if code != 99:
            break
        for run in then:
            states.append(state(values, finish({**values, "run": {**values["run"], **run}})))
    return states

job = json.load(sys.stdin)
print(json.dumps(globals()[job.pop("do")](**job)))
"""


def run_job(**job: Any) -> list[dict[str, Any]]:
    """Run a job of RUNNER; returns what was there each time a run came to its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(job), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    states: list[dict[str, Any]] = json.loads(done.stdout)
    return states


def values_for(source: Path, output: Path, **values: Any) -> dict[str, Any]:
    common = {"run": {"threads": 2}, "method": {"method": "unprocess"}, **SHARDS}
    return {"input": str(source), "output": str(output), **common, **values}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_at_random_moments(series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, seed: int) -> None:
    make_corpus(series, tmp_path / "whole", **SHARDS)
    states = run_job(do="random_kills", values=values_for(series, tmp_path / "killed"), wanted=12, seed=seed)
    for state in states:
        assert state == {"code": 0, "tars": hash_tars(tmp_path / "whole"), "hidden": [], "problems": []}


@pytest.mark.slow
def test_a_crash_around_every_file_s_appearance(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    for path in sorted(series.iterdir())[4:]:
        path.unlink()
    make_corpus(series, tmp_path / "whole", **SHARDS)
    values = values_for(series, tmp_path / "killed")
    states = run_job(do="every_crash", values=values, prepared=None, then=[{}])
    assert len(states) == 2 * 8  # around the plan, four parts, two records and the card
    for state in states:
        assert state == {"code": 0, "tars": hash_tars(tmp_path / "whole"), "hidden": [], "problems": []}


@pytest.mark.slow
def test_a_crash_while_losses_are_retried(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, photo: Callable[..., bytes]
) -> None:
    """A shard that is made again is not done until it is: neither the old record nor half of the new parts count."""
    for path in sorted(series.iterdir())[4:]:
        path.unlink()
    for name in ("p00.png", "p03.png"):
        (series / name).write_bytes(b"")
    make_corpus(series, tmp_path / "prepared", **SHARDS)
    for index in (0, 3):
        (series / f"p{index:02d}.png").write_bytes(photo(index))
    make_corpus(series, tmp_path / "whole", **SHARDS)
    values = values_for(series, tmp_path / "killed", run={"threads": 2, "retry_errors": True})
    states = run_job(
        do="every_crash", values=values, prepared=str(tmp_path / "prepared"), then=[{"retry_errors": False}, {}]
    )
    assert len(states) >= 2 * 2 * 7
    for plain, retried in zip(states[::2], states[1::2], strict=True):
        assert (plain["code"], plain["problems"]) == (0, [])
        assert retried == {"code": 0, "tars": hash_tars(tmp_path / "whole"), "hidden": [], "problems": []}


SLOW_COMMAND = """
import sys, time
from rawsynth.pipeline import views
decode = views.decode_srgb
def slow(*args, **options):
    time.sleep(0.1)
    return decode(*args, **options)
views.decode_srgb = slow
from rawsynth.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def started(series: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line at work, slowly, with its first shards done."""
    command = [sys.executable, "-c", SLOW_COMMAND, "generate", str(series), str(tmp_path / "corpus")]
    options = ["--images-per-shard", "2", "--part-size", "12000", "--threads", "1", "--quiet", "--method", "unprocess"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not (tmp_path / "corpus/records/images-00001.json").exists():
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_the_command_goes_on_after_a_signal(
    started: subprocess.Popen[str], series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash,
    number: int, code: int,
) -> None:  # fmt: skip
    started.send_signal(number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == code
    if number == signal.SIGINT:
        assert "interrupted; the same command goes on" in said and "Traceback" not in said
        assert hidden(tmp_path / "corpus") == []
    assert not (tmp_path / "corpus/records/images-00005.json").exists()
    summary = make_corpus(series, tmp_path / "corpus", **SHARDS)
    assert summary.exit_code == 0 and summary.skipped_shards >= 2
    make_corpus(series, tmp_path / "whole", **SHARDS)
    assert hash_tars(tmp_path / "corpus") == hash_tars(tmp_path / "whole")
    assert hidden(tmp_path / "corpus") == [] and verify(str(tmp_path / "corpus")).problems == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_an_exception_ends_every_thread(
    series: Path, tmp_path: Path, make_corpus: Make, error: type[BaseException]
) -> None:
    class Stopping(Observer):
        def progress(self, shard: object, progress: object) -> None:
            raise error("stop")

    before = threading.active_count()
    values = {"input": str(series), "output": str(tmp_path / "corpus"), "compute": {"batch_pixels": 1}}
    values["method"] = {"method": "unprocess"}
    with pytest.raises(error):
        generate(build_config(values), Stopping())
    assert threading.active_count() == before
    assert hidden(tmp_path / "corpus") == []
    assert make_corpus(series, tmp_path / "corpus", compute={"batch_pixels": 1}).exit_code == 0


# ---- losses ----


def test_losses_are_taken_up_again_when_asked(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, photo: Callable[..., bytes]
) -> None:
    corpus = tmp_path / "corpus"
    for name in ("p03.png", "p06.png"):
        (series / name).write_bytes(b"damaged")
    first = make_corpus(series, corpus, **SHARDS)
    assert (first.lost, first.samples, first.exit_code) == (2, 10, 0)
    (series / "p03.png").write_bytes(photo(3))
    plain = make_corpus(series, corpus, **SHARDS)
    assert (plain.lost, plain.skipped_shards) == (2, 6)
    retried = make_corpus(series, corpus, **SHARDS, run={"retry_errors": True})
    assert (retried.lost, retried.samples, retried.skipped_shards, retried.exit_code) == (1, 11, 4, 0)
    assert verify(str(corpus)).problems == []
    make_corpus(series, tmp_path / "fresh", **SHARDS)
    assert hash_tars(corpus) == hash_tars(tmp_path / "fresh")


def test_a_retry_that_fails_leaves_no_wrong_record(
    series: Path, tmp_path: Path, make_corpus: Make, photo: Callable[..., bytes]
) -> None:
    """The repaired image is there, but another file of the shard is gone meanwhile."""
    corpus = tmp_path / "corpus"
    options: dict[str, Any] = {"read": {"images_per_shard": 4}, "write": {"part_size": 1}}
    (series / "p00.png").write_bytes(b"")
    make_corpus(series, corpus, **options, compute={"batch_pixels": 1})
    (series / "p00.png").write_bytes(photo(0))
    (series / "p03.png").unlink()
    retried = make_corpus(series, corpus, **options, compute={"batch_pixels": 1}, run={"retry_errors": True})
    assert list(retried.failed) == ["images-00000"]
    plain = make_corpus(series, corpus, **options, compute={"batch_pixels": 1})
    assert plain.exit_code == 1 or verify(str(corpus)).problems == []


LIMITS = [(None, 6, False, 0), (0, 1, True, 1), (1, 2, True, 1), (2, 4, True, 1), (4, 6, False, 0)]


@pytest.mark.parametrize(("max_errors", "done", "over", "code"), LIMITS)
def test_max_errors(
    series: Path, tmp_path: Path, make_corpus: Make, max_errors: int | None, done: int, over: bool, code: int
) -> None:
    """Losses in shards 0, 1, 3 and 3: the run stops at the first shard that begins past the limit."""
    for index in (0, 3, 6, 7):
        (series / f"p{index:02d}.png").write_bytes(b"")
    summary = make_corpus(series, tmp_path / "corpus", **SHARDS, run={"max_errors": max_errors})
    assert (summary.done, summary.over_max_errors, summary.exit_code) == (done, over, code)
    again = make_corpus(series, tmp_path / "corpus", **SHARDS)
    assert (again.done, again.lost, again.exit_code) == (6, 4, 0)


# ---- faults of access ----


def test_an_input_out_of_reach_fails_its_shard_only(
    tmp_path: Path, make_corpus: Make, photo_tar: Callable[..., Path], hash_tars: Hash
) -> None:
    photo_tar(tmp_path / "in/00.tar", first=0)
    photo_tar(tmp_path / "in/02.tar", first=6)
    pattern, corpus = f"{tmp_path}/in/{{00..02}}.tar", tmp_path / "corpus"
    first = make_corpus(pattern, corpus)
    assert (first.shards, first.done, list(first.failed), first.exit_code) == (3, 2, ["01"], 1)
    assert "01.tar" in first.failed["01"]
    again = make_corpus(pattern, corpus)
    assert (again.done, again.skipped_shards, list(again.failed), again.exit_code) == (2, 2, ["01"], 1)
    photo_tar(tmp_path / "in/01.tar", first=3)
    last = make_corpus(pattern, corpus)
    assert (last.done, last.skipped_shards, last.failed, last.exit_code) == (3, 2, {}, 0)
    make_corpus(pattern, tmp_path / "fresh")
    assert hash_tars(corpus) == hash_tars(tmp_path / "fresh") and verify(str(corpus)).problems == []


def test_a_store_that_fails_midway_fails_its_shard_only(
    tmp_path: Path, make_corpus: Make, photo_tar: Callable[..., Path], memory: fsspec.AbstractFileSystem,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("00", "01", "02"):
        memory.pipe(f"/in/{name}.tar", photo_tar(tmp_path / "a.tar").read_bytes())
    whole = type(memory).cat_file

    def failing(fs: fsspec.AbstractFileSystem, path: str, start: int = 0, end: int | None = None) -> Any:
        if path == "/in/01.tar" and start > 3000:
            raise OSError(5, "Input/output error")
        return whole(fs, path, start, end)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", 1000)
    monkeypatch.setattr(type(memory), "cat_file", failing)
    summary = make_corpus("memory://in", tmp_path / "corpus")
    assert (summary.done, list(summary.failed), summary.lost, summary.exit_code) == (2, ["01"], 0, 1)
    monkeypatch.setattr(type(memory), "cat_file", whole)
    assert make_corpus("memory://in", tmp_path / "corpus").exit_code == 0


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_an_input_that_changed_fails_its_shard_until_it_is_accepted(
    tmp_path: Path, make_corpus: Make, photo: Callable[..., bytes], photo_tar: Callable[..., Path], kind: str
) -> None:
    source = tmp_path / "in"
    photo_tar(source / "a.tar", 2) if kind == "tar" else source.mkdir()
    (source / "a.png").write_bytes(photo(0))
    corpus = tmp_path / "corpus"
    make_corpus(source, corpus)
    name = "a" if kind == "tar" else "images-00000"
    (corpus / f"records/{name}.json").unlink()
    photo_tar(source / "a.tar", 9) if kind == "tar" else (source / "a.png").write_bytes(photo(0, height=64))
    failed = make_corpus(source, corpus)
    assert list(failed.failed) == [name] and "--retry-errors" in failed.failed[name]
    accepted = make_corpus(source, corpus, run={"retry_errors": True})
    assert (accepted.exit_code, accepted.failed) == (0, {})
    assert verify(str(corpus)).problems == []
    assert make_corpus(source, corpus).skipped_shards == accepted.shards


def test_a_finished_shard_does_not_mind_that_its_input_changed(
    series: Path, tmp_path: Path, make_corpus: Make
) -> None:
    make_corpus(series, tmp_path / "corpus", **SHARDS)
    (series / "p00.png").unlink()
    assert make_corpus(series, tmp_path / "corpus", **SHARDS).skipped_shards == 6


# ---- another configuration, damaged files ----


def test_another_configuration_is_refused_and_overwrite_starts_afresh(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    tars = hash_tars(corpus)
    with pytest.raises(UsageError, match="seed 0 -> 1"):
        make_corpus(series, corpus, **SHARDS, seed=1)
    assert hash_tars(corpus) == tars
    assert make_corpus(series, corpus, **SHARDS, seed=1, run={"overwrite": True}).skipped_shards == 0
    assert hash_tars(corpus).keys() == tars.keys()
    assert not set(hash_tars(corpus).values()) & set(tars.values())


BAD = [
    ("unknown method", {"method": {"method": "unproces"}}),
    ("half a noise", {"noise": {"shot": 0.1}}),
    ("bad device", {"compute": {"device": "tpu9"}}),
]


@pytest.mark.parametrize("values", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_overwrite_deletes_nothing_for_a_wrong_command(
    series: Path, tmp_path: Path, make_corpus: Make, values: dict[str, Any]
) -> None:
    """A slip of the fingers must not cost a corpus."""
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    before = everything_under(corpus)
    with pytest.raises(UsageError):
        make_corpus(series, corpus, **values, run={"overwrite": True})
    assert everything_under(corpus).keys() == before.keys()


@pytest.mark.parametrize("source", ["nowhere", "empty"])
def test_overwrite_deletes_nothing_for_an_input_that_is_not_there(
    series: Path, tmp_path: Path, make_corpus: Make, source: str
) -> None:
    corpus = tmp_path / "corpus"
    (tmp_path / "empty").mkdir()
    make_corpus(series, corpus, **SHARDS)
    before = everything_under(corpus)
    with pytest.raises((UsageError, OSError)):
        make_corpus(tmp_path / source, corpus, run={"overwrite": True})
    assert everything_under(corpus).keys() == before.keys()


def test_a_damaged_record_names_itself_and_its_shard_is_made_again_without_it(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(series, corpus, **SHARDS)
    tars, record = hash_tars(corpus), corpus / "records/images-00003.json"
    record.write_bytes(record.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"images-00003\.json is damaged.*Delete it"):
        make_corpus(series, corpus, **SHARDS)
    record.unlink()
    assert make_corpus(series, corpus, **SHARDS).skipped_shards == 5
    assert hash_tars(corpus) == tars


def test_a_record_of_another_configuration_does_not_count(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    make_corpus(series, corpus, **SHARDS)
    make_corpus(series, other, **SHARDS, seed=1)
    tars = hash_tars(corpus)
    for name in ("records/images-00000.json", "images-00000-00.tar"):
        (corpus / name).write_bytes((other / name).read_bytes())
    assert make_corpus(series, corpus, **SHARDS).skipped_shards == 5
    assert hash_tars(corpus) == tars


# ---- how it ends ----


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"shards": 2, "done": 2, "samples": 5}, 0),
        ({"shards": 2, "done": 2, "samples": 5, "lost": 3, "left_out": 2}, 0),
        ({"shards": 2, "done": 1, "samples": 5}, 1),
        ({"shards": 2, "done": 2, "samples": 0, "lost": 5}, 1),
        ({"shards": 2, "done": 2, "samples": 5, "over_max_errors": True}, 1),
        ({"shards": 2, "done": 1, "samples": 5, "failed": {"a": "gone"}}, 1),
    ],
)
def test_exit_codes(fields: dict[str, Any], code: int) -> None:
    assert Summary("out", **fields).exit_code == code


@pytest.mark.parametrize("content", [b"", b"text", "small"])
def test_a_corpus_without_samples_is_no_success(
    tmp_path: Path, make_corpus: Make, photo: Callable[..., bytes], content: bytes | str
) -> None:
    (tmp_path / "in").mkdir()
    data = photo(0, height=8, width=8) if isinstance(content, str) else content
    (tmp_path / "in/a.png").write_bytes(data)
    summary = make_corpus(tmp_path / "in", tmp_path / "corpus")
    assert (summary.samples, summary.lost + summary.left_out, summary.exit_code) == (0, 1, 1)
    assert make_corpus(tmp_path / "in", tmp_path / "corpus").exit_code == 1
    assert verify(str(tmp_path / "corpus")).problems == []


def test_observers_hear_of_shards_in_order(series: Path, tmp_path: Path, photo_tar: Callable[..., Path]) -> None:
    heard: list[str] = []

    class Watching(Observer):
        def start(self, dataset: Any, todo: Any) -> None:
            heard.append(f"start {len(dataset.shards)} {len(list(todo))}")

        def shard_started(self, shard: Any) -> None:
            heard.append(f"started {shard.name}")

        def shard_done(self, shard: Any, record: Any) -> None:
            heard.append(f"done {record.shard} {record.samples}")

        def shard_failed(self, shard: Any, cause: str) -> None:
            heard.append(f"failed {shard.name}")

    (series / "list.txt").write_text("p00.png\np01.png\ngone.tar\n")
    generate(build_config({"input": str(series / "list.txt"), "output": str(tmp_path / "corpus")}), Watching())
    assert heard == ["start 2 2", "started gone", "failed gone", "started images-00000", "done images-00000 2"]


def test_torch_s_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), torch_threads(1):
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


# ---- a full disk ----


def test_a_disk_that_is_full_leaves_no_half_part(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    """On a real disk of 100 kB, where the machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        with pytest.raises(OutputError, match="No space left on device.*Free some space"):
            make_corpus(series, disk / "corpus", **SHARDS)
        report = verify(str(disk / "corpus"))
        assert hidden(disk / "corpus") == []
        assert report.parts >= 1 and all("not done" in p or "no record knows" in p for p in report.problems)
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        summary = make_corpus(series, disk / "corpus", **SHARDS)
        assert summary.exit_code == 0 and summary.skipped_shards >= 1
        make_corpus(series, tmp_path / "whole", **SHARDS)
        assert hash_tars(disk / "corpus") == hash_tars(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from rawsynth.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [200, 11_000])
def test_a_file_that_may_not_grow_is_a_clear_error(series: Path, tmp_path: Path, limit: int) -> None:
    """The plan does not fit 200 bytes, a part not 11,000."""
    command = ["generate", str(series), str(tmp_path / "corpus"), "--quiet", "--part-size", "1"]
    done = subprocess.run([sys.executable, "-c", LIMITED, str(limit), *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot write" in done.stderr and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert hidden(tmp_path / "corpus") == []
    assert set(everything_under(tmp_path / "corpus")) <= {"dataset.json"}
