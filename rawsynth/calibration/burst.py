"""Noise from a burst of one static scene, without flat fields: the scene's own light levels are the curve's points.

A pixel's variance over time is plotted over its mean over time. Pixels are sorted into levels by the mean of every
second frame and measured by the mean of the others, so that noise in the sorting does not bend the curve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.bootstrap import block_weights
from rawsynth.calibration.darks import DarkSeries
from rawsynth.calibration.measure import Array, Curve, TileSums, tile_index, without_rows_and_columns
from rawsynth.calibration.motion import check_static, robust_line
from rawsynth.calibration.photon_transfer import LIGHT_TOLERANCE, DarkLevel, dark_level, fit_weighted
from rawsynth.calibration.result import DarkNoise, IsoCalibration, PlaneCalibration
from rawsynth.calibration.rows import RowColumnSums
from rawsynth.calibration.sets import CaptureSet, FrameReader, Level
from rawsynth.errors import SampleError, UsageError

LEAST_FRAMES = 4
_LEVELS = 32
_LEAST_CONTRAST = 2.0


@dataclass(frozen=True)
class BurstDarks:
    """What dark frames beside a burst tell.

    Attributes:
        sums: of the dark frames.
        series: their rows, columns and tails.
    """

    sums: TileSums
    series: DarkSeries


def calibrate_burst(
    captures: CaptureSet, darks: BurstDarks | None, *, clip_dn: int, rng: np.random.Generator
) -> IsoCalibration:
    """Measure the noise of one ISO from a burst.

    Args:
        captures: the set; its ``burst`` has four or more frames.
        darks: of the same ISO; without them the black level must be known and rows and columns come from the burst.
        clip_dn: value of a saturated pixel.
        rng: of the bootstrap.

    Raises:
        UsageError: too few frames, or neither darks nor a black level.
        SampleError: the scene or its light moved, or has too little contrast.
    """
    if len(captures.burst) < LEAST_FRAMES:
        raise UsageError(
            f"{captures.name}: {len(captures.burst)} frames; a burst needs {LEAST_FRAMES} or more of one static scene. "
            "Capture 8 to 32 from a tripod, with fixed exposure and focus."
        )
    black = _black(captures, darks)
    over_time = _OverTime(captures, black, clip_dn)
    found = darks.series.noise(rng) if darks else _rows_only(over_time, len(captures.burst), rng)
    common = found.row_sigma_dn.value**2 + found.column_sigma_dn.value**2
    shape = captures.plane_views(over_time.variance)[0].shape
    tiles = tile_index(shape)
    weights = block_weights(int(tiles.max()) + 1, rng=rng)
    planes: list[PlaneCalibration] = []
    parts = (over_time.sorting, over_time.mean, over_time.variance, over_time.clipped)
    for k, name in enumerate(captures.planes):
        sorting, mean, variance, clipped = (captures.plane_views(part)[k] for part in parts)
        where = f"{captures.name}, plane {name}"
        expected = robust_line(mean - black[k], variance, clipped, frames=len(captures.burst), where=where)
        moved = check_static(variance / expected, tiles, clipped, frames=len(captures.burst), where=where)
        curve = _curve(sorting, mean, variance - common, clipped, np.where(moved, -1, tiles), weights)
        dark = DarkLevel(None, float(black[k]))
        if darks is not None:
            dark = dark_level([Level("dark", ())], [darks.sums], k, weights)
            curve = _with_darks(curve, darks.sums, k, weights)
        else:
            _check_contrast(curve.signal(float(black[k]))[0], where)
        planes.append(
            fit_weighted(
                curve, dark, name, tiles=weights.shape[1], black_level=float(black[k]), white_level=clip_dn
            )
        )
    return IsoCalibration(
        name=captures.name,
        iso=captures.iso,
        cfa=captures.cfa,
        fit="burst",
        white_level=clip_dn,
        bits=captures.bits,
        planes=tuple(planes),
        dark=found,
        warnings=tuple(_warnings(captures, darks)),
    )


def _check_contrast(signal: Array, where: str) -> None:
    if signal[-2] < _LEAST_CONTRAST * max(signal[1], 0.0):
        raise SampleError(
            f"{where}: the scene spans only {signal[1]:.0f} to {signal[-2]:.0f} DN over black, too little to tell "
            "shot from read noise; choose a scene with deep shadows and highlights, or add dark frames."
        )


def _warnings(captures: CaptureSet, darks: BurstDarks | None) -> list[str]:
    if darks is not None:
        return []
    return [
        f"no dark frames: read noise is where the line meets the black level of {captures.black_level:g} DN, so an "
        "error of that level is in it, and there are no tails; add dark frames of the same ISO."
    ]


def _black(captures: CaptureSet, darks: BurstDarks | None) -> Array:
    if darks is not None:
        return np.asarray(darks.sums.total.sum(axis=1) / darks.sums.count.sum(axis=1))
    if captures.black_level is None:
        raise UsageError(
            f"{captures.name}: a burst needs dark frames or the black level, or read noise cannot be told from it; "
            "capture two or more frames with the lens capped, or give the black level."
        )
    return np.full(len(captures.planes), float(captures.black_level))


class _OverTime:
    """Mean and variance over time of each pixel of a burst, read once, a frame and its predecessor in memory."""

    def __init__(self, captures: CaptureSet, black: Array, clip_dn: int) -> None:
        reader = FrameReader(captures)
        self.rows = RowColumnSums(1 if captures.cfa is None else 2)
        count = len(captures.burst)
        frame = reader.read(captures.burst[0])
        self._light = _light(frame, captures, black)
        self.clipped: NDArray[np.bool_] = (frame >= clip_dn) | (frame == 0)
        first = before = frame.astype(np.float64)
        sums = [np.zeros_like(first), np.zeros_like(first)]
        squares = np.zeros_like(first)
        for index, shot in enumerate(captures.burst[1:], start=1):
            frame = reader.read(shot)
            own = self._to_first_light(frame, captures, black, shot.name)
            self._add_rows(own - before, captures)
            change = own - first
            sums[index % 2] += change
            squares += change * change
            self.clipped |= (frame >= clip_dn) | (frame == 0)
            before = own
        if not squares.any():
            raise SampleError(f"{captures.name}: all frames are identical; give separate exposures of one scene.")
        self.variance: Array = (squares - (sums[0] + sums[1]) ** 2 / count) / (count - 1)
        self.sorting: Array = first + sums[0] / ((count + 1) // 2)
        self.mean: Array = first + sums[1] / (count // 2)

    def _to_first_light(self, frame: NDArray[Any], captures: CaptureSet, black: Array, name: str) -> Array:
        """Bring a frame to the first one's light: lamps flicker and shutters vary by a little."""
        own = frame.astype(np.float64)
        light = _light(frame, captures, black)
        ratios = np.divide(self._light, light, out=np.ones_like(light), where=(light > 0) & (self._light > 0))
        if np.abs(ratios - 1).max() > LIGHT_TOLERANCE:
            raise SampleError(
                f"{name}: its light differs by {100 * np.abs(ratios - 1).max():.2g} % from the first frame's; a burst "
                "needs constant light and manual exposure. Capture it under daylight or a lamp that does not flicker."
            )
        for k, view in enumerate(captures.plane_views(own)):
            view[...] = (view - black[k]) * ratios[k] + black[k]
        return own

    def _add_rows(self, difference: Array, captures: CaptureSet) -> None:
        views = captures.plane_views(difference)
        for view in views:
            view -= view.mean()
        white = [float((without_rows_and_columns(view) ** 2).sum() / 2 / _freedom(view.shape)) for view in views]
        self.rows.add(difference, float(np.mean(white)))


