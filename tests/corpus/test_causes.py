"""Thousands of losses as a few causes, and each of them by its key."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.causes import Cause, Causes, causes_of, kind_of
from rawsynth.corpus.losses import list_losses
from rawsynth.corpus.status import status
from rawsynth.errors import CorpusError

Make = Callable[..., Any]


def rows(*causes: str) -> list[dict[str, str]]:
    return [{"key": f"k{index}", "stage": "decode", "cause": cause} for index, cause in enumerate(causes)]


ALIKE = [
    ("cannot decode JPEG of 7 bytes, is it damaged?", "cannot decode JPEG of 912 bytes, is it damaged?"),
    ("not an image: it starts with b'abc'", 'not an image: it starts with b"it\'s"'),
    ("too clipped: 0.912 of the pixels", "too clipped: 1 of the pixels"),
    ("s3://a/b.jpg has 5 bytes", "/data/c.jpg has 7 bytes"),
    ("no image among its members ('txt')", "no image among its members ('json')"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_differs_from_image_to_image_makes_no_kind(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


def test_causes_that_differ_in_words_differ() -> None:
    assert kind_of("cannot decode JPEG of 7 bytes") != kind_of("cannot decode PNG of 7 bytes")


def test_the_most_frequent_comes_first_with_its_first_key() -> None:
    causes = causes_of(rows("empty: 0 bytes", "cut at 5", "cut at 6"))
    causes.merge(causes_of(rows("cut at 9")))
    assert causes.ranked() == [Cause(3, "cut at 5", "k1"), Cause(1, "empty: 0 bytes", "k0")]
    assert causes.to_json()[0] == {"count": 3, "cause": "cut at 5", "key": "k1"}


def test_merging_leaves_the_other_as_it_is() -> None:
    first, second = causes_of(rows("a")), Causes()
    second.merge(first)
    second.merge(first)
    assert [cause.count for cause in first.ranked() + second.ranked()] == [1, 2]


def test_any_number_of_kinds_takes_bounded_memory() -> None:
    words = [f"cause {chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)]
    causes = causes_of(rows(*words))
    assert len(causes.kinds) + causes.others == 300 and len(causes.kinds) == 100
    twice = Causes()
    twice.merge(causes)
    assert twice.others == causes.others


def test_a_row_that_says_nothing_counts(tmp_path: Path) -> None:
    assert causes_of([{}]).ranked() == [Cause(1, "unknown", "?")]


# ---- of a corpus ----


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> Path:
    """Eight files in four shards: three are no images for two causes, one is left out."""
    root = tmp_path_factory.mktemp("causes")
    (root / "in").mkdir()
    for index in range(8):
        (root / f"in/p{index}.png").write_bytes(photo(index, height=16, width=16))
    (root / "in/p0.png").write_bytes(b"no image")
    (root / "in/p2.png").write_bytes(b"")
    (root / "in/p5.png").write_bytes(b"none either")
    (root / "in/p7.png").write_bytes(photo(1, height=8, width=8))
    summary = make_corpus(root / "in", root / "corpus", read={"images_per_shard": 2})
    told = json.loads(json.dumps(summary.to_json()))
    assert [(cause["count"], cause["key"]) for cause in told["lost_causes"]] == [(2, "p0-png"), (1, "p2-png")]
    assert [cause["key"] for cause in told["left_out_causes"]] == ["p7-png"]
    again = make_corpus(root / "in", root / "corpus", read={"images_per_shard": 2})
    assert again.skipped_shards == 4 and again.lost_causes == summary.lost_causes, "of earlier runs too"
    return root / "corpus"


def test_status_says_why(made: Path) -> None:
    found = status(str(made))
    assert [(cause.count, cause.key) for cause in found.lost_causes.ranked()] == [(2, "p0-png"), (1, "p2-png")]
    told = json.loads(json.dumps(found.to_json()))
    assert told["lost_causes"][0]["count"] == 2 and "too small" in told["left_out_causes"][0]["cause"]


def test_every_loss_is_listed_in_the_order_of_the_shards(made: Path) -> None:
    found = list(list_losses(str(made)))
    assert [(lost["shard"], lost["key"], lost["stage"]) for lost in found] == [
        ("images-00000", "p0-png", "decode"), ("images-00001", "p2-png", "decode"), ("images-00002", "p5-png", "decode")
    ]  # fmt: skip


def test_no_corpus_and_a_damaged_record_are_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus at"):
        list(list_losses(str(tmp_path)))
    corpus = Path(shutil.copytree(made, tmp_path / "corpus"))
    (corpus / "records/images-00001.json").write_text("{}")
    with pytest.raises(CorpusError, match="images-00001.json is damaged"):
        list(list_losses(str(corpus)))
