"""Crops and flips of a pair that keep its RAW a Bayer mosaic of the same layout, and aligned with its sRGB.

Mirroring RGGB gives GRBG or GBRG. The window is therefore cut one pixel off the Bayer grid along each mirrored side, so
that the mirrored cut begins with R again (Liu et al., "Learning Raw Image Denoising With Bayer Pattern Unification and
Bayer Preserving Augmentation", CVPR Workshops 2019).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.pair import Pair
from rawsynth.raw.cfa import pack, unpack


def crop_pair(pair: Pair, top: int, left: int, height: int, width: int) -> Pair:
    """Cut a window out of a pair.

    Args:
        pair: of ``(3, H, W)`` and ``(4, H/2, W/2)``.
        top, left, height, width: in sRGB pixels, all even, so that the Bayer phase stays.

    Returns:
        The pair of ``(3, height, width)`` and ``(4, height/2, width/2)``, in memory of its own.

    Raises:
        UsageError: an odd or negative number, or an empty window.
        SampleError: the window leaves the pair.
    """
    if any(value % 2 for value in (top, left, height, width)):
        raise UsageError(f"a crop of a pair is even in all four numbers; got {(top, left, height, width)}.")
    return _cut(pair, (top, left, height, width), mirrored=(False, False))


def augment_pair(pair: Pair, rng: np.random.Generator, *, crop: tuple[int, int] | None, flips: bool) -> Pair:
    """Cut a random window and mirror it at random.

    Every window that the Bayer grid allows is equally likely; each side is mirrored in half of the cases.

    Args:
        pair: of ``(3, H, W)`` and ``(4, H/2, W/2)``.
        rng: of the draws.
        crop: height and width in sRGB pixels, even; ``None`` for the whole pair.
        flips: mirror. A mirrored window lies off the Bayer grid, so the pair is at least 2 pixels larger than the crop.

    Returns:
        The pair of ``(3, height, width)`` uint8 and ``(4, height/2, width/2)`` float32, RGGB.

    Raises:
        UsageError: a crop with an odd or no positive side, or flips of a crop larger than the pair less 2 pixels.
        SampleError: the pair is smaller than the crop.

    >>> import torch
    >>> pair = Pair("a", "a", torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(4, 4, 4))
    >>> augment_pair(pair, np.random.default_rng(0), crop=(6, 4), flips=True).raw.shape
    torch.Size([4, 3, 2])
    """
    sides = (int(pair.srgb.shape[-2]), int(pair.srgb.shape[-1]))
    height, width = sides if crop is None else crop
    if height % 2 or width % 2 or height <= 0 or width <= 0:
        raise UsageError(f"a crop of a pair has positive even sides; got {height}x{width}.")
    if height > sides[0] or width > sides[1]:
        raise SampleError(
            f"pair {pair.key}: wanted at least {height}x{width} pixels to crop, got {sides[0]}x{sides[1]}; choose a "
            "smaller crop or leave the pair out."
        )
    if flips and (height > sides[0] - 2 or width > sides[1] - 2):
        raise UsageError(
            f"flips of a {sides[0]}x{sides[1]} pair need a crop of at most {sides[0] - 2}x{sides[1] - 2}, to stay on "
            f"the Bayer grid; got {height}x{width}{'' if crop else ', the whole pair'}. Choose a smaller crop."
        )
    mirror_rows, mirror_columns = (bool(value) and flips for value in rng.integers(2, size=2))
    top = _draw_offset(rng, sides[0] - height, odd=mirror_rows)
    left = _draw_offset(rng, sides[1] - width, odd=mirror_columns)
    return _cut(pair, (top, left, height, width), mirrored=(mirror_rows, mirror_columns))


def _draw_offset(rng: np.random.Generator, room: int, *, odd: bool) -> int:
    """Draw from 0, 2, ..., room, or from 1, 3, ..., room - 1."""
    return 2 * int(rng.integers(room // 2 + (0 if odd else 1))) + odd


def _cut(pair: Pair, window: tuple[int, int, int, int], *, mirrored: tuple[bool, bool]) -> Pair:
    """Cut a window, off the grid by one exactly along the sides that are then mirrored."""
    top, left, height, width = window
    if min(top, left) < 0 or min(height, width) <= 0:
        raise UsageError(f"a crop of a pair has offsets from 0 and positive sides; got {window}.")
    full = tuple(pair.srgb.shape[-2:])
    if top + height > full[0] or left + width > full[1]:
        raise SampleError(f"pair {pair.key}: wanted the window {window} (top, left, height, width), got {full} pixels.")
    dims = [dim for dim, mirror in zip((-2, -1), mirrored, strict=True) if mirror]
    srgb = pair.srgb[:, top : top + height, left : left + width]
    # From whole Bayer blocks around the window, so that the rest of a large frame is never touched.
    blocks = pair.raw[:, top // 2 : (top + height + 1) // 2, left // 2 : (left + width + 1) // 2]
    mosaic = unpack(blocks)[top % 2 : top % 2 + height, left % 2 : left % 2 + width]
    raw = pack(mosaic.flip(dims))
    # flip() copies, also with nothing to mirror, so a crop does not hold its frame alive.
    return replace(pair, srgb=srgb.flip(dims).contiguous(), raw=raw)
