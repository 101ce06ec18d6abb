"""Charts of measurements as PNG bytes: lines, points with a fit and its residuals, quantiles, spectra, histograms.

Drawn by matplotlib's Agg canvas without pyplot, so no window opens and no state of a user's own plots is touched. The
colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of the first seven series; further ones begin again."""
MUTED = "#8C8C8C"
"""Colour of what stands behind the data: references, nulls, what was left out of a fit."""

_WIDTH_INCHES, _HEIGHT_INCHES, _DPI = 7.5, 4.2, 144
_LABEL_PT, _TICK_PT = 9, 8
_MAX_POINTS = 4000

Style = Literal["line", "dashes", "dots", "crosses", "steps", "band", "bars"]

_MARKS: dict[str, dict[str, Any]] = {
    "line": {"linewidth": 1.4},
    "dashes": {"linewidth": 1.2, "linestyle": (0, (4, 3))},
    "dots": {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgewidth": 0},
    "crosses": {"linestyle": "none", "marker": "x", "markersize": 4.5, "markeredgewidth": 1.0},
}


@dataclass(frozen=True)
class Series:
    """One named set of values of a chart.

    Attributes:
        label: for the legend; empty for none.
        x, y: one-dimensional, equally long; for ``"steps"`` x is the edges, one longer than y.
        low, high: ends of each value's interval: an error bar, or the edges of a ``"band"``.
        style: ``"line"``, ``"dashes"``, ``"dots"`` (filled), ``"crosses"`` (what was left out), ``"steps"``
            (histogram), ``"band"`` (low to high, y unused) or ``"bars"`` (from zero, thin).
        color: a colour of matplotlib; ``None`` takes the next of :data:`COLORS`.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    style: Style = "line"
    color: str | None = None


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    y_limits: tuple[float, float] | None = None,
) -> bytes:
    """Draw series over one pair of axes: gain over ISO in log-log, autocorrelation, residuals over intensity.

    Args:
        series: what to draw, the last on top.
        x_label, y_label: what the axes are, with the unit.
        log_x, log_y: logarithmic axes; values <= 0 are left out.
        level: a thin horizontal line, for the value that is expected.
        y_limits: least and most of y; without them the data decide.

    Raises:
        UsageError: x and y of a series are not equally long; matplotlib is not installed.
    """
    figure = _figure()
    axes = figure.add_subplot()
    _draw(axes, series)
    if level is not None:
        axes.axhline(level, color=MUTED, linewidth=0.8, zorder=0)
    if y_limits is not None:
        axes.set_ylim(*y_limits)
    _finish(axes, x_label, y_label, log_x=log_x, log_y=log_y)
    return _png(figure)


def panel_chart(
    panels: Sequence[tuple[str, Sequence[Series]]],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
) -> bytes:
    """Draw small charts of one kind side by side, two a row, each under its own title.

    Args:
        panels: title and series of each.
        x_label, y_label, log_x, log_y, level: see :func:`line_chart`; the same for all.

    Raises:
        UsageError: there is no panel; see also :func:`line_chart`.
    """
    if not panels:
        raise UsageError("a chart of panels needs one at least.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(height=max(_HEIGHT_INCHES * 0.8 * rows, 3.0))
    for index, (title, series) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw(axes, series)
        if level is not None:
            axes.axhline(level, color=MUTED, linewidth=0.8, zorder=0)
        axes.set_title(_plain(title), fontsize=_LABEL_PT, loc="left")
        _finish(axes, x_label, y_label if index % columns == 0 else "", log_x=log_x, log_y=log_y)
    return _png(figure)


def fit_chart(
    series: Sequence[Series],
    residuals: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    residual_label: str,
    log_x: bool = False,
    log_y: bool = False,
) -> bytes:
    """Draw measurements with their fit, and in a lower panel what the fit leaves: a photon-transfer curve.

    Args:
        series: points, the fit as a line, and what was left out as crosses.
        residuals: of the same points, about zero; give them their series' colours.
        x_label: of both panels.
        y_label, residual_label: of the upper and the lower one.
        log_x: both panels.
        log_y: the upper one.

    Raises:
        UsageError: see :func:`line_chart`.
    """
    figure = _figure(height=5.4)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1.2))
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    _draw(upper, series)
    _finish(upper, "", y_label, log_x=log_x, log_y=log_y)
    upper.tick_params(labelbottom=False)
    _draw(lower, residuals)
    lower.axhline(0.0, color=MUTED, linewidth=0.8, zorder=0)
    _finish(lower, x_label, residual_label, log_x=log_x)
    return _png(figure)


def quantile_chart(series: Sequence[Series], *, x_label: str, y_label: str) -> bytes:
    """Draw quantiles of data over those of a law or of other data, with the line on which they would be equal.

    Raises:
        UsageError: see :func:`line_chart`.
    """
    figure = _figure(height=5.0)
    axes = figure.add_subplot()
    ends = [np.asarray(values, dtype=np.float64) for one in series for values in (one.x, one.y)]
    finite = np.concatenate([*ends, np.zeros(1)])
    finite = finite[np.isfinite(finite)]
    span = (float(finite.min()), float(finite.max()))
    axes.plot(span, span, color=MUTED, linewidth=0.8, zorder=0)
    _draw(axes, series)
    _finish(axes, x_label, y_label)
    return _png(figure)


def spectrum_chart(series: Sequence[Series], *, x_label: str, y_label: str, level: float | None = None) -> bytes:
    """Draw power spectra over a linear frequency in a logarithmic power; ``level`` is what white noise has.

    Raises:
        UsageError: see :func:`line_chart`.
    """
    return line_chart(series, x_label=x_label, y_label=y_label, log_y=True, level=level)


def need_matplotlib() -> None:
    """Ask before an hour of measuring, not after it.

    Raises:
        UsageError: matplotlib is not installed.
    """
    _figure()


def _figure(height: float = _HEIGHT_INCHES) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("reports are drawn with matplotlib: pip install 'rawsynth[calibrate]'") from error
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw(axes: Axes, series: Sequence[Series]) -> None:
    slots = iter(range(len(series)))
    for one in series:
        color = one.color or COLORS[next(slots) % len(COLORS)]
        # Matplotlib leaves labels that begin with an underscore out of the legend.
        label = _plain(one.label) or "_"
        if one.style == "steps":
            axes.stairs(*_checked(one, edges=True)[::-1], color=color, label=label, linewidth=1.2)
        elif one.style == "band":
            x, low = _checked(one, "low")
            axes.fill_between(x, low, _checked(one, "high")[1], color=color, alpha=0.22, linewidth=0, label=label)
        elif one.style == "bars":
            x, y = _checked(one)
            axes.vlines(x, 0.0, y, colors=color, linewidth=1.2, label=label)
        else:
            _draw_points(axes, one, color, label)


def _draw_points(axes: Axes, one: Series, color: str, label: str) -> None:
    x, y = _checked(one)
    shown = slice(None)
    if one.style in ("dots", "crosses") and x.size > _MAX_POINTS:
        # More would only lie on each other; the ends are what one looks for.
        shown = np.unique(np.linspace(0, x.size - 1, _MAX_POINTS).astype(int))  # type: ignore[assignment]
    drawn = _MARKS[one.style]
    if one.low is not None and one.high is not None:
        ends = np.stack([y - _checked(one, "low")[1], _checked(one, "high")[1] - y]).clip(min=0)
        axes.errorbar(x[shown], y[shown], yerr=ends[:, shown], color=color, elinewidth=0.9, label=label, **drawn)
    else:
        axes.plot(x[shown], y[shown], color=color, label=label, **drawn)


def _checked(one: Series, name: str = "y", *, edges: bool = False) -> tuple[np.ndarray, np.ndarray]:
    values = getattr(one, name)
    x, y = np.asarray(one.x, dtype=np.float64), np.asarray([] if values is None else values, dtype=np.float64)
    if x.ndim != 1 or x.shape != (y.size + edges,) or y.ndim != 1:
        raise UsageError(f"series {one.label!r}: {name} of {y.shape} does not fit x of {x.shape}.")
    return x, y


def _finish(axes: Axes, x_label: str, y_label: str, *, log_x: bool = False, log_y: bool = False) -> None:
    if log_x:
        axes.set_xscale("log", nonpositive="mask")
    if log_y:
        axes.set_yscale("log", nonpositive="mask")
    axes.set_xlabel(_plain(x_label), fontsize=_LABEL_PT)
    axes.set_ylabel(_plain(y_label), fontsize=_LABEL_PT)
    axes.tick_params(labelsize=_TICK_PT, color=MUTED)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=_TICK_PT, frameon=False)


def _plain(text: str) -> str:
    """Keep names of cameras and files from being read as formulas."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may hold letters that the font lacks, and an axis without positive values has no logarithm.
        warnings.simplefilter("ignore")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
