"""index: a row a sample that any tool can read samples by; the same corpus gives the same bytes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from rawsynth.corpus.index import write_index
from rawsynth.errors import CorpusError, OutputError, UsageError
from rawsynth.storage import GuardedStream
from tests.corpus.damage import patch_record

Make = Callable[..., Any]
Read = Callable[..., dict[str, dict[str, bytes]]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- what it says ----


def test_a_row_says_where_each_member_lies(corpus: Path, read_samples: Read) -> None:
    done = write_index(str(corpus))
    header, *rows = lines(corpus / "index.jsonl")
    stored = read_samples(corpus)
    assert (done.url, done.samples, done.shards, done.missing) == (str(corpus / "index.jsonl"), 6, 2, 0)
    assert done.parts == len(list(corpus.rglob("*.tar"))) >= 3
    assert [row["key"] for row in rows] == list(stored)
    for row in rows:
        part = (corpus / row["part"]).read_bytes()
        found = {name: part[at : at + size] for name, (at, size) in row["members"].items()}
        assert found == stored[row["key"]]


def test_a_row_says_what_the_sample_s_json_says(
    photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Read
) -> None:
    corpus = tmp_path / "corpus"
    values: dict[str, Any] = {
        "method": {"camera": "Sony ILCE-7SM2"},
        "noise": {"iso": [800, 3200], "realizations": 2},
        "image": {"crop": 16},
        "read": {"splits": {"train": 0.5, "val": 0.5}, "images_per_shard": 2},
    }
    make_corpus(photos, corpus, **values)
    write_index(str(corpus))
    _, *rows = lines(corpus / "index.jsonl")
    stored = read_samples(corpus)
    assert len(rows) == 5
    for row in rows:
        meta = json.loads(stored[row["key"]]["json"])
        assert row["split"] == meta["split"] and row["crop"] == meta["source"]["crop"]
        assert (row["camera"], row["cct"], row["method"]) == ("Sony ILCE-7SM2", meta["raw"]["cct"], "unprocess")
        assert row["source"] == {"key": meta["source"]["key"], "url": meta["source"]["url"]}
        for noise, entry in zip(row["noise"], meta["noisy"], strict=True):
            assert (noise["member"], noise["iso"]) == (entry["member"], entry["noise"]["iso"])
            assert (noise["model"], noise["camera"]) == ("poisson_gaussian", "Sony ILCE-7SM2")
            assert (noise["shot"], noise["read"]) == (entry["shot"], entry["read"])


def test_the_header_names_the_corpus_and_its_parts(corpus: Path, read_records: Callable[..., Any]) -> None:
    write_index(str(corpus))
    header = lines(corpus / "index.jsonl")[0]
    plan = json.loads((corpus / "dataset.json").read_text())
    assert header["rawsynth_index"] == 1 and header["config_digest"] == plan["config_digest"]
    fields = ("name", "bytes", "sha256", "samples", "split")
    records = read_records(corpus)
    assert header["shards"] == {
        shard: [[part[name] for name in fields] for part in record["parts"]] for shard, record in records.items()
    }


def test_parquet_says_the_same(corpus: Path) -> None:
    write_index(str(corpus))
    write_index(str(corpus), format="parquet")
    header, *rows = lines(corpus / "index.jsonl")
    table = pq.read_table(corpus / "index.parquet")
    assert json.loads(table.schema.metadata[b"rawsynth_index"]) == header
    for row, told in zip(rows, table.to_pylist(), strict=True):
        members = {member["name"]: [member["offset"], member["size"]] for member in told["members"]}
        assert {**told, "members": members} == row


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_the_same_bytes_whatever_the_threads(corpus: Path, tmp_path: Path, format: Any) -> None:
    written = []
    for threads in (1, 2, 7):
        url = tmp_path / f"{threads}.{format}"
        write_index(str(corpus), str(url), threads=threads)
        written.append(url.read_bytes())
    assert written[0] == written[1] == written[2]


def test_clean_only_and_lossy_corpora(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    (photos / "rocket.jpg").write_bytes(b"no image")
    values = {"read": {"images_per_shard": 1}, "write": {"clean_only": True}, "noise": {"realizations": 2}}
    make_corpus(photos, tmp_path / "corpus", **values)
    assert write_index(str(tmp_path / "corpus")).shards == 5
    header, *rows = lines(tmp_path / "corpus/index.jsonl")
    assert len(rows) == 4 and header["shards"]["images-00004"] == []
    assert all([noise["member"] for noise in row["noise"]] == [None, None] for row in rows)


# ---- how it is made ----


def test_pixels_are_not_read(photos: Path, tmp_path: Path, make_corpus: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make_corpus(photos, tmp_path / "corpus", noise={"realizations": 20})
    read, inner = [0], GuardedStream.read

    def counted(stream: GuardedStream, size: int | None = -1) -> bytes:
        data = inner(stream, size)
        read[0] += len(data)
        return data

    monkeypatch.setattr(GuardedStream, "read", counted)
    write_index(str(tmp_path / "corpus"))
    size = sum(path.stat().st_size for path in (tmp_path / "corpus").glob("*.tar"))
    assert 0 < read[0] < size / 3


def test_in_memory(corpus: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.put(str(corpus), "/corpus", recursive=True)
    write_index(str(corpus))
    assert write_index("memory://corpus").url == "memory://corpus/index.jsonl"
    assert memory.cat("/corpus/index.jsonl") == (corpus / "index.jsonl").read_bytes()


def test_whoever_watches_hears_of_every_part(corpus: Path) -> None:
    heard: list[str] = []
    write_index(str(corpus), watch=heard.append)
    assert sorted(heard) == sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.tar"))


def test_what_is_not_done_is_left_out(corpus: Path) -> None:
    (corpus / "records/a.json").unlink()
    done = write_index(str(corpus))
    assert (done.shards, done.missing, done.samples) == (1, 1, 2)
    patch_record(corpus, "sub/b", config_digest="0" * 64)
    assert write_index(str(corpus)).missing == 2


# ---- what it refuses ----


DAMAGE = [
    ("a-00.tar", lambda content: content[:-512], "a-00.tar: .*bytes, its record says.*rawsynth verify"),
    ("a-00.tar", lambda content: content.replace(b"a/s01.json", b"a/s0?.json"), "a-00.tar: .*rawsynth verify"),
    ("records/a.json", lambda content: content.replace(b"sources", b"soruces"), "a.json is damaged"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_damage_leaves_the_old_index(
    corpus: Path, name: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    write_index(str(corpus))
    before = (corpus / "index.jsonl").read_bytes()
    (corpus / name).write_bytes(damage((corpus / name).read_bytes()))
    with pytest.raises(CorpusError, match=message):
        write_index(str(corpus))
    assert (corpus / "index.jsonl").read_bytes() == before
    assert not list(corpus.glob(".*"))


def test_what_is_no_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus at"):
        write_index(str(tmp_path))


def test_an_output_that_cannot_be_written_is_an_error(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_index(str(corpus), str(tmp_path / "file/index.jsonl"))


def test_without_pyarrow_parquet_names_the_extra(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"rawsynth\[parquet\]"):
        write_index(str(corpus), format="parquet")
    assert not (corpus / "index.parquet").exists()
    assert write_index(str(corpus)).samples == 6
