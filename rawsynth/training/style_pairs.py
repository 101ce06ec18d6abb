"""What a style is fitted to: pairs of one camera with their colour, and quads of pixels drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.scoring import check_pair
from rawsynth.pairs import Pair, PairSet
from rawsynth.pairs.align import MIN_SCORE, align, mosaic_luma, srgb_luma
from rawsynth.raw.cfa import color_indices, unpack
from rawsynth.seeding import sample_seed, scalar_rng
from rawsynth.transforms.reverse_isp import check_physics

_CFA = "RGGB"
_DN = 65535
_SIDE = 1024
_MAX_RESIDUAL_PX = 0.75


@dataclass(frozen=True, eq=False)
class StylePair:
    """One pair, ready to be fitted.

    Attributes:
        key, scene: as of the :class:`~rawsynth.pairs.Pair`.
        camera: that it states, or ``None``.
        frame: ``(3, H, W)`` uint8 sRGB, what the network reads a style from.
        srgb, raw: a window of at most 1024 pixels a side from its middle: ``(3, h, w)`` uint8, ``(4, h/2, w/2)``.
        rows: ``(4, 3)``, what takes scene-linear RGB to the RAW of each site: matrix over white balance.
    """

    key: str
    scene: str
    camera: str | None
    frame: Tensor
    srgb: Tensor
    raw: Tensor
    rows: Tensor

    def middle(self, side: int) -> tuple[Tensor, Tensor]:
        """Return ``(1, 3, h, w)`` float sRGB of at most ``side`` pixels a side, and its ``(4, h/2, w/2)`` RAW."""
        height, width = (min(side, n) for n in self.srgb.shape[-2:])
        top, left = ((n - m) // 4 for n, m in zip(self.srgb.shape[-2:], (height, width), strict=True))
        srgb = self.srgb[:, 2 * top : 2 * top + height, 2 * left : 2 * left + width]
        return srgb[None].float() / 255, self.raw[:, top : top + height // 2, left : left + width // 2]


@dataclass(frozen=True, eq=False)
class Quads:
    """Quads of pixels with their RAW, of several pairs.

    Attributes:
        srgb: ``(B, 3, N, 4)`` float in [0, 1], the last dimension being the sites in reading order.
        raw: ``(B, N, 4)`` in [0, 1].
        rows: ``(B, 4, 3)`` of each pair.
    """

    srgb: Tensor
    raw: Tensor
    rows: Tensor


def read_style_pairs(
    pairs: PairSet,
    *,
    limit: int,
    cam_from_srgb: Any = None,
    white_balance: Any = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[StylePair]:
    """Read up to ``limit`` pairs, of as many scenes as there are, and check that one style can describe them.

    Args:
        pairs: of one camera and ISP.
        limit: most pairs.
        cam_from_srgb, white_balance: for pairs that state none; what is given wins.
        tell: is told of each pair that is left out, and why.

    Raises:
        UsageError: no pair, a pair without white balance or matrix, or pairs of several cameras.
        SampleError: none of them can be used.
    """
    if not len(pairs):
        raise UsageError("there is no pair to fit a style to; name a set that has some.")
    given = {"cam_from_srgb": cam_from_srgb, "white_balance": white_balance}
    stated = check_physics({name: value for name, value in given.items() if value is not None})
    found: list[StylePair] = []
    first: SampleError | None = None
    for index in spread(pairs.scenes, limit):
        try:
            found.append(_style_pair(pairs[index], stated))
        except SampleError as error:
            first = first or error
            tell(f"{pairs.keys[index]}: left out: {error}")
    if not found:
        raise SampleError(f"none of the pairs can be used; the first: {first}") from first
    cameras = sorted({pair.camera for pair in found if pair.camera is not None})
    if len(cameras) > 1:
        raise UsageError(
            f"a style is of one camera and ISP; these pairs are of {len(cameras)}: {', '.join(cameras[:4])}. Give each "
            "camera's pairs by themselves."
        )
    return found


def spread(scenes: Sequence[str], limit: int) -> list[int]:
    """Return the places of at most ``limit`` pairs, taking turns among the scenes.

    >>> spread(["a", "a", "a", "b", "c"], 4)
    [0, 3, 4, 1]
    """
    turns: dict[str, int] = {}
    ranked = []
    for index, scene in enumerate(scenes):
        turns[scene] = turns.get(scene, -1) + 1
        ranked.append((turns[scene], index))
    return [index for _, index in sorted(ranked)[:limit]]


def draw_quads(pairs: Sequence[StylePair], count: int, *, seed: int) -> Quads:
    """Draw ``count`` quads of each pair, with repetition; the seed and the pairs' keys decide which."""
    srgb, raw = [], []
    for pair in pairs:
        height, width = pair.raw.shape[-2:]
        rng = scalar_rng(sample_seed(seed, pair.key, "style"))
        picked = torch.from_numpy(rng.integers(height * width, size=count))
        quads = torch.stack([pair.srgb[:, k // 2 :: 2, k % 2 :: 2] for k in range(4)], dim=-1)
        srgb.append(quads.flatten(1, 2)[:, picked].float() / 255)
        raw.append(pair.raw.flatten(1)[:, picked].T)
    return Quads(torch.stack(srgb), torch.stack(raw), torch.stack([pair.rows for pair in pairs]))


def _style_pair(pair: Pair, stated: Mapping[str, Any]) -> StylePair:
    check_pair(pair)
    color = {}
    for name, words in (("white_balance", "--white-balance RED,BLUE"), ("cam_from_srgb", "--cam-from-srgb")):
        value = stated.get(name, pair.meta.get(name))
        if value is None:
            raise UsageError(
                f"pair {pair.key} states no {name}: pairs that `rawsynth pairs` makes of RAW files have it; for others "
                f"give {words}, or --camera with its colour temperature."
            )
        color[name] = value
    try:
        color = check_physics(color)
    except UsageError as error:
        raise SampleError(f"its metadata: {error}") from error
    height, width = (min(side, _SIDE) for side in pair.srgb.shape[-2:])
    top, left = ((a - b) // 4 * 2 for a, b in zip(pair.srgb.shape[-2:], (height, width), strict=True))
    srgb = pair.srgb[:, top : top + height, left : left + width]
    raw = pair.raw[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2].float()
    _check_alignment(srgb, raw, color["white_balance"])
    red, blue = color["white_balance"]
    matrix = torch.tensor(color["cam_from_srgb"]) / torch.tensor([[red], [1.0], [blue]])
    camera = pair.meta.get("camera")
    return StylePair(
        key=pair.key, scene=pair.scene, camera=camera if isinstance(camera, str) else None, frame=pair.srgb,
        srgb=srgb, raw=raw, rows=matrix[list(color_indices(_CFA))].float(),
    )  # fmt: skip


def _check_alignment(srgb: Tensor, raw: Tensor, white_balance: Sequence[float]) -> None:
    mosaic = unpack(raw.clamp(0, 1) * _DN).numpy().astype(np.uint16)
    red, blue = white_balance
    lumas = srgb_luma(srgb.numpy()), mosaic_luma(mosaic, _CFA, black=[0] * 4, white=_DN, white_balance=(red, blue))
    try:
        laid = align(*lumas, max_shift=8)
    except SampleError:
        # Flat: nothing to align, and nothing that a shift would change.
        return
    if laid.score < MIN_SCORE:
        raise SampleError(f"sRGB and RAW do not show the same (score {laid.score:.2f}, wanted {MIN_SCORE}).")
    if laid.dy or laid.dx or laid.residual_px > _MAX_RESIDUAL_PX:
        raise SampleError(
            f"its sRGB lies {laid.dy} rows and {laid.dx} columns off its RAW; `rawsynth pairs` aligns them."
        )
