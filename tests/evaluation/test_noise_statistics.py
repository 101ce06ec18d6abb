"""What is measured is what was simulated: variance, correlation, row, column and frame noise."""

import math

import numpy as np
import pytest
from scipy import ndimage

from rawsynth.evaluation.noise_bins import plan_bins
from rawsynth.evaluation.noise_statistics import LAGS, PlaneMeasurement, measure, shared_share
from tests.evaluation.noise_shots import BLACK, as_stack, ramp, shoot

FLAT = np.full((120, 160), 100.0)


def measured(frames: np.ndarray, cfa: str | None = None, white: int | None = 4095) -> list[PlaneMeasurement]:
    stack = as_stack(frames, cfa, white=white)
    return measure(stack, plan_bins(stack), range(len(frames)))


@pytest.mark.parametrize("count", [2, 5, 16])
def test_variance_whatever_the_number_of_frames(count: int) -> None:
    """S x + O + 1/12 in every intensity bin; the residuals of two frames have the same variance as those of sixteen."""
    light = ramp(128, 256)
    frames = shoot(np.random.default_rng(0), light, 16, gain=0.5, read=3.0)
    stack = as_stack(frames)
    (one,) = measure(stack, plan_bins(stack), range(count))
    assert len(one.variance_dn2) == 8 and one.pixels.sum() == light.size
    wanted = 0.5 * (one.intensity_dn - BLACK) + 9.0 + 1 / 12
    errors = np.sqrt(2 / (one.pixels * (count - 1)))
    # Four standard errors; Poisson's own kurtosis adds little at these counts.
    assert (np.abs(one.variance_dn2 / wanted - 1) < 4.2 * errors).all()


def test_white_noise_has_no_structure() -> None:
    (one,) = measured(shoot(np.random.default_rng(1), FLAT, 8))
    pairs = FLAT.size * 7
    assert np.abs([one.row_correlation, one.column_correlation]).max() < 4 / math.sqrt(pairs)
    # The variance of c lines' means has a relative standard error of sqrt(2 / c).
    assert abs(one.row_share) < 4 * math.sqrt(2 / (120 * 7)) / 160
    assert abs(one.column_share) < 4 * math.sqrt(2 / (160 * 7)) / 120
    assert abs(one.frame_share) < 4 * math.sqrt(2 / 7) / FLAT.size
    assert one.moving_share == 0 and one.saturated_share == 0 and one.zero_share == 0


@pytest.mark.parametrize(("name", "other"), [("row", "column"), ("column", "row")])
def test_line_noise_is_measured(name: str, other: str) -> None:
    total = 0.5 * 100 + 9 + 1 / 12 + 4
    (one,) = measured(shoot(np.random.default_rng(2), FLAT, 12, **{name: 2.0}))
    lines = FLAT.shape[0 if name == "row" else 1] * 11
    assert getattr(one, f"{name}_share") == pytest.approx(4 / total, rel=4 * math.sqrt(2 / lines) + 0.02)
    across = FLAT.shape[0 if other == "row" else 1], FLAT.shape[1 if other == "row" else 0]
    assert abs(getattr(one, f"{other}_share")) < 4 * math.sqrt(2 / (across[0] * 11)) / across[1]
    along = one.row_correlation if name == "row" else one.column_correlation
    assert along == pytest.approx(np.full(len(LAGS), 4 / total), rel=0.15)
    assert np.abs(one.column_correlation if name == "row" else one.row_correlation).max() < 0.02


def test_flicker_is_told_apart() -> None:
    (one,) = measured(shoot(np.random.default_rng(3), FLAT, 40, flicker=0.8))
    assert one.frame_share == pytest.approx(0.64 / 59.7, rel=4 * math.sqrt(2 / 39))
    assert abs(one.row_share) < 5e-4 and abs(one.column_share) < 5e-4
    assert np.abs([one.row_correlation, one.column_correlation]).max() < 0.01


def test_correlation_of_filtered_noise() -> None:
    """Moving average (1, 1/2) along rows: correlation 0.4 at lag 1, none beyond."""
    white = np.random.default_rng(4).normal(0, 10, (10, 120, 160))
    smooth = ndimage.convolve1d(white, [1.0, 0.5], axis=2, mode="wrap")
    (one,) = measured(np.rint(smooth + 500).astype(np.uint16))
    assert one.row_correlation[0] == pytest.approx(0.4, abs=0.01)
    assert np.abs(one.row_correlation[1:]).max() < 0.012 and np.abs(one.column_correlation).max() < 0.012


def test_planes_that_share_rows() -> None:
    frames = shoot(np.random.default_rng(5), FLAT, 12, row=2.0)
    r, gr, gb, b = measured(frames, "RGGB")
    total = 0.5 * 100 + 9 + 1 / 12 + 4
    for first, second in ((r, gr), (gb, b)):
        assert shared_share(first.row_means, second.row_means) == pytest.approx(4 / total, rel=0.2)
    assert abs(shared_share(r.row_means, gb.row_means)) < 0.01
    assert abs(shared_share(r.column_means, gb.column_means)) < 2e-3


def test_what_saturates_is_left_out() -> None:
    light = ramp(64, 128, low=0.0, high=6000.0)
    (one,) = measured(shoot(np.random.default_rng(6), light, 6))
    assert one.saturated_share == pytest.approx((light > 4031).mean(), abs=0.03)
    wanted = 0.5 * (one.intensity_dn - BLACK) + 9
    assert one.variance_dn2[-1] == pytest.approx(wanted[-1], rel=0.1)
    (unaware,) = measured(shoot(np.random.default_rng(6), light, 6), white=None)
    assert unaware.saturated_share == 0 and unaware.variance_dn2[-1] < 0.3 * wanted[-1]


def test_values_at_zero_are_counted() -> None:
    frames = shoot(np.random.default_rng(7), FLAT, 4, read=30.0)
    dark = (frames.astype(int) - 140).clip(0).astype(np.uint16)
    (one,) = measured(dark)
    assert one.zero_share == pytest.approx((dark == 0).mean())


def test_bands_change_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only pairs down a column that two bands part are lost."""
    frames = shoot(np.random.default_rng(8), ramp(), 6, row=1.0)
    (whole,) = measured(frames)
    monkeypatch.setattr("rawsynth.evaluation.noise_stack._BAND_VALUES", 1)
    (parts,) = measured(frames)
    arrays = ("pixels", "histograms", "variance_dn2", "row_correlation", "row_means", "column_means", "intensity_dn")
    for name in arrays:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-5, abs=1e-6), name
    for name in ("row_share", "column_share", "frame_share", "mean_dn", "sigma_dn"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-4, abs=1e-7), name
    assert parts.column_correlation == pytest.approx(whole.column_correlation, abs=0.01)
