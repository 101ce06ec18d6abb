"""verify: failures, leftovers and an index that belong to nothing, or to another state of the corpus."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawsynth.corpus.index import write_index
from rawsynth.corpus.verify import verify
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import ShardFailure
from tests.corpus.damage import patch_part, patch_record, rewritten


def failed(corpus: Path, shard: str, **fields: Any) -> None:
    dataset = Dataset.load(str(corpus))
    assert dataset is not None
    ShardFailure(**{"shard": shard, "config_digest": dataset.digest, "kind": "access", "cause": "gone", **fields}).save(
        str(corpus)
    )


def test_a_failure_of_a_shard_that_is_done_is_found(corpus: Path) -> None:
    failed(corpus, "a")
    (problem,) = verify(str(corpus)).problems
    assert problem.endswith("failures/a.json: its shard is done since: delete it")


def test_an_undone_shard_says_why_it_failed(corpus: Path) -> None:
    (corpus / "records/a.json").unlink()
    failed(corpus, "a", cause="photos/a.tar is gone")
    problems = verify(str(corpus)).problems
    assert problems[0] == "shard a is not done: run generate again (it failed: photos/a.tar is gone)"
    assert all("no record knows this part" in problem for problem in problems[1:])


def test_damaged_and_unknown_failures_are_found(corpus: Path) -> None:
    (corpus / "records/a.json").unlink()
    for path in corpus.glob("a-*.tar"):
        path.unlink()
    failed(corpus, "nobody")
    failed(corpus, "a")
    path = corpus / "failures/a.json"
    path.write_text(path.read_text().replace("access", "axcess"))
    problems = "\n".join(verify(str(corpus)).problems)
    assert "failures/a.json is damaged" in problems
    assert "failures/nobody.json: no shard of the plan has this name" in problems


def test_a_record_of_no_shard_is_found(corpus: Path) -> None:
    shutil.copy(corpus / "records/a.json", corpus / "records/nobody.json")
    assert verify(str(corpus)).problems == ["records/nobody.json: no shard of the plan has this name: delete it"]


def test_a_record_of_another_shard_is_found(corpus: Path) -> None:
    shutil.copy(corpus / "records/sub/b.json", corpus / "records/a.json")
    assert "records/a.json is the record of shard sub/b" in verify(str(corpus)).problems[0]


def test_temporary_leftovers_are_found(corpus: Path) -> None:
    (corpus / "sub/.b-00.tar.0123456789ab.tmp").write_bytes(b"")
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith("sub/.b-00.tar.0123456789ab.tmp: left by a run that was killed")


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_an_index_that_does_not_fit_is_found(corpus: Path, tmp_path: Path, format: Any) -> None:
    write_index(str(corpus), format=format)
    assert verify(str(corpus)).problems == []
    # The losses in a record are no business of the index.
    patch_record(corpus, "a", lost=1, errors=[{"key": "x", "stage": "read", "cause": "y"}])
    assert verify(str(corpus)).problems == []
    content = (corpus / "a-00.tar").read_bytes()
    backwards = rewritten(content, lambda rows: sorted(rows, key=lambda row: row[0].partition(".")[0], reverse=True))
    patch_part(corpus, "a", "a-00.tar", backwards)
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith(f"index.{format}: it does not fit the corpus: run rawsynth index again")


def with_other_rows(path: Path, old: str, new: str) -> None:
    """Change rows of an index and leave its header as it is."""
    if path.suffix == ".jsonl":
        header, rows = path.read_text().split("\n", 1)
        path.write_text(f"{header}\n{rows.replace(old, new)}")
        return
    table = pq.read_table(path)
    column = pa.array([text.replace(old, new) for text in table["key"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("key"), "key", column), path)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_an_index_with_wrong_rows_is_found(corpus: Path, format: Any) -> None:
    path = corpus / f"index.{format}"
    write_index(str(corpus), format=format)
    with_other_rows(path, "nothing", "else")
    assert verify(str(corpus)).problems == []
    with_other_rows(path, "sub/b/s00", "sub/b/s07")
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith(f"index.{format}: its rows of sub/b-00.tar are not what the part holds")


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_an_index_cut_short_is_found(corpus: Path, format: Any, cut: int) -> None:
    path = corpus / f"index.{format}"
    write_index(str(corpus), format=format)
    path.write_bytes(path.read_bytes()[:cut])
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith(f"index.{format}: ")


def test_an_index_with_more_rows_is_found(corpus: Path) -> None:
    write_index(str(corpus))
    with (corpus / "index.jsonl").open("ab") as file:
        file.write(b"{}\n")
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith("index.jsonl: it has rows that no part has")
