"""dataset: failures and indexes are a corpus's own files, and what is only named like them is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.index import write_index
from rawsynth.errors import UsageError
from rawsynth.pipeline.config import GenerateConfig, build_config
from rawsynth.pipeline.dataset import open_dataset
from rawsynth.pipeline.own_files import DATASET_FILE
from rawsynth.pipeline.record import ShardFailure

Make = Callable[..., Any]
OVERWRITE = {"seed": 5, "run": {"overwrite": True}}


def config(source: Path, output: Path, **values: Any) -> GenerateConfig:
    return build_config({"input": str(source), "output": str(output), **values})


def files_under(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_overwrite_removes_failures_and_indexes(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(photos, corpus)
    write_index(str(corpus))
    write_index(str(corpus), format="parquet")
    for shard in ("images-00000", "mine"):
        ShardFailure(shard, "0" * 64, "access", "gone").save(str(corpus))
    open_dataset(config(photos, corpus, **OVERWRITE), print)
    assert list(files_under(corpus)) == ["failures/mine.json"]


def test_overwrite_leaves_what_is_only_named_like_an_index(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(photos, corpus)
    mine = {"index.jsonl": b'{"a": 1}\n', "index.parquet": b"mine"}
    for name, content in mine.items():
        (corpus / name).write_bytes(content)
    open_dataset(config(photos, corpus, **OVERWRITE), print)
    assert files_under(corpus) == mine


def test_a_corpus_that_lost_its_plan_may_have_failures_and_an_index(
    photos: Path, tmp_path: Path, make_corpus: Make
) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(photos, corpus)
    write_index(str(corpus))
    ShardFailure("images-00000", "0" * 64, "access", "gone").save(str(corpus))
    (corpus / DATASET_FILE).unlink()
    assert make_corpus(photos, corpus).exit_code == 0


@pytest.mark.parametrize("name", ["index.jsonl", "index.parquet", "failures/mine.json"])
def test_files_that_are_only_named_like_a_corpus_s_are_foreign(photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "corpus/failures").mkdir(parents=True)
    (tmp_path / "corpus" / name).write_text("{}")
    with pytest.raises(UsageError, match=f"holds 1 file, such as '{name}', but no dataset.json"):
        open_dataset(config(photos, tmp_path / "corpus"), print)
