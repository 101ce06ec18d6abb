"""status, the verb: words or JSON, once or again and again, and an exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.engine.local import Observer, generate
from rawsynth.pipeline.config import build_config
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.pipeline.shards import Shard
from rawsynth.storage.sealed import read_sealed

Cli = Callable[..., Any]
VALUES = {"method": {"method": "unprocess"}, "read": {"images_per_shard": 1}}


@pytest.fixture
def corpus(photos: Path, tmp_path: Path, make_corpus: Callable[..., Any]) -> Path:
    """Five samples in five shards."""
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 1})
    return tmp_path / "corpus"


def test_a_complete_corpus(cli: Cli, corpus: Path) -> None:
    done = cli("status", corpus)
    assert done.code == 0
    assert f"{corpus}: 100% of 5 shards: 5 done\n" in done.out
    assert "5 samples from 5 images" in done.out and "0 images lost, 0 left out" in done.out
    assert "5 shards, 5 samples, last at" in done.out and "not complete" not in done.out


def test_a_failed_shard_is_named_with_its_cause(cli: Cli, corpus: Path) -> None:
    (corpus / "records/images-00001.json").unlink()
    digest = read_sealed(str(corpus / "dataset.json"))["config_digest"]
    ShardFailure("images-00001", digest, "crash", "killed by signal 9").save(str(corpus))
    (corpus / "records/images-00003.json").write_text("{")
    done = cli("status", corpus)
    assert done.code == 1
    assert "60% of 5 shards: 3 done, 1 failed, 1 damaged" in done.out
    assert "images-00001 failed (crash): killed by signal 9" in done.out
    assert "records/images-00003.json is damaged" in done.out and "not complete" in done.out


def test_many_failures_are_cut_short_in_words_and_not_in_json(cli: Cli, corpus: Path) -> None:
    digest = read_sealed(str(corpus / "dataset.json"))["config_digest"]
    for index in range(5):
        (corpus / f"records/images-0000{index}.json").write_text("{")
    assert "more; --json names all" not in cli("status", corpus).out
    for index in range(5):
        (corpus / f"records/images-0000{index}.json").unlink()
        ShardFailure(f"images-0000{index}", digest, "access", "gone").save(str(corpus))
    told = json.loads(cli("status", corpus, "--json").out)
    assert len(told["failed"]) == 5 and told["missing"] == 0


def test_json_is_one_line(cli: Cli, corpus: Path) -> None:
    done = cli("status", corpus, "--json")
    (line,) = done.out.splitlines()
    told = json.loads(line)
    assert done.code == 0 and told["complete"] and told["samples"] == 5 and len(told["hosts"]) == 1


def test_while_a_run_goes_on(cli: Cli, photos: Path, tmp_path: Path) -> None:
    """A second look from outside at every shard that a run makes, and one between two of them."""
    seen: list[tuple[int, dict[str, Any]]] = []

    class Look(Observer):
        def look(self) -> None:
            done = cli("status", tmp_path / "corpus", "--json")
            seen.append((done.code, json.loads(done.out)))

        def shard_started(self, shard: Shard) -> None:
            self.look()

        def shard_done(self, shard: Shard, record: ShardRecord) -> None:
            self.look()

    generate(build_config({"input": str(photos), "output": str(tmp_path / "corpus"), **VALUES}), Look())
    assert [told["done"] for _, told in seen] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert [code for code, _ in seen] == [1] * 9 + [0]
    assert all(told["done"] + told["missing"] == 5 for _, told in seen)


def test_watching_ends_with_the_last_shard(cli: Cli, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = corpus / "records/images-00002.json"
    content = record.read_bytes()
    record.unlink()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            record.write_bytes(content)

    monkeypatch.setattr("rawsynth.cli.status.time.sleep", wait)
    done = cli("status", corpus, "--watch", "30", "--json")
    assert done.code == 0 and waits == [30, 30]
    assert [json.loads(line)["done"] for line in done.out.splitlines()] == [4, 4, 5]


@pytest.mark.parametrize("arguments", [(), ("corpus", "--watch", "0"), ("corpus", "--watch", "soon"), ("a", "b")])
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("status", *arguments).code == 2


def test_what_is_no_corpus(cli: Cli, tmp_path: Path) -> None:
    done = cli("status", tmp_path)
    assert done.code == 1 and done.err.startswith("rawsynth status: no corpus at")
