"""Rows, columns and tails of simulated darks; the Tukey-lambda law against SciPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rawsynth.calibration.fitting import calibrate_set
from rawsynth.calibration.result import DarkNoise
from rawsynth.calibration.tukey import gaussian_cdf, tukey_cdf, tukey_sigma
from tests.calibration.simulate import Sensor, shots


def darks(sensor: Sensor, count: int = 8) -> DarkNoise:
    found = calibrate_set(sensor.captures([100.0, 300.0, 1000.0, 2000.0], dark=count)).dark
    assert found is not None
    return found


@pytest.mark.parametrize("shape", [-0.45, -0.24, -0.1, 0.0, 0.1, 0.14, 0.3])
def test_law_and_deviation_are_those_of_scipy(shape: float) -> None:
    x = np.linspace(-30, 30, 401)
    law = stats.tukeylambda(shape)
    assert tukey_cdf(shape)(x) == pytest.approx(law.cdf(x), abs=2e-5)
    assert tukey_sigma(shape) == pytest.approx(float(np.sqrt(law.var())), rel=1e-6)


def test_the_gaussian_law_is_that_of_scipy() -> None:
    x = np.linspace(-8, 8, 201)
    assert gaussian_cdf()(x) == pytest.approx(stats.norm.cdf(x), abs=1e-6)


# The last two columns: quantisation half as wide as the noise, and row noise as large as a DN and more.
@pytest.mark.parametrize(
    ("shape", "scale", "row"),
    [(-0.24, 2.0, 0.0), (-0.1, 1.5, 0.8), (0.0, 0.5, 0.0), (0.1, 8.0, 5.0), (0.14, 1.0, 0.3)],
)
def test_shape_and_scale_come_back(shape: float, scale: float, row: float) -> None:
    sensor = Sensor(tukey=(shape, scale), row_sigma=row, gain=(1.0,) * 4, height=240, width=320)
    tukey = darks(sensor).tukey
    assert tukey is not None
    # Standard errors by simulation: 0.004 of lambda, half a percent of the scale.
    assert tukey.shape.value == pytest.approx(shape, abs=0.016)
    assert [s.value for s in tukey.scale_dn] == pytest.approx([scale] * 4, rel=0.02)
    assert tukey.ppcc > 0.9999
    for theory, observed in zip(tukey.theory, tukey.observed, strict=True):
        inner = np.abs(observed) < 2.5 * scale * tukey_sigma(shape)
        assert np.array(observed)[inner] == pytest.approx(np.array(theory)[inner], abs=0.05 * scale * 4)


def test_gaussian_noise_is_told_from_long_tails() -> None:
    gaussian = darks(Sensor(read_sigma=3.0, gain=(1.0,) * 4)).tukey
    tailed = darks(Sensor(tukey=(-0.2, 1.2), gain=(1.0,) * 4)).tukey
    assert gaussian is not None and tailed is not None
    # The Tukey-lambda law nearest to a Gaussian has 0.135 to 0.145 by PPCC.
    assert gaussian.shape.value == pytest.approx(0.14, abs=0.02)
    assert gaussian.gaussian_ppcc > 0.9999 > 0.995 > tailed.gaussian_ppcc
    assert tailed.ppcc > 0.9999


def test_noise_below_a_dn_has_no_tails_to_see() -> None:
    assert darks(Sensor(read_sigma=0.4)).tukey is None


@pytest.mark.parametrize("cfa", ["RGGB", None])
def test_row_and_column_noise_come_back(cfa: str | None) -> None:
    sensor = Sensor(cfa=cfa, gain=(1.0,) * 4, row_sigma=0.9, column_sigma=0.5, height=320, width=320)
    found = darks(sensor, 12)
    # 320 rows in 12 frames: the standard error of a sigma is 1/sqrt(2 * 320 * 11 * 2/3), 1.5 %.
    assert found.row_sigma_dn.value == pytest.approx(0.9, rel=0.06)
    assert found.column_sigma_dn.value == pytest.approx(0.5, rel=0.08)
    assert found.row_sigma_dn.low < found.row_sigma_dn.value < found.row_sigma_dn.high
    # Row means hold row^2 beside white^2 / width: white about 3.0, so the spectrum stands at 1 + 0.81 * 320 / 9.1.
    assert np.mean(found.row_spectrum.power) == pytest.approx(1 + 0.81 * 320 / 9.1, rel=0.15)


def test_without_row_noise_there_is_none() -> None:
    found = darks(Sensor())
    assert found.row_sigma_dn.low == 0.0 and found.column_sigma_dn.low == 0.0
    assert np.mean(found.row_spectrum.power) == pytest.approx(1.0, abs=0.15)
    frequency = found.row_spectrum.frequency
    assert 0 < frequency[0] < frequency[-1] <= 0.5 and len(frequency) == len(found.row_spectrum.power)


def test_banding_is_a_peak_of_its_frequency() -> None:
    sensor = Sensor(cfa=None, gain=(1.0,), height=256, width=256)
    rows = np.arange(256)[:, None]

    def frame(phase: float) -> Any:
        return np.rint(sensor.frame(0.0) + 3 * np.sin(2 * np.pi * rows / 8 + phase)).astype(np.uint16)

    captures = replace(
        sensor.captures([100.0, 300.0, 1000.0, 2000.0]), dark=shots([frame(k * 1.7) for k in range(8)], "banded")
    )
    found = calibrate_set(captures).dark
    assert found is not None
    assert found.row_spectrum.frequency[int(np.argmax(found.row_spectrum.power))] == pytest.approx(1 / 8, abs=1 / 256)
