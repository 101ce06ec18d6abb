"""Figures of a noise report: what two numbers would hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rawsynth.evaluation import charts
from rawsynth.evaluation.charts import COLORS, MUTED, Series
from rawsynth.evaluation.noise_bins import Array
from rawsynth.evaluation.noise_comparison import GroupComparison
from rawsynth.evaluation.noise_histograms import coarse, divergence, standard_quantiles
from rawsynth.evaluation.noise_statistics import LAGS, PlaneMeasurement
from rawsynth.evaluation.page import Figure

REAL, SYNTHETIC = COLORS[0], COLORS[1]
_DISTANCE, _POWER = "distance (pixels of the plane)", "power, white noise = 1"
_POINTS_OF_SPECTRUM = 120
_LEVELS = tuple(1 / (1 + np.exp(-np.linspace(-9.2, 9.2, 200))))

Pair = tuple[PlaneMeasurement, PlaneMeasurement]


def report_figures(groups: Sequence[GroupComparison]) -> list[Figure]:
    """Draw the figures of a report over its series."""
    return [
        Figure(
            "histograms", "Residuals",
            _panels(groups, _histogram, "residual (DN)", "share of a bin", log_y=True),
            "Histograms of frame minus temporal mean, in the bins of the divergence; the logarithm shows the tails.",
        ),
        Figure(
            "variance", "Variance over intensity", _variance(groups),
            "Temporal variance in each intensity bin. Shot noise is the slope, read noise the level on the left.",
        ),
        Figure(
            "variance_error", "Variance error",
            _panels(groups, _variance_error, "intensity (DN)", "error (%)", level=0.0),
            "Synthetic over real variance, minus one. Gray: what halves of the real frames differ by.",
        ),
        Figure(
            "row_correlation", "Autocorrelation along rows",
            _panels(groups, _correlation("row_correlation"), _DISTANCE, "correlation", level=0.0),
            "Noise that a row has in common lifts all distances alike. Gray: halves of the real frames about the real.",
        ),
        Figure(
            "column_correlation", "Autocorrelation down columns",
            _panels(groups, _correlation("column_correlation"), _DISTANCE, "correlation", level=0.0),
            "The same down columns.",
        ),
        Figure(
            "row_spectrum", "Spectrum of row means",
            _panels(groups, _spectrum("row_means"), "cycles per row", _POWER, log_y=True, level=1.0),
            "Power of the rows' means against what single pixels' noise leaves in them: banding stands above 1.",
        ),
        Figure(
            "column_spectrum", "Spectrum of column means",
            _panels(groups, _spectrum("column_means"), "cycles per column", _POWER, log_y=True, level=1.0),
            "The same for columns.",
        ),
        Figure(
            "quantiles", "Quantiles", _quantiles(groups),
            "Synthetic over real quantiles, each in its own sigma: on the line the shapes agree, tails included.",
        ),
    ]  # fmt: skip


def _pairs(groups: Sequence[GroupComparison]) -> Iterator[tuple[str, GroupComparison, int, Pair]]:
    for group in groups:
        for index, pair in enumerate(zip(group.real, group.synthetic, strict=True)):
            yield f"{group.name}, {pair[0].bins.plane.name}", group, index, pair


def _panels(
    groups: Sequence[GroupComparison],
    draw: Callable[[GroupComparison, int, Pair], list[Series]],
    x_label: str,
    y_label: str,
    *,
    log_y: bool = False,
    level: float | None = None,
) -> bytes:
    panels = [(title, draw(group, index, pair)) for title, group, index, pair in _pairs(groups)]
    return charts.panel_chart(panels, x_label=x_label, y_label=y_label, log_y=log_y, level=level)


def _histogram(group: GroupComparison, index: int, pair: Pair) -> list[Series]:
    real = pair[0]
    pooled = [one.histograms.sum(axis=0) for one in pair]
    width = divergence(pooled[0], pooled[1], cell_dn=real.bins.cell_dn, sigma_dn=real.sigma_dn).width_dn
    series = []
    for counts, label, color in zip(pooled, ("real", "synthetic"), (REAL, SYNTHETIC), strict=True):
        inner = coarse(counts, cell_dn=real.bins.cell_dn, width_dn=width, reach_dn=6 * real.sigma_dn)[1:-1]
        edges = (np.arange(inner.size + 1) - inner.size / 2) * width
        shares = np.where(inner > 0, inner, np.nan) / max(float(counts.sum()), 1.0)
        series.append(Series(label, edges, shares, style="steps", color=color))
    return series


def _variance(groups: Sequence[GroupComparison]) -> bytes:
    series: list[Series] = []
    for name, color in (("real", REAL), ("synthetic", SYNTHETIC)):
        x: list[float] = []
        y: list[float] = []
        for _, _, _, pair in _pairs(groups):
            shown = pair[name == "synthetic"]
            x.extend(shown.intensity_dn[shown.pixels > 0])
            y.extend(shown.variance_dn2[shown.pixels > 0])
        style: charts.Style = "dots" if name == "real" else "crosses"
        series.append(Series(name, x, y, style=style, color=color))
    return charts.line_chart(series, x_label="intensity (DN)", y_label="variance (DN²)", log_x=True, log_y=True)


def _variance_error(group: GroupComparison, index: int, pair: Pair) -> list[Series]:
    order = np.argsort(pair[0].intensity_dn)
    x = pair[0].intensity_dn[order]

    def percent(a: PlaneMeasurement, b: PlaneMeasurement) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(100.0 * (b.variance_dn2 / a.variance_dn2 - 1.0))[order]

    spread = np.abs([percent(first[index], second[index]) for first, second in group.halves]).max(axis=0)
    return [
        Series("real halves", x, np.zeros(order.size), low=-spread, high=spread, style="dots", color=MUTED),
        Series("synthetic", x, percent(*pair), style="dots", color=SYNTHETIC),
    ]


def _correlation(name: str) -> Callable[[GroupComparison, int, Pair], list[Series]]:
    def draw(group: GroupComparison, index: int, pair: Pair) -> list[Series]:
        real, synthetic = (getattr(one, name) for one in pair)
        null = np.max([np.abs(getattr(b[index], name) - getattr(a[index], name)) for a, b in group.halves], axis=0)
        return [
            Series("real halves", LAGS, real, low=real - null, high=real + null, style="band", color=MUTED),
            Series("real", LAGS, real, color=REAL),
            Series("synthetic", LAGS, synthetic, style="dashes", color=SYNTHETIC),
        ]

    return draw


def _spectrum(name: str) -> Callable[[GroupComparison, int, Pair], list[Series]]:
    def draw(group: GroupComparison, index: int, pair: Pair) -> list[Series]:
        return [
            Series(label, *_power(getattr(one, name), one), color=color)
            for one, label, color in zip(pair, ("real", "synthetic"), (REAL, SYNTHETIC), strict=True)
        ]

    return draw


def _power(means: Array, measured: PlaneMeasurement) -> tuple[Array, Array]:
    lines = means.shape[1]
    # White noise of unit power leaves lines / pixels in the mean of a line.
    white = lines / max(int(measured.pixels.sum()), 1)
    power = (np.abs(np.fft.rfft(means, axis=1)) ** 2).mean(axis=0)[1:] / (lines * white)
    frequency = np.fft.rfftfreq(lines)[1:]
    step = max(1, power.size // _POINTS_OF_SPECTRUM)
    whole = power.size // step * step
    return frequency[:whole].reshape(-1, step).mean(axis=1), power[:whole].reshape(-1, step).mean(axis=1)


def _quantiles(groups: Sequence[GroupComparison]) -> bytes:
    series = []
    for title, _, _, pair in _pairs(groups):
        x, y = (
            standard_quantiles(one.histograms, one.variance_dn2, cell_dn=one.bins.cell_dn, levels=_LEVELS)
            for one in pair
        )
        known = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
        series.append(Series(title, [a for a, _ in known], [b for _, b in known], style="dots"))
    return charts.quantile_chart(series, x_label="real (sigma)", y_label="synthetic (sigma)")
