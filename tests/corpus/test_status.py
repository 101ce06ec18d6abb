"""status: how a corpus stands, from its plan, records and failures, whatever is going on there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import rawsynth
from rawsynth.corpus.status import StatusReader, status
from rawsynth.errors import CorpusError, InputAccessError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import ShardFailure
from rawsynth.storage.sealed import read_sealed, write_sealed

Make = Callable[..., Any]
SHARDS = [f"images-{index:05d}" for index in range(5)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> Path:
    """Ten photographs in five shards, of which one image is lost and one left out."""
    root = tmp_path_factory.mktemp("made")
    (root / "in").mkdir()
    for index in range(10):
        (root / f"in/p{index}.png").write_bytes(photo(index, height=16, width=16))
    (root / "in/p0.png").write_bytes(b"no image")
    (root / "in/p1.png").write_bytes(photo(1, height=8, width=8))
    make_corpus(root / "in", root / "corpus", read={"images_per_shard": 2})
    return root / "corpus"


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "corpus"))


def patch(corpus: Path, shard: str, **fields: Any) -> None:
    url = str(corpus / f"records/{shard}.json")
    write_sealed(url, {**read_sealed(url), **fields})


def undo(corpus: Path, *shards: str) -> None:
    for shard in shards:
        (corpus / f"records/{shard}.json").unlink()


def fail(corpus: Path, shard: str, **fields: Any) -> None:
    dataset = Dataset.load(str(corpus))
    assert dataset is not None
    known = {"shard": shard, "config_digest": dataset.digest, "kind": "access", "cause": "gone", "attempts": 3}
    ShardFailure(**{**known, "run": {"host": "x", "time": 5.0}, **fields}).save(str(corpus))


# ---- counts ----


def test_a_complete_corpus(corpus: Path) -> None:
    found = status(str(corpus))
    assert (found.shards, found.done, found.missing, found.exit_code, found.complete) == (5, 5, 0, 0, True)
    assert (found.sources, found.samples, found.lost, found.left_out) == (10, 8, 1, 1)
    assert found.bytes == sum(path.stat().st_size for path in corpus.glob("*.tar"))
    assert found.eta_seconds == 0 and found.failed == [] and found.damaged == {}


def test_every_shard_is_counted_once(corpus: Path) -> None:
    undo(corpus, SHARDS[1], SHARDS[2])
    fail(corpus, SHARDS[2], cause="p4.png is gone")
    patch(corpus, SHARDS[3], config_digest="0" * 64)
    path = corpus / f"records/{SHARDS[4]}.json"
    path.write_bytes(path.read_bytes().replace(b'"samples"', b'"sampels"', 1))
    found = rawsynth.status(str(corpus))
    assert (found.done, found.missing, found.other_configuration) == (1, 1, [SHARDS[3]])
    (failed,) = found.failed
    assert (failed.shard, failed.kind, failed.cause, failed.attempts) == (SHARDS[2], "access", "p4.png is gone", 3)
    assert (failed.host, failed.time) == ("x", 5.0)
    assert list(found.damaged) == [SHARDS[4]] and "is damaged" in found.damaged[SHARDS[4]]
    assert found.exit_code == 1 and found.samples == 0 and found.lost == 1


def test_a_failure_of_a_shard_that_is_done_or_of_another_configuration_is_none(corpus: Path) -> None:
    undo(corpus, SHARDS[1])
    fail(corpus, SHARDS[0])
    fail(corpus, SHARDS[1], config_digest="0" * 64)
    found = status(str(corpus))
    assert (found.done, found.failed, found.missing) == (4, [], 1)


def test_a_damaged_failure_is_named(corpus: Path) -> None:
    undo(corpus, SHARDS[1])
    (corpus / "failures").mkdir()
    (corpus / f"failures/{SHARDS[1]}.json").write_text("{")
    found = status(str(corpus))
    assert list(found.damaged) == [SHARDS[1]] and (found.failed, found.missing) == ([], 0)


def test_a_record_under_another_name_is_damaged(corpus: Path) -> None:
    shutil.copy(corpus / f"records/{SHARDS[0]}.json", corpus / f"records/{SHARDS[1]}.json")
    assert "is the record of shard images-00000" in status(str(corpus)).damaged[SHARDS[1]]


def test_other_and_temporary_files_are_no_shards(corpus: Path) -> None:
    (corpus / "records/.images-00000.json.0123456789ab.tmp").write_text("{")
    (corpus / "records/.hidden.json").write_text("{")
    (corpus / "records/nobody.json").write_text("{")
    assert status(str(corpus)).complete


def test_before_the_first_record(corpus: Path) -> None:
    shutil.rmtree(corpus / "records")
    found = status(str(corpus))
    assert (found.done, found.missing, found.pace, found.eta_seconds) == (0, 5, None, None)


def test_shards_in_folders(tmp_path: Path, make_corpus: Make, photo_tar: Callable[..., Path]) -> None:
    photo_tar(tmp_path / "in/deep/down/a.tar")
    make_corpus(tmp_path / "in", tmp_path / "corpus")
    assert status(str(tmp_path / "corpus")).complete


@pytest.mark.parametrize("what", ["nothing", "damaged"])
def test_what_is_no_corpus_is_an_error(tmp_path: Path, what: str) -> None:
    if what == "damaged":
        (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(CorpusError, match="damaged" if what == "damaged" else "no corpus at"):
        status(str(tmp_path))


def test_it_is_json_ready(corpus: Path) -> None:
    undo(corpus, SHARDS[1])
    fail(corpus, SHARDS[1])
    told = json.loads(json.dumps(status(str(corpus)).to_json()))
    assert told["failed"][0]["shard"] == SHARDS[1] and told["pace"]["shards"] == 4 and not told["complete"]


# ---- while a run goes on, and from elsewhere ----


def test_a_record_that_vanishes_between_listing_and_reading_is_missing(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run takes a shard's record away before it makes the shard again."""
    inner = read_sealed

    def read(url: str) -> dict[str, Any]:
        if url.endswith(f"{SHARDS[2]}.json"):
            Path(url).unlink()
        return inner(url)

    monkeypatch.setattr("rawsynth.corpus.records.read_sealed", read)
    found = status(str(corpus))
    assert (found.done, found.missing, found.damaged) == (4, 1, {})


