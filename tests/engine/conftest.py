"""What the engines' tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest

DIFFERENT = 24


@pytest.fixture
def make_series(tmp_path: Path, photo: Callable[..., bytes]) -> Callable[[int], Path]:
    """``make_series(n)``: a folder of n small photographs."""

    def make(count: int) -> Path:
        folder = tmp_path / "series"
        folder.mkdir()
        for index in range(count):
            (folder / f"p{index:02d}.png").write_bytes(photo(index % DIFFERENT))
        return folder

    return make
