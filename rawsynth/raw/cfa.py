"""Colour filter arrays: the 2x2 Bayer tile as a string, and the moves between a mosaic and its packed planes.

A CFA is the tile's colours in reading order: ``"RGGB"``, ``"BGGR"``, ``"GRBG"`` or ``"GBRG"``. Packing keeps that
order: plane ``k`` holds the sensor sites ``(2i + k // 2, 2j + k % 2)``, so ``"RGGB"`` packs to R, Gr, Gb, B.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.registry import pick

BAYER_LAYOUTS = ("RGGB", "BGGR", "GRBG", "GBRG")


def check_cfa(cfa: str) -> str:
    """Return ``cfa`` if it is one of the four Bayer layouts.

    Raises:
        UnknownNameError: it is not; the message lists them.
    """
    return pick({name: name for name in BAYER_LAYOUTS}, cfa, "CFA layout")


def color_indices(cfa: str) -> tuple[int, int, int, int]:
    """Return the RGB channel that each packed plane samples.

    >>> color_indices("GRBG")
    (1, 0, 2, 1)
    """
    first, second, third, fourth = ("RGB".index(color) for color in check_cfa(cfa))
    return first, second, third, fourth


def plane_names(cfa: str) -> tuple[str, ...]:
    """Return the planes' names; the two greens are told apart by the colour that shares their sensor row.

    >>> plane_names("RGGB")
    ('R', 'Gr', 'Gb', 'B')
    """
    row_mate = {0: 1, 1: 0, 2: 3, 3: 2}
    return tuple(c if c != "G" else "G" + cfa[row_mate[k]].lower() for k, c in enumerate(check_cfa(cfa)))


def pack(mosaic: Tensor) -> Tensor:
    """Split a mosaic ``(..., H, W)`` of even size into planes ``(..., 4, H/2, W/2)``, in reading order.

    Raises:
        UsageError: a side is odd.

    >>> pack(torch.tensor([[1, 2], [3, 4]])).flatten().tolist()
    [1, 2, 3, 4]
    """
    height, width = mosaic.shape[-2:]
    if height % 2 or width % 2:
        raise UsageError(f"a mosaic has even sides; got {height}x{width}. Crop one row or column first.")
    return torch.stack([mosaic[..., k // 2 :: 2, k % 2 :: 2] for k in range(4)], dim=-3)


def unpack(packed: Tensor) -> Tensor:
    """Interleave planes ``(..., 4, h, w)`` to the mosaic ``(..., 2h, 2w)``; the inverse of :func:`pack`.

    Raises:
        UsageError: there are not four planes.
    """
    if packed.dim() < 3 or packed.shape[-3] != 4:
        raise UsageError(f"packed RAW is (..., 4, h, w); got {tuple(packed.shape)}.")
    lead, height, width = packed.shape[:-3], packed.shape[-2], packed.shape[-1]
    # (..., row, column, h, w) to (..., h, row, w, column); pixel_shuffle would do it for floats only.
    tiles = packed.reshape(*lead, 2, 2, height, width).movedim((-4, -3), (-3, -1))
    return tiles.reshape(*lead, 2 * height, 2 * width)


def mosaic(rgb: Tensor, cfa: str) -> Tensor:
    """Sample ``(..., 3, H, W)`` at the CFA's sites and pack: ``(..., 4, H/2, W/2)``, nearest, no low-pass."""
    height, width = rgb.shape[-2:]
    if rgb.dim() < 3 or rgb.shape[-3] != 3 or height % 2 or width % 2:
        raise UsageError(f"mosaicking takes (..., 3, H, W) with even H and W; got {tuple(rgb.shape)}.")
    sites = [rgb[..., c, k // 2 :: 2, k % 2 :: 2] for k, c in enumerate(color_indices(cfa))]
    return torch.stack(sites, dim=-3)


def flip_horizontal(packed: Tensor, cfa: str) -> tuple[Tensor, str]:
    """Mirror the sensor image left to right. The scene flips; planes keep reading order, so the layout changes.

    Returns:
        The flipped planes and the CFA they now have: ``"RGGB"`` becomes ``"GRBG"``.
    """
    check_cfa(cfa)
    return packed.flip(-1)[..., [1, 0, 3, 2], :, :], "".join(cfa[k] for k in (1, 0, 3, 2))


def flip_vertical(packed: Tensor, cfa: str) -> tuple[Tensor, str]:
    """Mirror the sensor image top to bottom; returns the flipped planes and the CFA they now have."""
    check_cfa(cfa)
    return packed.flip(-2)[..., [2, 3, 0, 1], :, :], "".join(cfa[k] for k in (2, 3, 0, 1))


def crop(packed: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Cut a window given in sensor pixels; even offsets and sizes keep the CFA's phase.

    Raises:
        UsageError: an odd number, an empty window, or one that leaves the image.
    """
    sensor_height, sensor_width = 2 * packed.shape[-2], 2 * packed.shape[-1]
    if any(value % 2 for value in (top, left, height, width)):
        raise UsageError(f"a Bayer crop is even in all four numbers; got {(top, left, height, width)}.")
    if height <= 0 or width <= 0:
        raise UsageError(f"a crop has positive height and width; got {height}x{width}.")
    if top < 0 or left < 0 or top + height > sensor_height or left + width > sensor_width:
        raise UsageError(f"crop {(top, left, height, width)} leaves the {sensor_height}x{sensor_width} image.")
    return packed[..., top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
