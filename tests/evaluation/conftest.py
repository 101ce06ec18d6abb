"""Sets of pairs made in memory from real photographs."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from skimage import data
from torch import Tensor

from rawsynth.pairs import Pair, PairSet, Scoring
from rawsynth.transforms import ReverseISP

COLOR = {
    "cam_from_srgb": [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]],
    "white_balance": [2.0, 1.75],
    "rgb_gain": 1.25,
}
AIM22 = Scoring(black_dn=0, white_dn=1023, peak_dn=1024, floor=True)


class MemoryPairs(PairSet):
    """Pairs in a list; an exception in a pair's place is raised when it is read."""

    def __init__(self, items: Sequence[Pair | Exception], scenes: Sequence[str] | None = None) -> None:
        self.items = list(items)
        self.keys = [item.key if isinstance(item, Pair) else f"lost-{i}" for i, item in enumerate(items)]
        self.scenes = scenes or [item.scene if isinstance(item, Pair) else "lost" for item in items]

    def __getitem__(self, index: int) -> Pair:
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


def cut(index: int, height: int = 48, width: int = 64) -> Tensor:
    """Piece of a photograph, ``(3, H, W)`` uint8; another index is another piece."""
    pixels = getattr(data, ("astronaut", "coffee", "chelsea")[index % 3])()
    top, left = 60 + 9 * (index // 3), 100 + 7 * (index // 3)
    return torch.from_numpy(pixels[top : top + height, left : left + width].copy()).permute(2, 0, 1)


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., Pair]:
    """``make_pair(index, size=, change=, meta=, scoring=)``: unprocessed with a known colour, RAW changed after."""

    def make(
        index: int,
        *,
        size: tuple[int, int] = (48, 64),
        change: Callable[[Tensor], Tensor] = lambda raw: raw,
        meta: dict[str, Any] | None = None,
        scoring: Scoring = Scoring(),
    ) -> Pair:
        srgb = cut(index, *size)
        raw = ReverseISP("unprocess", **COLOR, seed=0)(srgb[None], keys=["any"]).packed[0]
        return Pair(f"p{index}", f"scene{index % 3}", srgb, change(raw), COLOR if meta is None else meta, scoring)

    return make


@pytest.fixture(scope="session")
def pair_set() -> type[MemoryPairs]:
    """``pair_set([pair, ...])``: a set in memory."""
    return MemoryPairs


@pytest.fixture(scope="session")
def aim22_scale() -> Scoring:
    """The S7's scale of official scores: DN of 0..1023 over 1024, rounded down."""
    return AIM22
