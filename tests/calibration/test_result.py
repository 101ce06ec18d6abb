"""From figures to a camera: the profile has what was measured, and the JSON is JSON."""

import json
import tomllib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rawsynth.calibration.bootstrap import block_weights, estimate
from rawsynth.calibration.fitting import calibrate_set, calibrate_sets
from rawsynth.calibration.result import Calibration
from rawsynth.cameras.camera_file import format_camera
from rawsynth.cameras.profile import camera_from_dict
from rawsynth.errors import UsageError
from tests.calibration.simulate import Sensor


@cache
def two_isos() -> Calibration:
    low = Sensor(gain=(0.5, 0.5, 0.5, 0.5), read_sigma=6.0, row_sigma=1.0, cfa="GBRG", black=100.0)
    high = Sensor(gain=(1.0, 1.0, 1.0, 1.0), read_sigma=3.0, cfa="GBRG", black=101.0, seed=1)
    return calibrate_sets([high.captures(iso=1600, dark=8), low.captures(iso=800, dark=8)])


def test_a_profile_has_what_was_measured() -> None:
    found = two_isos()
    profile = found.to_profile("Test Camera")
    assert (profile.name, profile.cfa, profile.nominal_levels) == ("Test Camera", "GBRG", False)
    assert (profile.levels.white_level, profile.levels.bits) == (4095, 12)
    noise = profile.noise_profile()
    assert noise.isos == (800, 1600)
    # Read noise halves while the ISO doubles: a second conversion gain.
    assert noise.high_gain_isos == (1600,)
    low, high = noise.points
    assert low.gain_dn_per_electron == pytest.approx([0.5] * 4, rel=0.03)
    assert high.read_sigma_dn == pytest.approx([3.0] * 4, rel=0.03)
    assert low.row_sigma_dn == pytest.approx(1.0, rel=0.15) and high.row_sigma_dn == 0.0
    assert [point.tukey_lambda for point in noise.points] == pytest.approx([0.14, 0.14], abs=0.04)
    assert low.tukey_scale_dn is not None
    assert profile.levels.black_level in (100, 101)
    bias = [profile.levels.black_level + b for b in low.color_bias_dn]
    assert bias == pytest.approx([100.0] * 4, abs=0.2)


def test_a_profile_survives_its_file() -> None:
    profile = two_isos().to_profile("Test Camera")
    again = camera_from_dict(tomllib.loads(format_camera(profile)), "test.toml")
    assert again == profile


def test_json_is_json_and_names_the_left_out() -> None:
    found = calibrate_set(Sensor(cfa=None).captures([50.0, 500.0, 1000.0, 2000.0, 6000.0]))
    data = json.loads(json.dumps(Calibration((found,)).to_json(), allow_nan=False))
    (iso,) = data["isos"]
    assert data["confidence"] == 0.95 and iso["fit"] == "weighted"
    plane = iso["planes"][0]
    assert plane["gain_dn_per_electron"]["low"] < plane["gain_dn_per_electron"]["value"]
    assert "clipped" in plane["points"][-1]["excluded"]
    assert set(iso["dark"]["tukey"]) == {"shape", "scale_dn", "ppcc", "gaussian_ppcc"}


def test_a_monochrome_sensor_needs_an_iso_and_spreads_over_four_planes() -> None:
    found = Calibration((calibrate_set(Sensor(cfa=None).captures(iso=None)),))
    with pytest.raises(UsageError, match="no ISO"):
        found.to_profile("Mono")
    profile = found.to_profile("Mono", iso=100, cfa="BGGR")
    assert profile.cfa == "BGGR" and "four" in profile.sources[-1]
    assert len(set(profile.noise_profile().points[0].gain_dn_per_electron)) == 1


def test_hidden_read_noise_is_flagged() -> None:
    found = calibrate_set(Sensor(gain=(0.1,) * 4, read_sigma=0.1, black=100.0).captures())
    planes = tuple(replace(p, read_sigma_dn=replace(p.read_sigma_dn, value=0.0)) for p in found.planes)
    point = Calibration((replace(found, planes=planes),)).to_profile("Quiet").noise_profile().points[0]
    assert point.flags == ("read_floored",)
    assert point.read_sigma_dn[0] == pytest.approx((1 / 12) ** 0.5, rel=1e-4)


def test_different_layouts_are_two_cameras() -> None:
    found = two_isos()
    with pytest.raises(UsageError, match="one CFA"):
        Calibration((replace(found.isos[0], cfa="RGGB"), found.isos[1])).to_profile("Two")
    with pytest.raises(UsageError, match="leave the layout"):
        found.to_profile("Two", cfa="RGGB")


def test_the_bootstrap_interval_of_a_mean_is_students() -> None:
    """A mean of 30 blocks: its interval is the value -+ t * s / sqrt(n), within what 4000 replicates scatter."""
    rng = np.random.default_rng(0)
    values = rng.normal(10, 2, 30)
    weights = block_weights(30, rng=rng, replicates=4000)
    got = estimate(weights @ values / weights.sum(axis=1), 30)
    margin = 2.0452 * np.std(values, ddof=1) / 30**0.5
    assert got.value == pytest.approx(values.mean())
    assert (got.high - got.low) / 2 == pytest.approx(margin, rel=0.06)