def _light(frame: NDArray[Any], captures: CaptureSet, black: Array) -> Array:
    return np.array([view.mean() for view in captures.plane_views(frame)]) - black


def _freedom(shape: tuple[int, ...]) -> int:
    return (shape[0] - 1) * (shape[1] - 1)


def _curve(
    sorting: Array, mean: Array, variance: Array, clipped: NDArray[np.bool_], tiles: NDArray[Any], weights: Array
) -> Curve:
    """Sort pixels into levels of equal numbers and sum them by tile; tile -1 is left out."""
    kept = tiles >= 0
    edges = np.unique(np.quantile(sorting[kept], np.linspace(0, 1, _LEVELS + 1)[1:-1]))
    level = np.searchsorted(edges, sorting[kept], side="right")
    count, blocks = len(edges) + 1, weights.shape[1]
    index = tiles[kept] * count + level

    def summed(values: Array) -> Array:
        sums = np.bincount(index, weights=values, minlength=blocks * count)
        return np.asarray(sums.reshape(blocks, count), dtype=np.float64)

    pixels = weights @ summed(np.ones(index.size))
    pixels = np.where(pixels > 0, pixels, np.nan)
    means, variances = (weights @ summed(part[kept]) / pixels for part in (mean, variance))
    filled = [np.where(np.isnan(values), values[:1], values) for values in (means, variances)]
    order = np.argsort(filled[0][0])
    share = summed(clipped[kept].astype(np.float64)).sum(axis=0) / pixels[0]
    names = tuple(Level(f"pixels at {filled[0][0, k]:.5g} DN", ()) for k in order)
    return Curve(
        levels=names,
        mean=filled[0][:, order],
        variance=filled[1][:, order],
        dark_mean=None,
        dark_variance=None,
        count=pixels[0, order],
        dark_count=None,
        clipped=share[order],
        light_ratio=np.zeros(count),
    )


def _with_darks(curve: Curve, sums: TileSums, plane: int, weights: Array) -> Curve:
    count = weights @ sums.count[plane]
    mean, variance = (weights @ getattr(sums, name)[plane] / count for name in ("total", "white"))
    ones = np.ones(curve.mean.shape[1])
    return replace(
        curve,
        dark_mean=mean[:, None] * ones,
        dark_variance=variance[:, None] * ones,
        dark_count=ones * sums.count[plane].sum() * sums.pairs[plane, 0],
    )


def _rows_only(over_time: _OverTime, frames: int, rng: np.random.Generator) -> DarkNoise:
    return DarkNoise(
        frames=frames,
        row_sigma_dn=over_time.rows.sigma(0, rng),
        column_sigma_dn=over_time.rows.sigma(1, rng),
        row_spectrum=over_time.rows.spectrum(0),
        column_spectrum=over_time.rows.spectrum(1),
        tukey=None,
    )
