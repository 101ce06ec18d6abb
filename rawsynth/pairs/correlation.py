"""Gradient fields of images, and how well one lies on another at every shift within a radius.

Tone curves, white balance, saturation, sharpening and JPEG change how strong an edge is, hardly ever where it is or
which way it runs. So gradients are compared as complex numbers (column and row part), each divided by
``sqrt(|g|**2 + (2 mean |g|)**2)``, which keeps the direction and most of the weight of an edge that stands out: the
orientation correlation of Fitch, Kadyrov, Christmas and Kittler (BMVC 2002) with a floor against noise. A score is the
normalised cross-correlation of two such fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]
Window = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""

# Flat: fewer edges than this share of the pixels, an edge being two codes of 255 from pixel to pixel after the blur.
_EDGE_CODES, _EDGE_SHARE = 2.0, 0.005
# A peak near the expected place stands for one farther off unless that is higher by a tenth, and a slope of less than a
# hundredth is no slope: along straight edges and in periodic textures, noise alone makes peaks farther off.
_NEAR_SHARE, _SLOPE = 0.9, 0.01


@dataclass(frozen=True)
class Correlation:
    """Cross-correlation of a window with another image at every shift within a radius, and what normalises it.

    Attributes:
        products: ``(2 radius + 1, 2 radius + 1)``, the centre being the expected shift.
        energy: of the window's field.
        energies: of the other image's field under the window, shift by shift.
    """

    products: NDArray[np.float64]
    energy: float
    energies: NDArray[np.float64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Normalised cross-correlation, -1 to 1."""
        return self.products / np.sqrt(self.energy * self.energies + 1e-9)


@dataclass(frozen=True)
class Peak:
    """Where a correlation is highest, counted from the expected shift.

    Attributes:
        row, column: in whole pixels.
        score: there.
        between: rows and columns from there to the top between the pixels, -0.5 to 0.5 each.
    """

    row: int
    column: int
    score: float
    between: tuple[float, float]

    @property
    def distance(self) -> float:
        """Distance in pixels from the expected shift to the top between the pixels."""
        return float(np.hypot(self.row + self.between[0], self.column + self.between[1]))


def binomial(image: Luma) -> Luma:
    """Blur ``(H, W)`` with [1, 2, 1] / 4 in both directions; borders mirror."""
    rows = np.pad(image, ((1, 1), (0, 0)), mode="reflect")
    columns = np.pad((rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4, ((0, 0), (1, 1)), mode="reflect")
    return np.asarray((columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]) / 4, np.float32)


def cut(image: Luma, window: Window) -> Luma:
    """Return a window of an image."""
    top, left, height, width = window
    return image[top : top + height, left : left + width]


def is_flat(luma: Luma) -> bool:
    """Whether an image in codes of 255 has too few edges to be aligned by."""
    return bool((np.abs(_gradient(luma)) > _EDGE_CODES).mean() < _EDGE_SHARE)


def correlate(image: Luma, other: Luma, window: Window, shift: tuple[int, int], radius: int) -> Correlation:
    """Correlate a window of an image with another image.

    Args:
        image: ``(H, W)``.
        other: ``(H', W')``; what lies beyond its borders has no edges.
        window: in ``image``.
        shift: expected shift in rows and columns: pixel (y, x) of ``image`` shows (y + rows, x + columns) of ``other``.
        radius: farthest shift from there, in pixels.
    """
    top, left, height, width = window
    field = _edges(cut(image, window))
    around = np.zeros((height + 2 * radius, width + 2 * radius), np.complex64)
    first_row, first_column = top + shift[0] - radius, left + shift[1] - radius
    rows = slice(max(first_row, 0), max(first_row + around.shape[0], 0))
    columns = slice(max(first_column, 0), max(first_column + around.shape[1], 0))
    part = other[rows, columns]
    if min(part.shape) > 2:
        y, x = rows.start - first_row, columns.start - first_column
        around[y : y + part.shape[0], x : x + part.shape[1]] = _edges(part)
    spectrum = np.fft.fft2(around) * np.fft.fft2(field, around.shape).conj()
    side = 2 * radius + 1
    return Correlation(
        products=np.fft.ifft2(spectrum).real[:side, :side].astype(np.float64),
        energy=float((np.abs(field) ** 2).sum(dtype=np.float64)),
        energies=_window_sums(np.abs(around) ** 2, height, width),
    )


def total(parts: Sequence[Correlation]) -> Correlation:
    """Return the correlation of several windows taken together."""
    return Correlation(
        products=np.sum([part.products for part in parts], axis=0),
        energy=sum(part.energy for part in parts),
        energies=np.sum([part.energies for part in parts], axis=0),
    )


def highest_peak(scores: NDArray[np.float64]) -> Peak:
    """Return the highest peak."""
    return _peak_at(scores, _argmax(scores))


def nearest_peak(scores: NDArray[np.float64]) -> Peak:
    """Return the peak that is reached from the expected shift, or the highest if that stands out from it."""
    row, column = scores.shape[0] // 2, scores.shape[1] // 2
    while True:
        top, left = max(row - 1, 0), max(column - 1, 0)
        around = scores[top : row + 2, left : column + 2]
        step = _argmax(around)
        if around[step] <= scores[row, column] + _SLOPE * abs(scores[row, column]):
            break
        row, column = top + step[0], left + step[1]
    highest = _argmax(scores)
    return _peak_at(scores, (row, column) if scores[row, column] >= _NEAR_SHARE * scores[highest] else highest)


def _peak_at(scores: NDArray[np.float64], at: tuple[int, int]) -> Peak:
    row, column = at
    between = _parabola_top(scores[:, column], row), _parabola_top(scores[row], column)
    return Peak(row - scores.shape[0] // 2, column - scores.shape[1] // 2, float(scores[at]), between)


def _parabola_top(line: NDArray[np.float64], at: int) -> float:
    if not 0 < at < len(line) - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[at - 1 : at + 2])
    bend = 2 * peak - before - after
    # Along a straight edge there is no top to be found.
    return min(max((after - before) / (2 * bend), -0.5), 0.5) if bend > 2 * _SLOPE * peak else 0.0


def _argmax(scores: NDArray[np.float64]) -> tuple[int, int]:
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(row), int(column)


def _edges(luma: Luma) -> NDArray[np.complex64]:
    gradient = _gradient(luma)
    strength = np.abs(gradient)
    floor = 2 * float(strength.mean()) + 1e-6
    return np.asarray(gradient / np.sqrt(strength**2 + floor**2), np.complex64)


def _gradient(luma: Luma) -> NDArray[np.complex64]:
    smooth = binomial(binomial(luma))
    gradient = np.zeros(luma.shape, np.complex64)
    gradient.real[:, 1:-1] = (smooth[:, 2:] - smooth[:, :-2]) / 2
    gradient.imag[1:-1] = (smooth[2:] - smooth[:-2]) / 2
    return gradient


def _window_sums(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Sum every ``height`` x ``width`` window."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return windows.clip(0)
