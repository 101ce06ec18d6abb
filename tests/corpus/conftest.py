"""A small corpus for those who damage it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo_tar: Callable[..., Path]) -> Path:
    """A corpus of two shards in several parts, with a loss; tests copy it."""
    root = tmp_path_factory.mktemp("sound")
    photo_tar(root / "in/a.tar", 4)
    photo_tar(root / "in/sub/b.tar", 3, first=4)
    content = (root / "in/sub/b.tar").read_bytes()
    (root / "in/sub/b.tar").write_bytes(content[: content.index(b"s02.png")])
    assert make_corpus(root / "in", root / "corpus", write={"part_size": 30_000}).exit_code == 0
    return root / "corpus"


@pytest.fixture
def corpus(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "corpus"))
