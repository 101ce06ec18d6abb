"""Charts of a gallery as inline SVG: small, sharp at any size, and in the page's own light or dark colours.

A series takes its colour from the page's style by its class ``s0``, ``s1``, ..., the planes' number.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rawsynth.corpus.noise_check import PlaneCheck, ratio_of
from rawsynth.raw.cfa import plane_names

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 14, 40
_TICKS = 5
_HISTOGRAM_BINS = 96


@dataclass(frozen=True)
class Axes:
    """Where values land in the picture: linear x, linear or logarithmic y."""

    x: tuple[float, float]
    y: tuple[float, float]
    log_y: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the point in the picture's own units."""
        low, high = self.x
        across = (x - low) / (high - low)
        bottom, top = map(math.log10, self.y) if self.log_y else self.y
        level = math.log10(max(y, self.y[0])) if self.log_y else y
        up = (level - bottom) / (top - bottom)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def histogram_chart(packed: Tensor, cfa: str) -> str:
    """Draw how often each level occurs in each plane of ``(4, h, w)``, unit scale, with a logarithmic count."""
    values = packed.flatten(1).numpy()
    low, high = min(0.0, float(values.min())), max(float(values.max()), 1e-3)
    edges = np.linspace(low, high, _HISTOGRAM_BINS + 1)
    counts = [np.histogram(plane, edges)[0] for plane in values]
    most = max(float(count.max()) for count in counts)
    axes = Axes((low, high), (0.8, max(10.0, most * 1.3)), log_y=True)
    lines = []
    for number, count in enumerate(counts):
        steps = [(x, float(c)) for k, c in enumerate(count) for x in (edges[k], edges[k + 1])]
        lines.append(_line(axes, steps, f"s{number}"))
    legend = [(f"s{number}", name) for number, name in enumerate(plane_names(cfa))]
    return _chart("histogram", axes, lines, legend, "level (black 0, white 1)", "values in a bin")


def noise_chart(checks: Sequence[PlaneCheck]) -> str:
    """Draw measured variance by level over the model's line, plane by plane; hollow points are clipped."""
    low = min(0.0, *(float(check.level.min()) for check in checks))
    high = max(1e-3, *(float(check.level.max()) * 1.04 for check in checks))
    top = max(1e-12, *(float(np.max([check.measured + check.error, check.model])) for check in checks))
    axes = Axes((low, high), (0.0, top * 1.08))
    marks, legend = [], []
    for number, check in enumerate(checks):
        color = f"s{number}"
        marks.append(_line(axes, list(zip(check.level.tolist(), check.model.tolist(), strict=True)), color))
        columns = (check.level, check.measured, check.error, check.clipped)
        for x, y, error, clipped in zip(*(column.tolist() for column in columns), strict=True):
            (cx, cy), (_, low), (_, high) = axes.at(x, y), axes.at(x, max(y - error, 0.0)), axes.at(x, y + error)
            marks.append(f'<path class="{color} bar" d="M{cx:.1f} {low:.1f}V{high:.1f}"/>')
            hollow = " hollow" if clipped else ""
            marks.append(f'<circle class="{color} dot{hollow}" cx="{cx:.1f}" cy="{cy:.1f}" r="3.2"/>')
        legend.append((color, f"{check.plane} {_ratio(check)}"))
    return _chart("noise", axes, marks, legend, "level of the clean image", "variance of noisy - clean")


def _ratio(check: PlaneCheck) -> str:
    ratio = ratio_of([check])
    return "clipped" if ratio is None else f"{ratio.value:.2f}"


def _line(axes: Axes, points: Sequence[tuple[float, float]], color: str) -> str:
    path = "L".join("{:.1f} {:.1f}".format(*axes.at(x, y)) for x, y in points)
    return f'<path class="{color} line" d="M{path}"/>'


def _chart(
    name: str, axes: Axes, marks: Sequence[str], legend: Sequence[tuple[str, str]], x_label: str, y_label: str
) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [f'<svg class="chart {name}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    parts.append(f"<title>{html.escape(y_label)} by {html.escape(x_label)}</title>")
    for value in _ticks(*axes.x):
        x, _ = axes.at(value, axes.y[0])
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_number(value)}</text>')
    for value in _decades(*axes.y) if axes.log_y else _ticks(*axes.y):
        _, y = axes.at(axes.x[0], value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    parts += marks
    middle = (_TOP + bottom) / 2
    centred = f'x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle"'
    parts.append(f"<text {centred}>{html.escape(x_label)}</text>")
    turned = f'transform="translate(13 {middle}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{html.escape(y_label)}</text></svg>")
    keys = "".join(f'<span class="key"><i class="{color}"></i>{html.escape(text)}</span>' for color, text in legend)
    return "".join(parts) + f'<p class="legend">{keys}</p>'


def _ticks(low: float, high: float) -> list[float]:
    """Return round values between the ends, about five.

    >>> _ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    return [float(f"{k * step:.6g}") for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    return [10.0**k for k in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def _number(value: float) -> str:
    """Write a tick's value.

    >>> [_number(value) for value in (0.0, 0.25, 0.00002, 1e5, 1000.0)]
    ['0', '0.25', '2e-5', '1e5', '1000']
    """
    text = f"{value:g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"
    if "e" not in text:
        return text
    digits, _, exponent = text.partition("e")
    return f"{digits}e{int(exponent)}"
