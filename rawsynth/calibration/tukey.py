"""Tukey-lambda read noise from differences of dark frames, by the probability plot's correlation (PPCC).

Filliben (Technometrics 17, 1975) picks the shape whose quantiles lie on the straightest line over the observed ones;
the line's slope is the scale. A fixed pattern is in every dark frame, so only differences show temporal noise; what is
compared with them is therefore the exact law of a difference of two Tukey-lambda variables, rounded to whole DN, and
not the law of one. Neither the difference nor quantisation then bends the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rawsynth.calibration.bootstrap import block_weights, estimate
from rawsynth.calibration.measure import Array
from rawsynth.calibration.result import TukeyFit

SHAPES = np.round(np.arange(-0.475, 0.4251, 0.025), 3)
_GRID = 1 << 15
_STEPS_A_BIN = 16
_LEAST_THRESHOLDS = 7
_LEAST_COUNT = 200
_REPLICATES = 200
_NEAR = 8
_LOGITS = np.linspace(-60.0, 60.0, 12001)

Cdf = Callable[[Array], Array]


@dataclass(frozen=True)
class Differences:
    """Counts of whole differences of dark frames of one plane.

    Attributes:
        counts: ``(tiles, bins)``; bin k holds the differences from ``first + k * width`` on, the end bins all beyond.
        first: lowest difference of bin 0, DN.
        width: of a bin, DN.
        remainders: histogram of what rounding left of the rows' and columns' offsets, over -1..1 DN.
        removed: share of a pixel's own noise that went with the rows' and columns' offsets.
        added_dn2: variance of the noise that they brought instead, DN^2.
        sigma_dn: standard deviation of a single frame's noise, quantisation included.
    """

    counts: Array
    first: int
    width: int
    remainders: Array
    removed: float
    added_dn2: float
    sigma_dn: float


def tukey_cdf(shape: float) -> Cdf:
    """Return the distribution function of the Tukey-lambda law of scale 1.

    Its quantile function is ``(p**shape - (1 - p)**shape) / shape``, ``log(p / (1 - p))`` at 0 (Tukey 1960).
    """
    log_p, log_q = -np.logaddexp(0.0, -_LOGITS), -np.logaddexp(0.0, _LOGITS)
    quantiles = _LOGITS if shape == 0 else (np.exp(shape * log_p) - np.exp(shape * log_q)) / shape
    probabilities = np.exp(log_p)
    return lambda x: np.interp(x, quantiles, probabilities, left=0.0, right=1.0)


def gaussian_cdf() -> Cdf:
    """Return the standard normal distribution function, tabulated."""
    points = np.linspace(-9.0, 9.0, 3601)
    values = np.array([0.5 * math.erfc(-point / math.sqrt(2)) for point in points])
    return lambda x: np.interp(x, points, values, left=0.0, right=1.0)


def tukey_sigma(shape: float) -> float:
    """Return the standard deviation of the law of scale 1; infinite from -0.5 down.

    >>> tukey_sigma(0.0) ** 2
    3.2899
    """
    if shape <= -0.5:
        return math.inf
    if abs(shape) < 1e-4:
        return math.pi / math.sqrt(3)
    ratio = math.exp(2 * math.lgamma(shape + 1) - math.lgamma(2 * shape + 2))
    return math.sqrt(2 * (1 / (1 + 2 * shape) - ratio)) / abs(shape)


def fit_tukey(planes: list[Differences], rng: np.random.Generator) -> TukeyFit | None:
    """Fit one shape to all planes and a scale to each.

    Returns:
        ``None`` where quantisation leaves too few distinct values, or pixels are too few, to tell a shape.
    """
    plots = [_Plot(one) for one in planes]
    if min(plot.thresholds.size for plot in plots) < _LEAST_THRESHOLDS:
        return None
    tiles = planes[0].counts.shape[0]
    weights = block_weights(tiles, rng=rng, replicates=_REPLICATES)
    coarse = SHAPES[::4]
    middle = int(np.argmin([row[0] for row in _lack(_lines(plots, coarse, weights[:1]))])) * 4
    near = SHAPES[max(middle - _NEAR, 0) : middle + _NEAR + 1]
    lines = _lines(plots, near, weights)
    shapes = _lowest(_lack(lines), near)
    scales = [_at(shapes, near, np.stack([row[k].scale for row in lines])) for k in range(len(plots))]
    best = float(shapes[0])
    final = [plot.line(tukey_cdf(best), tukey_sigma(best), weights[:1]) for plot in plots]
    gaussian = [plot.line(gaussian_cdf(), 1.0, weights[:1]) for plot in plots]
    return TukeyFit(
        shape=estimate(shapes, tiles),
        scale_dn=tuple(estimate(scale, tiles) for scale in scales),
        ppcc=float(np.mean([line.correlation[0] for line in final])),
        gaussian_ppcc=float(np.mean([line.correlation[0] for line in gaussian])),
        theory=tuple(tuple((line.theory[0] / math.sqrt(2)).tolist()) for line in final),
        observed=tuple(tuple((plot.thresholds / math.sqrt(2)).tolist()) for plot in plots),
    )


@dataclass(frozen=True)
class _Line:
    correlation: Array
    scale: Array
    theory: Array


class _Plot:
    """The probability plot of one plane: thresholds between whole differences, and how many lie below each."""

    def __init__(self, differences: Differences) -> None:
        self._of = differences
        counts = differences.counts.sum(axis=0)
        below = np.cumsum(counts)[:-1]
        usable = np.flatnonzero((below >= _LEAST_COUNT) & (below[-1] + counts[-1] - below >= _LEAST_COUNT))
        self._usable = usable
        edges = differences.first + differences.width * np.arange(1, len(counts)) - 0.5
        self.thresholds = np.asarray(edges[usable])
        share = below[usable] / counts.sum()
        density = (counts[usable] + counts[usable + 1]) / (2 * counts.sum())
        # The inverse variance of an observed quantile, p (1 - p) / (n f^2).
        self._weight = density**2 / (share * (1 - share)) if usable.size else share
        self._step = differences.width / _STEPS_A_BIN
        self._x = (np.arange(_GRID) - _GRID // 2) * self._step
        frequency = np.fft.rfftfreq(_GRID, self._step)
        phases = (np.arange(len(differences.remainders)) + 0.5) / len(differences.remainders) * 2 - 1
        offsets = differences.remainders / differences.remainders.sum()
        low = frequency[frequency < 1.5]
        blur = np.zeros_like(frequency)
        # Rounding of the difference of two rounded values is one uniform law at the thresholds half way between.
        blur[: low.size] = np.sinc(low) * (np.cos(2 * np.pi * low[:, None] * phases) @ offsets)
        self._blur = blur * np.exp(-2 * (np.pi * frequency) ** 2 * differences.added_dn2)

    def line(self, cdf: Cdf, sigma: float, weights: Array) -> _Line:
        """Draw the line through the plot for a law of standard deviation ``sigma`` at scale 1.

        Args:
            cdf: distribution function at scale 1.
            weights: how often each tile counts, ``(R, tiles)``.
        """
        counts = weights @ self._of.counts
        share = np.cumsum(counts, axis=1)[:, self._usable] / counts.sum(axis=1, keepdims=True)
        scale = math.sqrt(max(self._of.sigma_dn**2 - 1 / 12, 0.05)) / min(sigma, 8.0)
        for _ in range(2):
            theory = self._quantiles(cdf, scale, share[:1])
            scale *= float(self._regress(theory)[1][0])
        theory = self._quantiles(cdf, scale, share)
        correlation, slope = self._regress(theory)
        return _Line(correlation, scale * slope / (1 - self._of.removed), theory[:1])

    def _quantiles(self, cdf: Cdf, scale: float, share: Array) -> Array:
        edges = np.append(self._x, self._x[-1] + self._step) - self._step / 2
        mass = np.diff(cdf(edges / scale))
        transform = np.fft.rfft(np.fft.ifftshift(mass))
        law = np.fft.fftshift(np.fft.irfft(np.abs(transform) ** 2 * self._blur, _GRID))
        below = np.maximum.accumulate(np.cumsum(law))
        return np.interp(share, below / below[-1], edges[1:])

    def _regress(self, theory: Array) -> tuple[Array, Array]:
        """Weighted correlation of thresholds and theory, and the slope of the line through them, a row each."""
        weight = self._weight / self._weight.sum()
        x = theory - (theory * weight).sum(axis=1, keepdims=True)
        y = self.thresholds - (self.thresholds * weight).sum()
        xx, yy, xy = (weight * x * x).sum(axis=1), float((weight * y * y).sum()), (weight * x * y).sum(axis=1)
        return xy / np.sqrt(xx * yy), xy / xx


def _lines(plots: list[_Plot], shapes: Array, weights: Array) -> list[list[_Line]]:
    """Return a line a shape and plane."""
    laws = [(tukey_cdf(float(shape)), tukey_sigma(float(shape))) for shape in shapes]
    return [[plot.line(cdf, sigma, weights) for plot in plots] for cdf, sigma in laws]


def _lack(lines: list[list[_Line]]) -> Array:
    """Return how much correlation the planes lack on average, ``(shapes, R)``."""
    return np.asarray(np.mean([[1.0 - line.correlation for line in row] for row in lines], axis=1))


def _lowest(lack: Array, shapes: Array) -> Array:
    """Return the shape of the least lack of correlation by a parabola through the lowest three, ``(R,)``."""
    middle = np.clip(np.argmin(lack, axis=0), 1, len(shapes) - 2)
    left, low, right = (np.take_along_axis(lack, (middle + d)[None], axis=0)[0] for d in (-1, 0, 1))
    bend = left - 2 * low + right
    step = np.where(bend > 0, (left - right) / (2 * np.maximum(bend, 1e-300)), 0.0)
    spacing = float(shapes[1] - shapes[0])
    return np.asarray(shapes[middle] + spacing * np.clip(step, -1.0, 1.0))


def _at(found: Array, shapes: Array, scales: Array) -> Array:
    """Interpolate each replicate's scale, ``(shapes, R)``, at the shape found for it."""
    return np.array([np.interp(shape, shapes, scales[:, k]) for k, shape in enumerate(found)])
