"""workers: as many processes as wanted make the corpus that one makes, whatever happens to them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.verify import verify
from rawsynth.pipeline.record import ShardFailure

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]
Records = Callable[[str | Path], dict[str, dict[str, Any]]]

SHARDS: dict[str, Any] = {"read": {"images_per_shard": 2}}

# Worker processes import the script that started them, so what stands above its last part changes them too.
SCRIPT = """
import json, os, sys, time
import rawsynth.engine.worker as worker
from rawsynth.cli import progress
from rawsynth.engine.local import generate
from rawsynth.errors import RawsynthError
from rawsynth.pipeline.config import build_config

class Task(worker.ShardTask):
    def __call__(self, shard, watch):
        trap = os.environ.get("TRAP_" + shard.name.replace("-", "_"))
        flag = os.path.join(os.environ["FLAGS"], f"{shard.name}-{os.getpid()}")
        if trap:
            open(flag, "w").close()
            tries = sum(name.startswith(shard.name) for name in os.listdir(os.environ["FLAGS"]))
            once = trap.startswith("once-") and tries > 1
            if not once:
                {"end": lambda: os._exit(9), "raise": lambda: 1 / 0, "hang": lambda: time.sleep(600),
                 "kill": lambda: os.kill(os.getpid(), 9)}[trap.removeprefix("once-")]()
        return super().__call__(shard, watch)

worker.ShardTask = Task

if __name__ == "__main__":
    try:
        summary = generate(build_config(json.loads(sys.argv[1])), progress.JsonLog())
    except RawsynthError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(summary.to_json()))
"""


@pytest.fixture
def series(make_series: Callable[[int], Path]) -> Path:
    """Ten photographs, five shards."""
    return make_series(10)


@pytest.fixture
def start(series: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a run on two workers; keywords ``images_00001="end"`` say what a shard does to its worker."""
    script, flags = tmp_path / "run.py", tmp_path / "flags"
    script.write_text(SCRIPT)
    flags.mkdir()

    def begin(output: Path, run: dict[str, Any] | None = None, **traps: str) -> subprocess.Popen[str]:
        values = {
            "input": str(series), "output": str(output), **SHARDS, "method": {"method": "unprocess"},
            "run": {"workers": 2, "threads": 1, **(run or {})},
        }  # fmt: skip
        environ = {**os.environ, "FLAGS": str(flags), **{f"TRAP_{name}": trap for name, trap in traps.items()}}
        command = [sys.executable, str(script), json.dumps(values)]
        return subprocess.Popen(command, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return begin


def events_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def test_two_workers_make_what_one_process_makes(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, read_records: Records,
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    make_corpus(series, tmp_path / "one", **SHARDS)
    out, log = start(tmp_path / "two").communicate(timeout=120)
    summary = json.loads(out)
    assert (summary["done"], summary["samples"], summary["exit_code"]) == (5, 10, 0)
    assert hash_tars(tmp_path / "two") == hash_tars(tmp_path / "one")
    one, two = read_records(tmp_path / "one"), read_records(tmp_path / "two")
    decided = [name for name in one["images-00000"] if name not in ("run", "seal")]
    assert [[record[n] for n in decided] for record in two.values()] == [
        [record[n] for n in decided] for record in one.values()
    ]
    events = events_of(log)
    assert sum(event["sources"] for event in events if event["event"] == "progress") == 10
    assert events[-1]["event"] == "summary"
    assert [p.name for p in (tmp_path / "two").iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(("trap", "word"), [("kill", "SIGKILL"), ("end", "code 9"), ("raise", "ZeroDivisionError")])
def test_the_shard_of_a_worker_that_ends_is_made_by_another(
    trap: str, word: str, series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash,
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    make_corpus(series, tmp_path / "one", **SHARDS)
    out, log = start(tmp_path / "two", images_00001=f"once-{trap}").communicate(timeout=120)
    assert json.loads(out)["exit_code"] == 0
    retried = [event for event in events_of(log) if event["event"] == "shard_retried"]
    assert [event["shard"] for event in retried] == ["images-00001"] and word in retried[0]["cause"]
    assert hash_tars(tmp_path / "two") == hash_tars(tmp_path / "one")


@pytest.mark.parametrize(("trap", "run", "word"), [("kill", {}, "SIGKILL"), ("hang", {"stall_timeout": 3}, "answer")])
def test_a_shard_that_ends_two_workers_is_set_aside_and_the_run_goes_on(
    trap: str, run: dict[str, Any], word: str, series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash,
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    corpus = tmp_path / "two"
    out, _ = start(corpus, run, images_00002=trap).communicate(timeout=120)
    summary = json.loads(out)
    assert (summary["done"], summary["exit_code"], list(summary["failed"])) == (4, 1, ["images-00002"])
    failure = ShardFailure.load(str(corpus), "images-00002")
    assert failure is not None and (failure.kind, failure.attempts) == ("crash", 2) and word in failure.cause
    # The next run tries it again, and then nothing says any more that it failed.
    make_corpus(series, tmp_path / "one", **SHARDS)
    make_corpus(series, corpus, **SHARDS)
    assert ShardFailure.load(str(corpus), "images-00002") is None
    assert hash_tars(corpus) == hash_tars(tmp_path / "one") and verify(str(corpus)).ok


def workers_of(pid: int) -> set[int]:
    """Children of a process, from /proc."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_run_and_the_next_one_goes_on(
    sign: signal.Signals, series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash,
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    corpus = tmp_path / "two"
    process = start(corpus, images_00003="hang", images_00004="hang")
    wait_until(lambda: len(list((tmp_path / "flags").iterdir())) == 2)
    workers = workers_of(process.pid)
    process.send_signal(sign)
    process.communicate(timeout=20)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() and pid in workers_of(1) for pid in workers), 10)
    make_corpus(series, tmp_path / "one", **SHARDS)
    assert make_corpus(series, corpus, **SHARDS).skipped_shards == 3
    assert hash_tars(corpus) == hash_tars(tmp_path / "one")


def test_an_output_that_takes_no_more_ends_the_run(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    corpus = tmp_path / "two"
    (corpus / "images-00001-00.tar").mkdir(parents=True)
    (corpus / "images-00001-00.tar" / ".in-the-way").touch()
    process = start(corpus)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 1 and log.splitlines()[-1].startswith("OutputError: cannot write")