def test_only_records_that_are_there_are_read(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undo(corpus, *SHARDS[1:])
    read: list[str] = []
    monkeypatch.setattr("rawsynth.corpus.records.read_sealed", lambda url: read.append(url) or read_sealed(url))
    assert status(str(corpus)).missing == 4
    assert read == [str(corpus / f"records/{SHARDS[0]}.json")]


def test_looking_again_reads_only_what_changed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undo(corpus, SHARDS[4])
    reader = StatusReader(str(corpus))
    first = reader.read()
    read: list[str] = []
    monkeypatch.setattr("rawsynth.corpus.records.read_sealed", lambda url: read.append(url) or read_sealed(url))
    assert reader.read().samples == first.samples and read == []
    patch(corpus, SHARDS[3], samples=7)
    assert reader.read().samples == first.samples + 5
    assert read == [str(corpus / f"records/{SHARDS[3]}.json")]


def test_in_memory(corpus: Path, memory: fsspec.AbstractFileSystem) -> None:
    undo(corpus, SHARDS[1])
    fail(corpus, SHARDS[1])
    memory.put(str(corpus), "/corpus", recursive=True)
    found = status("memory://corpus")
    assert (found.done, len(found.failed), found.samples) == (4, 1, status(str(corpus)).samples)
    memory.rm("/corpus/records", recursive=True)
    memory.rm("/corpus/failures", recursive=True)
    assert status("memory://corpus").missing == 5


def test_a_store_out_of_reach_is_an_error(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> dict[str, Any]:
        raise InputAccessError(f"cannot read {url}: timed out") from TimeoutError()

    monkeypatch.setattr("rawsynth.corpus.records.read_sealed", refuse)
    with pytest.raises(InputAccessError, match="timed out"):
        status(str(corpus))


# ---- pace ----


def test_overlapping_hosts_add_up(corpus: Path) -> None:
    for index, shard in enumerate(SHARDS[:4]):
        run = {"host": f"host{index % 2}", "started": 1000.0 + 100 * (index // 2), "seconds": 100.0}
        patch(corpus, shard, run=run, samples=50)
    undo(corpus, SHARDS[4])
    found = status(str(corpus), now=1300.0)
    assert found.pace is not None and found.pace.samples_per_second == pytest.approx(1.0)
    assert {name: (host.shards, host.samples, host.last) for name, host in found.hosts.items()} == {
        "host0": (2, 100, 1200.0),
        "host1": (2, 100, 1200.0),
    }
    dataset = Dataset.load(str(corpus))
    assert dataset is not None
    *done, left = (shard.size for shard in dataset.shards)
    assert not found.idle and found.eta_seconds == pytest.approx(200 * left / sum(done))
    later = status(str(corpus), now=1200.0 + 3600)
    assert later.idle and later.eta_seconds is None


def test_records_without_timings_give_no_pace(corpus: Path) -> None:
    for shard in SHARDS:
        patch(corpus, shard, run={})
    found = status(str(corpus))
    assert found.complete and found.pace is None and list(found.hosts) == ["?"]
