"""What a pair is, and what a set of them is, whatever layout they are stored in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rawsynth.pairs.keyed import KeyedSet


@dataclass(frozen=True)
class Scoring:
    """Scale on which a layout's official scores are computed: ``(unit * (white - black) + black) / peak``.

    The default is the unit scale itself. AIM 2022 scores DN divided by 1024, whatever levels a network works with.

    Attributes:
        black_dn, white_dn: DN of the unit scale's 0 and 1.
        peak_dn: what DN are divided by.
        floor: results are stored as whole DN, rounded down, before they are scored.
    """

    black_dn: float = 0.0
    white_dn: float = 1.0
    peak_dn: float = 1.0
    floor: bool = False


@dataclass(frozen=True)
class Pair:
    """One sRGB image and its RAW, aligned: packed pixel (i, j) was developed to sRGB pixels (2i..2i+1, 2j..2j+1).

    Attributes:
        key: names the pair within its set.
        scene: what it shows; pairs of one scene never stand on both sides of a split.
        srgb: ``(3, H, W)`` uint8, H and W even.
        raw: ``(4, H/2, W/2)`` float32 on the unit scale (black 0, white 1), planes R, Gr, Gb, B.
        meta: what else is known, JSON-ready: ``camera``, ``iso``, ``white_balance`` (red, blue), ``cam_from_srgb``, ...
        scoring: scale of the official scores.
        frame: ``(3, h, w)`` uint8, the photograph that the sRGB was cut from, in any size, for methods that read a
            style from it; ``None``: the sRGB itself.
    """

    key: str
    scene: str
    srgb: Tensor
    raw: Tensor
    meta: Mapping[str, Any] = field(default_factory=dict)
    scoring: Scoring = Scoring()
    frame: Tensor | None = None


class PairSet(KeyedSet[Pair]):
    """sRGB and RAW by index; see :class:`KeyedSet`."""

    def subset(self, indices: Sequence[int]) -> PairSet:
        """Return the pairs at some indices, in that order."""
        return _Subset(self, indices)


class _Subset(PairSet):
    def __init__(self, pairs: PairSet, indices: Sequence[int]) -> None:
        self._pairs, self._indices = pairs, list(indices)
        self.keys = [pairs.keys[i] for i in self._indices]
        self.scenes = [pairs.scenes[i] for i in self._indices]

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[self._indices[index]]
