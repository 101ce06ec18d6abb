"""index, the verb: a file, a line, and an exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Cli = Callable[..., Any]


@pytest.fixture
def corpus(photos: Path, tmp_path: Path, make_corpus: Callable[..., Any]) -> Path:
    """Five samples in three shards."""
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    return tmp_path / "corpus"


def test_beside_the_parts_by_default(cli: Cli, corpus: Path) -> None:
    done = cli("index", corpus, "--threads", "2")
    assert done.code == 0
    assert done.out == f"{corpus}/index.jsonl: 5 samples in 3 parts of 3 shards\n"
    keys = [json.loads(line)["key"] for line in (corpus / "index.jsonl").read_text().splitlines()[1:]]
    assert len(keys) == 5 and cli("verify", corpus).code == 0


@pytest.mark.parametrize("arguments", [("--format", "parquet"), ("--output", "{}/index.parquet")])
def test_parquet(cli: Cli, corpus: Path, arguments: tuple[str, ...]) -> None:
    assert cli("index", corpus, "--quiet", *(argument.format(corpus) for argument in arguments)).out == ""
    assert pq.read_table(corpus / "index.parquet").num_rows == 5


def test_a_file_of_the_users_own_stays(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    text, table = tmp_path / "notes.jsonl", tmp_path / "rows.parquet"
    text.write_text('{"mine": 1}\n')
    pq.write_table(pa.table({"mine": [1]}), table)
    for mine in (text, table):
        kept = mine.read_bytes()
        done = cli("index", corpus, "--output", mine)
        assert done.code == 2 and str(mine) in done.err and "name another file" in done.err
        assert mine.read_bytes() == kept


@pytest.mark.parametrize("name", ["an.jsonl", "an.parquet"])
def test_an_index_and_what_is_left_of_one_are_replaced(cli: Cli, corpus: Path, tmp_path: Path, name: str) -> None:
    url = tmp_path / name
    assert cli("index", corpus, "--output", url).code == 0
    whole = url.read_bytes()
    for left in (whole, whole[: len(whole) // 2], b""):
        url.write_bytes(left)
        assert cli("index", corpus, "--output", url).code == 0 and url.read_bytes() == whole


def test_an_unfinished_corpus(cli: Cli, corpus: Path) -> None:
    (corpus / "records/images-00001.json").unlink()
    done = cli("index", corpus)
    assert done.code == 1
    assert "3 samples in 2 parts of 2 shards" in done.out and "1 shard is not done" in done.out


def test_a_damaged_part(cli: Cli, corpus: Path) -> None:
    (corpus / "images-00001-00.tar").write_bytes(b"")
    done = cli("index", corpus)
    assert done.code == 1 and "images-00001-00.tar: 0 bytes, its record says" in done.err
    assert not (corpus / "index.jsonl").exists()


@pytest.mark.parametrize("arguments", [(), ("corpus", "--threads", "0"), ("corpus", "--format", "csv")])
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("index", *arguments).code == 2
