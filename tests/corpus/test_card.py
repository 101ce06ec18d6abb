"""card: what a finished corpus says of itself in README.md, and whose the file is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rawsynth
from rawsynth.corpus.card import data_files
from rawsynth.pipeline.card_file import is_own_card
from rawsynth.pipeline.config import build_config

Make = Callable[..., Any]


def front_matter(text: str) -> str:
    return text.split("---\n")[1]


def test_a_finished_corpus_has_a_card(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus", seed=7, write={"srgb": True}, run={"license": "cc-by-4.0"})
    content = (tmp_path / "corpus/README.md").read_bytes()
    assert is_own_card(content)
    text = content.decode()
    for line in ('license: "cc-by-4.0"', "- image-to-image", '- "n<1K"', '- "**/*.tar"', "  - name: noisy.npy"):
        assert line in front_matter(text).splitlines() or f"    {line}" in front_matter(text).splitlines()
    assert "RAW of sRGB images is synthetic" in text
    assert "| samples | 5, from 5 images |" in text and "| seed | 7 |" in text
    assert "unprocess" in text and "poisson_gaussian" in text and str(tmp_path) not in text
    assert rawsynth.verify(str(tmp_path / "corpus")).ok


def test_equal_corpora_have_equal_cards_and_a_rerun_touches_none(
    photos: Path, tmp_path: Path, make_corpus: Make
) -> None:
    for name in ("one", "two"):
        make_corpus(photos, tmp_path / name, run={"license": "cc0-1.0"})
    one, two = tmp_path / "one/README.md", tmp_path / "two/README.md"
    assert one.read_bytes() == two.read_bytes()
    before = one.stat()
    make_corpus(photos, tmp_path / "one")
    assert (one.stat().st_mtime_ns, one.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_the_license_can_be_stated_later(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    card = tmp_path / "corpus/README.md"
    assert 'license: "other"' in card.read_text()
    make_corpus(photos, tmp_path / "corpus", run={"license": "cc-by-sa-4.0"})
    assert 'license: "cc-by-sa-4.0"' in card.read_text() and is_own_card(card.read_bytes())


def test_an_edited_card_is_the_user_s(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    card = tmp_path / "corpus/README.md"
    mine = card.read_text().replace("# Noisy and clean RAW", "# My photographs")
    card.write_text(mine)
    make_corpus(photos, tmp_path / "corpus")
    assert card.read_text() == mine and rawsynth.verify(str(tmp_path / "corpus")).ok
    make_corpus(photos, tmp_path / "corpus", seed=5, run={"overwrite": True})
    assert card.read_text() == mine


def test_overwriting_makes_the_card_anew(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    make_corpus(photos, tmp_path / "corpus", seed=5, run={"overwrite": True})
    assert "| seed | 5 |" in (tmp_path / "corpus/README.md").read_text()


def test_a_corpus_that_lost_its_plan_may_have_a_card(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    (tmp_path / "corpus/dataset.json").unlink()
    assert make_corpus(photos, tmp_path / "corpus").exit_code == 0


def test_a_corpus_that_is_not_finished_has_none(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "plan", run={"plan_only": True})
    assert not (tmp_path / "plan/README.md").exists()
    (photos / "coffee.PNG").write_bytes(b"")
    make_corpus(photos, tmp_path / "stopped", read={"images_per_shard": 2}, run={"max_errors": 0})
    assert not (tmp_path / "stopped/README.md").exists()


def test_patterns_take_each_split_s_tars_alone() -> None:
    config = build_config({"input": "a", "output": "b", "read": {"splits": {"train": 0.5, "val": 0.5}}})
    patterns = data_files(config)
    assert list(patterns) == ["train", "val"]
    matcher = re.compile("|".join(p.removeprefix("**/*").replace(".", r"\.") + "$" for p in patterns["val"]))
    assert all(matcher.search(name) for name in ("x-val-00.tar", "a/b-val-0001-val-123.tar"))
    assert not any(matcher.search(name) for name in ("x-val-00-train-00.tar", "x-train-00.tar", "x-val-1.tar"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read": {"splits": {"train": 0.5, "val": 0.5}}},
        {"method": {"camera": "random"}, "noise": {"noise": "physics"}},
    ],
    ids=str,
)
def test_hugging_face_datasets_reads_it(
    photos: Path, tmp_path: Path, make_corpus: Make, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make_corpus(photos, tmp_path / "corpus", **options)
    found = datasets.load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    keys = sorted(row["json"]["key"] for part in found.values() for row in part)
    rawsynth.write_index(str(tmp_path / "corpus"))
    assert keys == sorted(rawsynth.CorpusIndex.open(str(tmp_path / "corpus")))
