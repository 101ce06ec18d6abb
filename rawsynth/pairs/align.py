"""Where an sRGB image lies on the RAW it was developed from, in whole pixels, and how well it lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import SampleError
from rawsynth.pairs.correlation import (
    Luma,
    Window,
    binomial,
    correlate,
    cut,
    highest_peak,
    is_flat,
    nearest_peak,
    total,
)

MIN_SCORE = 0.15
"""Score from which two images show the same: photographs and their RAW score about 0.9, and 0.2 and more at the highest
ISO; two photographs, or two windows of them, stay under 0.08."""

_TILE, _TILES = 512, 12
# The whole image is searched at a quarter of its size at most, and at no less than so many pixels a side.
_COARSEST, _COARSE_SIDE = 4, 256
# What the coarse search and lens correction leave to be found at full size.
_FINE_RADIUS = 8
# A crop is probed in parts of this size, so that a scale is found out that leaves its middle in place; a smaller crop
# is probed with what lies around it.
_PROBE, _SMALLEST_PROBE = 256, 128


@dataclass(frozen=True)
class Alignment:
    """How an sRGB image lies on a RAW: sRGB pixel (y, x) shows RAW pixel (y + dy, x + dx).

    Attributes:
        dy, dx: the shift in whole pixels.
        score: normalised cross-correlation of the gradient fields there, -1 to 1; see :data:`MIN_SCORE`.
        residual_px: distance from that shift to the correlation's peak between the pixels.
    """

    dy: int
    dx: int
    score: float
    residual_px: float


def srgb_luma(srgb: NDArray[np.uint8]) -> Luma:
    """Return ``(H, W)`` luma of ``(3, H, W)`` sRGB in codes of 255: (R + 2 G + B) / 4, blurred as a mosaic's is."""
    red, green, blue = srgb
    return binomial((red.astype(np.uint16) + green + green + blue).astype(np.float32) / 4)


