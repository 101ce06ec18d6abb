"""verify finds any byte that changed, wherever it is."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rawsynth
from rawsynth.errors import CorpusError

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> Path:
    """Five samples in three shards, with text members, a loss, an image left out, and an index."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "in").mkdir()
    for index in range(5):
        (root / f"in/p{index}.png").write_bytes(photo(index, height=16, width=16))
        (root / f"in/p{index}.txt").write_text(f"photograph {index}")
    (root / "in/p3.png").write_bytes(photo(3)[:200])
    (root / "in/p4.png").write_bytes(photo(3, height=8, width=8))
    assert make_corpus(root / "in", root / "corpus", read={"images_per_shard": 2, "keep": ["txt"]}).lost == 1
    rawsynth.write_index(str(root / "corpus"))
    assert rawsynth.verify(str(root / "corpus")).problems == []
    return root / "corpus"


def corruptions(corpus: Path, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Change one byte of one file at a time; half of the time one bit of it."""
    rng = random.Random(seed)
    # The card is a text for its owner to edit: a change makes it the owner's.
    files = sorted(path for path in corpus.rglob("*") if path.is_file() and path.name != "README.md")
    for _ in range(count):
        path = rng.choice(files)
        content = path.read_bytes()
        at = rng.randrange(len(content))
        other = content[at] ^ (1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(1, 256))
        path.write_bytes(content[:at] + bytes([other]) + content[at + 1 :])
        yield path, at
        path.write_bytes(content)


def is_found(corpus: Path) -> bool:
    try:
        return not rawsynth.verify(str(corpus)).ok
    except CorpusError:
        # The plan itself is damaged.
        return True


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_changed_byte_of_any_file_is_found(tiny: Path, tmp_path: Path, count: int) -> None:
    corpus = Path(shutil.copytree(tiny, tmp_path / "corpus"))
    kinds = {path.suffix for path in corpus.rglob("*") if path.is_file()}
    assert kinds == {".tar", ".json", ".jsonl", ".md"}
    missed = [(path.name, at) for path, at in corruptions(corpus, count, seed=count) if not is_found(corpus)]
    assert missed == []
    assert rawsynth.verify(str(corpus)).ok


@pytest.mark.parametrize("name", ["dataset.json", "records/images-00000.json"])
def test_a_sealed_file_of_equal_values_in_another_text_is_found(tiny: Path, tmp_path: Path, name: str) -> None:
    corpus = Path(shutil.copytree(tiny, tmp_path / "corpus"))
    text = (corpus / name).read_bytes()
    for altered in (text.replace(b"\n ", b"\n\t", 1), text + b"\n", text[:-1], text.replace(b": ", b":", 1)):
        (corpus / name).write_bytes(altered)
        (problem,) = rawsynth.verify(str(corpus)).problems
        assert f"{name} is damaged: its text is not as it was written" in problem


def test_threads_change_neither_counts_nor_the_order_of_problems(tiny: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(tiny, tmp_path / "corpus"))
    for path in corpus.glob("*.tar"):
        content = path.read_bytes()
        path.write_bytes(content[:700] + b"?" + content[701:])
    one, many = (rawsynth.verify(str(corpus), threads=threads) for threads in (1, 7))
    assert one == many and len(one.problems) == len(list(corpus.glob("*.tar")))
