"""Charts: PNG bytes of a readable size, whatever the data and labels are."""

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rawsynth.errors import UsageError
from rawsynth.evaluation import charts
from rawsynth.evaluation.charts import Series

pytest.importorskip("matplotlib", reason="charts are drawn with matplotlib")
X = np.arange(1.0, 21.0)
LABELS = {"x_label": "signal (DN)", "y_label": "variance (DN²)"}
CHARTS: dict[str, Callable[[list[Series]], bytes]] = {
    "line": lambda series: charts.line_chart(series, **LABELS, level=1.0),
    "log": lambda series: charts.line_chart(series, **LABELS, log_x=True, log_y=True, y_limits=(0.1, 100.0)),
    "panels": lambda series: charts.panel_chart([(f"p{k}", series) for k in range(3)], **LABELS),
    "fit": lambda series: charts.fit_chart(series, series[:1], **LABELS, residual_label="residual (%)"),
    "quantiles": lambda series: charts.quantile_chart(series, **LABELS),
    "spectrum": lambda series: charts.spectrum_chart(series, **LABELS),
}


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def ink(png: bytes, color: str) -> int:
    """Count the pixels of just that colour."""
    wanted = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.asarray(opened(png).convert("RGB")) == wanted).all(axis=-1).sum())


@pytest.mark.parametrize("kind", CHARTS)
def test_every_chart_draws_its_series(kind: str) -> None:
    series = [Series("first", X, X), Series("second", X, X**1.5, low=X, high=X**2, style="dots")]
    png = CHARTS[kind](series)
    image = opened(png)
    assert image.width >= 900 and 300 <= image.height <= 3 * image.width
    assert all(ink(png, color) > 50 for color in charts.COLORS[:2]) and ink(png, charts.COLORS[2]) == 0


@pytest.mark.parametrize("style", ["line", "dashes", "dots", "crosses", "steps", "band", "bars"])
def test_every_style_leaves_ink(style: Any) -> None:
    x = np.append(X, 21.0) if style == "steps" else X
    one = Series("one", x, X, low=X, high=X + 5, style=style, color="#000000" if style != "band" else None)
    blank = charts.line_chart([Series("", [1.0, 21.0], [1.0, 26.0], color="#FFFFFF")], **LABELS)
    drawn = charts.line_chart([one], **LABELS)
    assert np.asarray(opened(drawn)).shape == np.asarray(opened(blank)).shape
    assert (np.asarray(opened(drawn)) != np.asarray(opened(blank))).any(axis=-1).sum() > 100


@pytest.mark.parametrize("kind", CHARTS)
def test_values_that_cannot_be_drawn_break_nothing(kind: str) -> None:
    odd = [np.zeros(3), np.full(3, np.nan), np.array([-1.0, np.inf, 1e30]), np.empty(0)]
    opened(CHARTS[kind]([*(Series("odd", values, values) for values in odd), Series("even", X, X)]))


def test_names_are_no_formulas() -> None:
    opened(charts.line_chart([Series(r"a $\nothing{ 日本", X, X)], x_label="$", y_label="{"))


def test_the_same_data_give_the_same_bytes() -> None:
    first, second = (charts.line_chart([Series("a", X, X)], **LABELS) for _ in range(2))
    assert first == second


def test_no_state_of_pyplot_is_touched() -> None:
    charts.line_chart([Series("a", X, X)], **LABELS)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "bad", [Series("s", X, X[:-1]), Series("s", X, X, style="steps"), Series("s", X[None], X[None])]
)
def test_lengths_must_fit(bad: Series) -> None:
    with pytest.raises(UsageError, match="series 's'"):
        charts.line_chart([bad], **LABELS)


def test_no_panel() -> None:
    with pytest.raises(UsageError, match="one at least"):
        charts.panel_chart([], **LABELS)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"rawsynth\[calibrate\]"):
        charts.line_chart([], **LABELS)
