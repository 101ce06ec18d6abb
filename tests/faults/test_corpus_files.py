"""A corpus's own files with sealed but wrong content: an error, or a corpus; nothing is written outside of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rawsynth
from rawsynth.errors import CorpusError, RawsynthError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.storage.sealed import read_sealed, write_sealed
from tests.faults.documents import mutate_json
from tests.faults.effort import cases, time_limit
from tests.faults.image_files import image_seeds
from tests.faults.mutation import mutate

SECONDS = 20.0
FAILURE = {"shard": "images-00000", "config_digest": "a", "kind": "access", "cause": "x", "attempts": 1, "run": {}}
PLAN, RECORD, FAILED = "dataset.json", "records/images-00000.json", "failures/images-00000.json"


@pytest.fixture
def corpus(tmp_path: Path, make_corpus: Callable[..., Any]) -> Path:
    (tmp_path / "in").mkdir()
    for index in range(2):
        (tmp_path / "in" / f"a{index}.png").write_bytes(image_seeds()["png"])
    make_corpus(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def reads(action: Callable[[], Any]) -> bool:
    with time_limit(SECONDS):
        try:
            action()
        except RawsynthError:
            return False
    return True


@pytest.mark.soak
@pytest.mark.parametrize("file", [PLAN, RECORD, FAILED])
def test_damaged_files_of_a_corpus(corpus: Path, file: str) -> None:
    url = str(corpus / file)
    right = FAILURE if file == FAILED else read_sealed(url)
    refused = 0
    for index, (case, rng) in enumerate(cases(f"corpus/{file}", 0.02)):
        if index % 4 == 0:
            Path(url).parent.mkdir(exist_ok=True)
            Path(url).write_bytes(mutate(json.dumps(right).encode(), rng))
        else:
            write_sealed(url, mutate_json(right, rng))
        read = {
            PLAN: lambda: Dataset.load(str(corpus)),
            RECORD: lambda: ShardRecord.load(str(corpus), "images-00000"),
            FAILED: lambda: ShardFailure.load(str(corpus), "images-00000"),
        }[file]
        refused += not reads(read)
        reads(lambda: rawsynth.verify(str(corpus)))
    assert refused


@pytest.mark.soak
@pytest.mark.parametrize("file", [PLAN, RECORD])
def test_a_run_over_a_damaged_corpus_stays_inside(corpus: Path, make_corpus: Callable[..., Any], file: str) -> None:
    url, outside = str(corpus / file), corpus.parent
    right = read_sealed(url)
    for case, rng in cases(f"resumed/{file}", 0.005):
        write_sealed(url, mutate_json(right, rng))
        reads(lambda: make_corpus(outside / "in", corpus))
        assert {path.name for path in outside.iterdir()} == {"in", "out"}, case


# What was found by mutation.

WRONG: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    (PLAN, lambda plan: plan["shards"][0].update(name="../../up"), "leads out of the corpus"),
    (PLAN, lambda plan: plan["shards"][0].update(name="/tmp/up"), "leads out of the corpus"),
    (PLAN, lambda plan: plan["shards"][0].update(name="a\0"), "leads out of the corpus, or nowhere"),
    (PLAN, lambda plan: plan["shards"][0].update(kind="other"), "of kind 'other'"),
    (PLAN, lambda plan: plan["shards"][0].update(kind="tar"), "of kind 'tar', with 2 files"),
    (PLAN, lambda plan: plan["shards"][0].update(files=[[]]), "not a corpus plan"),
    (PLAN, lambda plan: plan["shards"][0].update(files=[["a.png", "many"]]), "size: Input should be a valid integer"),
    (PLAN, lambda plan: plan["shards"][0].update(name=["a"]), "name: Input should be a valid string"),
    (PLAN, lambda plan: plan["shards"].append(plan["shards"][0]), "two shards have one name"),
    (PLAN, lambda plan: plan.update(byte_fields=5), "fields: Input should be a valid dictionary"),
    (RECORD, lambda record: record.update(sources={}), "sources: Input should be a valid integer"),
    (RECORD, lambda record: record.update(errors=0.5), "errors: Input should be a valid list"),
    (RECORD, lambda record: record["members"].append(None), "members.4: Input should be a valid string|members.3"),
    (RECORD, lambda record: record["parts"][0].update(name="../up.tar"), "leads out of the corpus"),
    (RECORD, lambda record: record["parts"][0].update(name=["a"]), "parts.0.name: Input should be a valid string"),
    (RECORD, lambda record: record.update(more=1), "unknown field 'more'"),
]


@pytest.mark.parametrize(("file", "change", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_sealed_nonsense_is_refused(
    corpus: Path, make_corpus: Callable[..., Any], file: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    url = str(corpus / file)
    body = read_sealed(url)
    change(body)
    write_sealed(url, body)
    with pytest.raises(CorpusError, match=message) as error:
        make_corpus(corpus.parent / "in", corpus)
    assert url in str(error.value)
