"""What is measured on frames of a static scene, the same way on real and on synthetic ones.

The residual is the frame minus the temporal mean of its own frames, times ``sqrt(n / (n - 1))``, which gives it the
noise's variance whatever the number n of frames. Spatial figures are taken on residuals divided by their intensity
bin's sigma, so that bright pixels do not outweigh dark ones, and less their frame's mean, so that flicker of the light
is told apart from rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rawsynth.evaluation.noise_bins import Array, PlaneBins, unsaturated
from rawsynth.evaluation.noise_stack import FrameStack

LAGS = (1, 2, 3, 4, 6, 8)
"""Distances in pixels of the plane at which autocorrelation is measured."""

BLOCK = 8
_MOVING_RATIO = 10.0


@dataclass(frozen=True, eq=False)
class PlaneMeasurement:
    """Figures of one plane.

    Attributes:
        bins: what residuals were sorted into.
        pixels: a bin, without saturated ones.
        mean_dn: temporal mean of all of them.
        intensity_dn: temporal mean of each bin's; 0 for one without pixels.
        variance_dn2: of the residuals in each bin.
        histograms: ``(bins, 2 m)`` residuals a cell about 0.
        row_correlation, column_correlation: along a row and down a column, at :data:`LAGS`.
        row_share, column_share, frame_share: variance of what a row, a column or a frame has in common, over the
            total; 0 for white noise, and below 0 by chance.
        saturated_share: pixels left out because they reach the white level.
        zero_share: values at 0 DN, which were clipped.
        moving_share: blocks of 8x8 whose mean varies more than ten times as much as white noise's would.
        row_means, column_means: ``(n, h)`` and ``(n, w)``, standardised.
    """

    bins: PlaneBins
    pixels: NDArray[np.int64]
    mean_dn: float
    intensity_dn: Array
    variance_dn2: Array
    histograms: NDArray[np.int64]
    row_correlation: Array
    column_correlation: Array
    row_share: float
    column_share: float
    frame_share: float
    saturated_share: float
    zero_share: float
    moving_share: float
    row_means: Array = field(repr=False)
    column_means: Array = field(repr=False)

    @property
    def sigma_dn(self) -> float:
        """Standard deviation of all residuals."""
        total = max(int(self.pixels.sum()), 1)
        return float(np.sqrt((self.variance_dn2 * self.pixels).sum() / total))


def measure(stack: FrameStack, bins: Sequence[PlaneBins], frames: Sequence[int]) -> list[PlaneMeasurement]:
    """Measure some frames of a stack, plane by plane.

    Args:
        stack: DN.
        bins: from :func:`rawsynth.evaluation.noise_bins.plan_bins` of the real frames.
        frames: indices of at least two.
    """
    return [_measure_plane(stack, plane_bins, frames) for plane_bins in bins]


def _measure_plane(stack: FrameStack, bins: PlaneBins, frames: Sequence[int]) -> PlaneMeasurement:
    values = stack.plane_values(bins.plane)
    sums = _Sums(bins, len(frames), *values.shape[1:])
    for rows in stack.bands(bins.plane):
        sums.add(rows, values[list(frames), rows], stack.white_level)
    return sums.result()


class _Sums:
    """Running sums over the bands of one plane."""

    def __init__(self, bins: PlaneBins, n: int, height: int, width: int) -> None:
        self.bins, self.n = bins, n
        self.pixels, self.squares = np.zeros(bins.count, np.int64), np.zeros(bins.count)
        self.histograms = np.zeros((bins.count, 2 * bins.half_cells), np.int64)
        self.levels, self.zeros, self.sites = np.zeros(bins.count), 0, height * width
        self.products, self.products_of = np.zeros((2, len(LAGS))), np.zeros((2, len(LAGS)))
        self.row_sums, self.row_counts = np.zeros((n, height)), np.zeros(height)
        self.column_sums, self.column_counts = np.zeros((n, width)), np.zeros(width)
        self.power = 0.0
        self.blocks, self.moving = 0, 0

    def add(self, rows: slice, band: NDArray[np.uint16], white_level: int | None) -> None:
        """Take in a band ``(n, rows, w)`` of DN."""
        mean = band.mean(axis=0, dtype=np.float64)
        residual = (band - mean.astype(np.float32)) * np.float32((self.n / (self.n - 1)) ** 0.5)
        usable = unsaturated(band, white_level)
        label = np.searchsorted(self.bins.edges_dn, mean, side="right")
        self.levels += np.bincount(label[usable], weights=mean[usable], minlength=self.bins.count)
        self.zeros += int((band[:, usable] == 0).sum())
        self._sort(residual[:, usable], label[usable])
        standard = residual * np.where(usable, 1.0 / self.bins.sigma_dn[label], 0.0).astype(np.float32)
        self._spatial(rows, standard, usable)

    def _sort(self, residual: NDArray[np.float32], label: NDArray[np.int64]) -> None:
        count, half = self.bins.count, self.bins.half_cells
        self.pixels += np.bincount(label, minlength=count)
        squares = np.einsum("np,np->p", residual, residual, dtype=np.float64)
        self.squares += np.bincount(label, weights=squares, minlength=count)
        cells = np.floor(residual * np.float32(1.0 / self.bins.cell_dn)).astype(np.int64)
        cells = np.clip(cells, -half, half - 1) + half + label * (2 * half)
        self.histograms += np.bincount(cells.reshape(-1), minlength=self.histograms.size).reshape(self.histograms.shape)

    def _spatial(self, rows: slice, standard: NDArray[np.float32], usable: NDArray[np.bool_]) -> None:
        self.power += _dot(standard, standard)
        self.row_sums[:, rows] = standard.sum(axis=2, dtype=np.float64)
        self.row_counts[rows] = usable.sum(axis=1)
        self.column_sums += standard.sum(axis=1, dtype=np.float64)
        self.column_counts += usable.sum(axis=0)
        for index, lag in enumerate(LAGS):
            self.products[0, index] += _dot(standard[:, :, :-lag], standard[:, :, lag:])
            self.products_of[0, index] += self.n * int((usable[:, :-lag] & usable[:, lag:]).sum())
            self.products[1, index] += _dot(standard[:, :-lag], standard[:, lag:])
            self.products_of[1, index] += self.n * int((usable[:-lag] & usable[lag:]).sum())
        self._count_moving(standard)

    def _count_moving(self, standard: NDArray[np.float32]) -> None:
        n, height, width = standard.shape
        high, wide = height // BLOCK, width // BLOCK
        blocks = standard[:, : high * BLOCK, : wide * BLOCK].reshape(n, high, BLOCK, wide, BLOCK)
        # Over the block's own noise: one pixel that blinks moves nothing.
        common = (blocks.mean(axis=(2, 4), dtype=np.float64) ** 2).mean(axis=0) * BLOCK**2
        own = np.einsum("nibjc,nibjc->ij", blocks, blocks, dtype=np.float64) / (n * BLOCK**2)
        self.blocks += own.size
        self.moving += int((common > _MOVING_RATIO * own.clip(min=1e-12)).sum())

    def result(self) -> PlaneMeasurement:
        """Turn the sums into figures."""
        used = max(int(self.pixels.sum()), 1)
        power = self.power / (used * self.n) or 1.0
        frame_means = self.column_sums.sum(axis=1) / used
        frame_power = float((frame_means**2).mean())
        row_means, row_power, row_white = _line_means(self.row_sums, self.row_counts, frame_means)
        column_means, column_power, column_white = _line_means(self.column_sums, self.column_counts, frame_means)
        # What is neither a row's, a column's nor a frame's is white: its power solves the balance of the three.
        white = (power - frame_power - row_power - column_power) / (1.0 - row_white - column_white)
        correlation = (self.products / self.products_of.clip(min=1) - frame_power) / power
        return PlaneMeasurement(
            bins=self.bins,
            pixels=self.pixels,
            mean_dn=float(self.levels.sum()) / used,
            intensity_dn=self.levels / self.pixels.clip(min=1),
            variance_dn2=self.squares / (self.pixels.clip(min=1) * self.n),
            histograms=self.histograms,
            row_correlation=correlation[0],
            column_correlation=correlation[1],
            row_share=(row_power - white * row_white) / power,
            column_share=(column_power - white * column_white) / power,
            frame_share=frame_power / power - 1.0 / used,
            saturated_share=1.0 - used / self.sites,
            zero_share=self.zeros / (used * self.n),
            moving_share=self.moving / max(self.blocks, 1),
            row_means=row_means / power**0.5,
            column_means=column_means / power**0.5,
        )


def _dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.einsum("nij,nij->i", left, right).sum(dtype=np.float64))


def _line_means(sums: Array, counts: Array, frame_means: Array) -> tuple[Array, float, float]:
    """Return the means of lines less their frame's, their mean square, and what white noise of power 1 leaves in it.

    White noise gives a mean of c pixels the variance ``1 / c - 1 / N`` about the mean of all N.
    """
    whole = counts >= max(counts.max() / 2, 1)
    means = np.where(whole, sums / counts.clip(min=1) - frame_means[:, None], 0.0)
    if not whole.any():
        return means, 0.0, 0.0
    return means, float((means[:, whole] ** 2).mean()), float((1.0 / counts[whole] - 1.0 / counts.sum()).mean())


def shared_share(first: Array, second: Array) -> float:
    """Return the share of variance that the lines of two planes have in common; ``(n, lines)`` standardised means."""
    return float((first * second).mean())