def mosaic_luma(
    mosaic: NDArray[np.uint16],
    cfa: str,
    *,
    black: Sequence[int],
    white: int,
    white_balance: tuple[float, float] | None = None,
) -> Luma:
    """Return ``(H, W)`` luma of a mosaic in codes of 255, for alignment only.

    The square root of the white-balanced mosaic blurred with [1, 2, 1] in both directions: at every site a quarter red,
    half green and a quarter blue, without demosaicing and centred on the site.

    Args:
        mosaic: ``(H, W)`` DN.
        cfa: layout of the first 2x2 sites.
        black: DN of those sites.
        white: DN of saturation.
        white_balance: gains of red and blue; 1 where unknown.
    """
    red, blue = white_balance or (1.0, 1.0)
    light = np.empty(mosaic.shape, np.float32)
    for k, color in enumerate(cfa):
        gain = {"R": red, "G": 1.0, "B": blue}[color] / (white - black[k])
        sites = (slice(k // 2, None, 2), slice(k % 2, None, 2))
        light[sites] = (mosaic[sites].astype(np.float32) - black[k]) * gain
    return 255 * np.sqrt(binomial(light.clip(0, 1)))


def align(srgb: Luma, raw: Luma, *, max_shift: int = 64) -> Alignment:
    """Find the shift of an sRGB image on a RAW: in the whole image first, then at full size in tiles that have edges.

    Args:
        srgb: ``(H, W)`` from :func:`srgb_luma`.
        raw: ``(H', W')`` from :func:`mosaic_luma`.
        max_shift: how far the search goes, in pixels, beyond shifts that put images of different size corner on corner
            or centre on centre.

    Raises:
        SampleError: the sRGB image is too flat for a shift to be found.
    """
    size = min(_TILE, srgb.shape[0]), min(_TILE, srgb.shape[1])
    tiles = [window for window in grid((0, 0, *srgb.shape), size) if not is_flat(cut(srgb, window))]
    if not tiles:
        raise SampleError("too flat to align: the sRGB image has hardly an edge.")
    dy, dx, _ = coarse_shift(srgb, raw, max_shift=max_shift)
    spread = tiles[:: -(-len(tiles) // _TILES)]
    peak = highest_peak(total([correlate(srgb, raw, window, (dy, dx), _FINE_RADIUS) for window in spread]).scores)
    return Alignment(dy + peak.row, dx + peak.column, peak.score, float(np.hypot(*peak.between)))


def coarse_shift(srgb: Luma, raw: Luma, *, max_shift: int = 64) -> tuple[int, int, float]:
    """Find the shift of the whole image at reduced size.

    Returns:
        Rows and columns, a few pixels off at most, and the score.
    """
    factor = max(1, min(_COARSEST, min(srgb.shape) // _COARSE_SIDE))
    small, other = _shrink(srgb, factor), _shrink(raw, factor)
    centre = (other.shape[0] - small.shape[0]) // 2, (other.shape[1] - small.shape[1]) // 2
    radius = -(-max_shift // factor) + max(map(abs, centre)) + 1
    peak = highest_peak(correlate(small, other, (0, 0, *small.shape), centre, radius).scores)
    return factor * (centre[0] + peak.row), factor * (centre[1] + peak.column), peak.score


def local_alignment(srgb: Luma, raw: Luma, image: Alignment, window: Window) -> Alignment | None:
    """Measure how one window of an image lies, within a few pixels of the image's own shift.

    Args:
        srgb, raw: of the whole images.
        image: their alignment.
        window: in the sRGB image.

    Returns:
        The window's own shift and score; ``residual_px`` is the distance from the *image's* shift to the window's peak
        or, where that is more, to the peak of a part of it that lies otherwise. ``None`` if the window is flat.
    """
    probes = [probe for probe in _probes(window, srgb.shape) if not is_flat(cut(srgb, probe))]
    if not probes:
        return None
    parts = [correlate(srgb, raw, probe, (image.dy, image.dx), _FINE_RADIUS) for probe in probes]
    whole, peaks = nearest_peak(total(parts).scores), [nearest_peak(part.scores) for part in parts]
    farthest = max([whole.distance, *(peak.distance for peak in peaks if peak.score >= MIN_SCORE)])
    return Alignment(image.dy + whole.row, image.dx + whole.column, whole.score, farthest)


def grid(area: Window, size: tuple[int, int]) -> list[Window]:
    """Return the windows of a size that fit side by side into an area, in reading order, in its middle.

    They start an even number of pixels from the area's corner, so a grid in a mosaic keeps the corner's Bayer phase.

    >>> grid((0, 0, 5, 9), (4, 4))
    [(0, 0, 4, 4), (0, 4, 4, 4)]
    """
    top, left, rows, columns = area
    height, width = size
    down, across = rows // height, columns // width
    top, left = top + (rows - down * height) // 4 * 2, left + (columns - across * width) // 4 * 2
    return [(top + r * height, left + c * width, height, width) for r in range(down) for c in range(across)]


def _probes(window: Window, shape: tuple[int, ...]) -> list[Window]:
    top, left, height, width = window
    down, across = max(1, height // _PROBE), max(1, width // _PROBE)
    probes = []
    for r in range(down):
        for c in range(across):
            y, rows = _widened(top + r * height // down, height // down, shape[0])
            x, columns = _widened(left + c * width // across, width // across, shape[1])
            probes.append((y, x, rows, columns))
    return probes


def _widened(start: int, length: int, limit: int) -> tuple[int, int]:
    """Return start and length of a stretch widened to the smallest probe, within an image's side."""
    wanted = min(max(length, _SMALLEST_PROBE), limit)
    return min(max(start - (wanted - length) // 2, 0), limit - wanted), wanted


def _shrink(luma: Luma, factor: int) -> Luma:
    rows, columns = luma.shape[0] // factor, luma.shape[1] // factor
    blocks = luma[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
