"""A series of dark frames: row and column noise, and the law of single pixels' noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.measure import Array, TileSums, tile_index
from rawsynth.calibration.result import DarkNoise
from rawsynth.calibration.rows import RowColumnSums
from rawsynth.calibration.sets import CaptureSet
from rawsynth.calibration.tukey import Differences, fit_tukey

_REMAINDER_BINS = 129
# Histograms reach this many standard deviations of a difference, in bins of at most a 16th of one.
_REACH, _BINS_A_SIGMA = 16.0, 16


class DarkSeries:
    """Sums over pairs of successive dark frames; a pair at a time is in memory."""

    def __init__(self, captures: CaptureSet) -> None:
        self._captures = captures
        self._phases = 1 if captures.cfa is None else 2
        self._rows = RowColumnSums(self._phases)
        self._planes: list[_Histogram] = []
        self.frames = 0
        self.zeros = 0.0

    def add(self, a: NDArray[Any], b: NDArray[Any], sums: TileSums, *, new_series: bool) -> None:
        """Add two frames.

        Args:
            a, b: ``(H, W)`` DN.
            sums: of the pair.
            new_series: the first frame is new, too; else it was the second one of the last pair.
        """
        difference = a.astype(np.float64) - b
        views = self._captures.plane_views(difference)
        for view in views:
            view -= view.mean()
        white = sums.white.sum(axis=1) / sums.count.sum(axis=1)
        self._rows.add(difference, float(white.mean()))
        offset, removed = self._row_column_offsets(difference, float(white.mean()))
        offsets = self._captures.plane_views(offset)
        self._planes = self._planes or [
            _Histogram(view.shape, math.sqrt(variance)) for view, variance in zip(views, white, strict=True)
        ]
        firsts, seconds = self._captures.plane_views(a), self._captures.plane_views(b)
        for histogram, first, second, known in zip(self._planes, firsts, seconds, offsets, strict=True):
            histogram.add(first.astype(np.int64) - second, known, removed)
        self.frames += 2 if new_series else 1
        self.zeros += (float((b == 0).mean()) - self.zeros) / max(self.frames - 1, 1)

    def noise(self, rng: np.random.Generator) -> DarkNoise:
        """Return what the series told."""
        return DarkNoise(
            frames=self.frames,
            row_sigma_dn=self._rows.sigma(0, rng),
            column_sigma_dn=self._rows.sigma(1, rng),
            row_spectrum=self._rows.spectrum(0),
            column_spectrum=self._rows.spectrum(1),
            tukey=fit_tukey([histogram.differences() for histogram in self._planes], rng),
        )

    def _row_column_offsets(self, difference: Array, white: float) -> tuple[Array, _Removal]:
        """Return what each pixel's row and column are off by, ``(H, W)`` DN, as far as rows and columns share it.

        A mean over a row has single pixels' noise in it, too, so it is shrunk to what rows have in common (the best
        linear predictor). What that still takes from single pixels, and adds to them, is part of the law to compare.
        """
        offset, share_removed, added = np.zeros(difference.shape), 0.0, 0.0
        for axis in (0, 1):
            means = difference.mean(axis=1 - axis, keepdims=True)
            total = float((means * means).sum() / (means.size - self._phases))
            noise = 2 * white / difference.shape[1 - axis]
            common = max(total - noise, 0.0)
            share = common / total if total > 0 else 0.0
            offset = offset + share * means
            share_removed += share / difference.shape[1 - axis]
            added += share**2 * noise + (1 - share) ** 2 * common
        return offset, _Removal(share_removed, added)


@dataclass(frozen=True)
class _Removal:
    share: float
    added_dn2: float


class _Histogram:
    """Counts of one plane's whole differences, by tile, without the whole DN of rows' and columns' offsets."""

    def __init__(self, shape: tuple[int, ...], sigma: float) -> None:
        spread = math.sqrt(2) * max(sigma, 0.3)
        self._width = max(1, int(spread / _BINS_A_SIGMA))
        self._bins = 2 * math.ceil(_REACH * spread / self._width) + 1
        # The middle bin is centred on no difference.
        self._first = -(self._bins // 2) * self._width - self._width // 2
        self._tile = tile_index(shape)
        self._tiles = int(self._tile.max()) + 1
        self._counts = np.zeros(self._tiles * self._bins)
        self._remainders = np.zeros(_REMAINDER_BINS)
        self._sums = np.zeros(4)
        self._rng = np.random.default_rng(0)

    def add(self, whole: NDArray[np.int64], offset: Array, removal: _Removal) -> None:
        # Rounded at random, so that what rounding leaves goes with no row or column.
        target = offset + float(whole.mean())
        shift = np.floor(target + self._rng.random(whole.shape))
        index = (whole - shift.astype(np.int64) - self._first) // self._width
        flat = self._tile * self._bins + np.clip(index, 0, self._bins - 1)
        self._counts += np.bincount(flat.reshape(-1), minlength=self._counts.size)
        bins = ((target - shift + 1.0) / 2 * _REMAINDER_BINS).astype(np.intp).clip(0, _REMAINDER_BINS - 1)
        self._remainders += np.bincount(bins.reshape(-1), minlength=_REMAINDER_BINS)
        self._sums += np.array([float((whole - offset).var()) / 2, removal.share, removal.added_dn2, 1.0])

    def differences(self) -> Differences:
        variance, share, added = (float(value) for value in self._sums[:3] / self._sums[3])
        return Differences(
            counts=self._counts.reshape(self._tiles, self._bins),
            first=self._first,
            width=self._width,
            remainders=self._remainders,
            removed=share,
            added_dn2=added,
            sigma_dn=math.sqrt(variance),
        )
