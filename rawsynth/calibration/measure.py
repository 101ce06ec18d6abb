"""Two frames of one light reduced to sums over tiles of pixels: all that the fits need.

The difference of two frames has neither texture nor vignetting nor pixel-to-pixel gain in it, so its variance is
twice the temporal noise (EMVA1288, section 6.6; Janesick, Photon Transfer, 2007, chapter 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.sets import CaptureSet, FrameReader, Level, Shot
from rawsynth.errors import SampleError

Array = NDArray[np.float64]
_TILES_A_SIDE = 10


@dataclass(frozen=True)
class TileSums:
    """Sums over the pixels of each tile, ``(planes, tiles)``, mean over the pairs of one light.

    Attributes:
        count: pixels.
        total: of the two frames' mean, DN.
        white: such that ``white / count`` is the temporal variance of single pixels, DN^2: rows' and columns' means are
            taken off the difference, the second frame is brought to the light of the first.
        square: of the difference, halved, DN^2: nothing is taken off it.
        clipped: pixels at the clipping value in either frame.
        drift: half the squared mean of the difference, ``(planes, 1)`` DN^2.
        light_ratio: the largest relative difference of the two frames' light, ``(planes, 1)``.
        pairs: number of pairs, ``(planes, 1)``.
    """

    count: Array
    total: Array
    white: Array
    square: Array
    clipped: Array
    drift: Array
    light_ratio: Array
    pairs: Array


def tile_sums(values: NDArray[Any]) -> Array:
    """Sum ``(h, w)`` over a grid of up to 10x10 tiles: ``(tiles,)``."""
    rows, columns = ([side * k // _tiles(side) for k in range(_tiles(side))] for side in values.shape)
    by_row = np.add.reduceat(values, rows, axis=0, dtype=np.float64)
    return np.asarray(np.add.reduceat(by_row, columns, axis=1).reshape(-1))


def tile_index(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the tile of each pixel, ``(h, w)``, as :func:`tile_sums` counts them."""
    rows, columns = ((np.arange(side) * _tiles(side) + _tiles(side) - 1) // side for side in shape)
    return np.asarray(rows[:, None] * _tiles(shape[1]) + columns[None, :])


def _tiles(side: int) -> int:
    return min(_TILES_A_SIDE, side // 4)


def measure_level(
    reader: FrameReader,
    captures: CaptureSet,
    shots: tuple[Shot, ...],
    what: str,
    *,
    offset: Array | None,
    clip_dn: int,
) -> TileSums:
    """Measure all successive pairs of one light.

    Args:
        reader: of the set.
        captures: the set, for its planes.
        shots: two or more frames.
        what: what messages call them.
        offset: mean of the dark frames a plane, ``(planes,)`` DN; ``None`` for dark frames themselves.
        clip_dn: value of a saturated pixel.

    Raises:
        UsageError: fewer than two frames.
        SampleError: two frames are the same file twice.
    """
    pairs = checked_pairs(reader, shots, what, clip_dn)
    return mean_of_pairs([pair_sums(captures, a, b, offset=offset, clip_dn=clip_dn) for a, b in pairs])


def checked_pairs(
    reader: FrameReader, shots: tuple[Shot, ...], what: str, clip_dn: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield each two successive frames that are not one file twice; errors as for :func:`measure_level`."""
    for first, second, a, b in reader.pairs(shots, what):
        if a.min() < min(a.max(), clip_dn) and np.array_equal(a, b):
            raise SampleError(
                f"{first.name} and {second.name} are identical, so there is no noise to measure between them: "
                "give two separate exposures of the same light, not one file twice."
            )
        yield a, b


def mean_of_pairs(measured: Sequence[TileSums]) -> TileSums:
    """Average the sums of several pairs, so that ``count`` stays the number of pixels."""
    stacked = {f.name: np.stack([getattr(one, f.name) for one in measured]) for f in fields(TileSums)}
    means = {name: values.mean(axis=0) for name, values in stacked.items()}
    means["light_ratio"] = stacked["light_ratio"].max(axis=0)
    means["pairs"] = stacked["pairs"].sum(axis=0)
    return TileSums(**means)


def pair_sums(
    captures: CaptureSet, a: NDArray[Any], b: NDArray[Any], *, offset: Array | None, clip_dn: int
) -> TileSums:
    """Reduce one pair of frames ``(H, W)``; arguments as for :func:`measure_level`."""
    rows: dict[str, list[Array]] = {f.name: [] for f in fields(TileSums)}
    for k, (first, second) in enumerate(zip(captures.plane_views(a), captures.plane_views(b), strict=True)):
        clipped = (first >= clip_dn) | (second >= clip_dn)
        x, y = first.astype(np.float64), second.astype(np.float64)
        difference = x - y
        ratio = _light_ratio(x, y, None if offset is None else float(offset[k]))
        rows["count"].append(tile_sums(np.ones_like(x)))
        rows["total"].append(tile_sums(x + y) / 2)
        rows["square"].append(tile_sums(difference * difference) / 2)
        rows["clipped"].append(tile_sums(clipped))
        rows["drift"].append(np.array([difference.mean() ** 2 / 2]))
        rows["light_ratio"].append(np.array([abs(ratio - 1.0)]))
        rows["pairs"].append(np.ones(1))
        if offset is not None:
            difference = (x - offset[k]) - ratio * (y - offset[k])
        white = without_rows_and_columns(difference)
        freedom = (1 - 1 / x.shape[0]) * (1 - 1 / x.shape[1])
        rows["white"].append(tile_sums(white * white) / (freedom * (1 + ratio * ratio)))
    return TileSums(**{name: np.stack(values) for name, values in rows.items()})


def without_rows_and_columns(difference: Array) -> Array:
    """Take the means of rows and columns off ``(h, w)``."""
    columns = difference.mean(axis=0, keepdims=True)
    rows = difference.mean(axis=1, keepdims=True)
    return np.asarray(difference - rows - columns + columns.mean())


def _light_ratio(x: Array, y: Array, offset: float | None) -> float:
    if offset is None:
        return 1.0
    first, second = x.mean() - offset, y.mean() - offset
    ratio = first / second if min(first, second) > 0 else 1.0
    # In near darkness noise, not the lamp, decides the ratio.
    return float(ratio) if abs(ratio - 1) > 3 * np.sqrt(np.var(x - y) / x.size) / abs(second) else 1.0


@dataclass(frozen=True)
class Curve:
    """One plane's levels by rising signal (by exposure time and photons for the standard).

    Of R replicates of a bootstrap the first are the figures themselves.

    Attributes:
        levels: light levels.
        mean: of the bright frames, ``(R, levels)`` DN.
        variance: temporal variance of the bright frames, ``(R, levels)`` DN^2.
        dark_mean, dark_variance: of each level's dark frames, ``(R, levels)``; ``None`` without any.
        count, dark_count: what the variances' errors go by: pixels times pairs, ``(levels,)``.
        clipped: share of saturated pixels, ``(levels,)``.
        light_ratio: how much the light of successive frames differed, relatively, ``(levels,)``.
    """

    levels: tuple[Level, ...]
    mean: Array
    variance: Array
    dark_mean: Array | None
    dark_variance: Array | None
    count: Array
    dark_count: Array | None
    clipped: Array
    light_ratio: Array

    def signal(self, black_level: float = 0.0) -> Array:
        """Mean minus the dark frames' mean, or minus the black level without them: ``(R, levels)`` DN."""
        return self.mean - (black_level if self.dark_mean is None else self.dark_mean)


def plane_curve(
    levels: Sequence[Level],
    bright: Sequence[TileSums],
    dark: Sequence[TileSums] | None,
    plane: int,
    weights: Array,
    *,
    white: bool,
) -> Curve:
    """Gather one plane's curve from the levels' sums.

    Args:
        levels: light levels.
        bright: sums of each level's bright frames.
        dark: of each level's dark frames, ``None`` without any.
        plane: index of the plane.
        weights: how often each tile counts, ``(R, tiles)``.
        white: single pixels' variance, without rows and columns, instead of the standard's.
    """
    mean, variance = _moments(bright, plane, weights, white=white)
    dark_mean, dark_variance = _moments(dark, plane, weights, white=white) if dark else (None, None)
    order = np.argsort(mean[0] - (0.0 if dark_mean is None else dark_mean[0]), kind="stable")
    if not white:
        # The standard's order; where all levels are saturated, signals no longer tell one.
        light = [[number or 0.0 for number in (level.photons, level.exposure_s)] for level in levels]
        order = order[np.lexsort(np.array(light)[order].T)]
    clipped = np.array([one.clipped[plane].sum() / one.count[plane].sum() for one in bright])
    return Curve(
        levels=tuple(levels[k] for k in order),
        mean=mean[:, order],
        variance=variance[:, order],
        dark_mean=None if dark_mean is None else dark_mean[:, order],
        dark_variance=None if dark_variance is None else dark_variance[:, order],
        count=np.array([one.count[plane].sum() * one.pairs[plane, 0] for one in bright])[order],
        dark_count=np.array([one.count[plane].sum() * one.pairs[plane, 0] for one in dark])[order] if dark else None,
        clipped=clipped[order],
        light_ratio=np.array([one.light_ratio[plane, 0] for one in bright])[order],
    )


def _moments(sums: Sequence[TileSums], plane: int, weights: Array, *, white: bool) -> tuple[Array, Array]:
    """Return mean and temporal variance, each ``(R, levels)``."""
    count, total = (weights @ np.stack([getattr(one, name)[plane] for one in sums]).T for name in ("count", "total"))
    squares = weights @ np.stack([one.white[plane] if white else one.square[plane] for one in sums]).T
    drift = 0.0 if white else np.array([one.drift[plane, 0] for one in sums])
    return total / count, squares / count - drift
