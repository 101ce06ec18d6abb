"""Noise by ISO: interpolation, conversion gains, spreads, and what is refused."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.cameras import NoisePoint, NoiseProfile
from rawsynth.errors import UsageError


def point(iso: float, gain: float, sigma: float, **fields: Any) -> NoisePoint:
    return NoisePoint(iso, (gain,) * 4, (sigma,) * 4, **fields)


LINE = NoiseProfile((point(100, 0.1, 2.0), point(400, 0.4, 4.0), point(1600, 1.6, 8.0)))
# Figures of the Sony ILCE-7SM2 as PMN states them: read noise falls where the second conversion gain starts.
DUAL = NoiseProfile(
    (point(800, 0.765, 3.5476), point(1600, 1.530, 6.2993), point(2000, 1.913, 2.6539), point(3200, 3.060, 3.9194)),
    high_gain_isos=(2000.0,),
)


@given(iso=st.floats(100, 1600))
def test_a_power_law_is_met_between_its_points(iso: float) -> None:
    found = LINE.at(iso)
    assert found.gain_dn_per_electron == pytest.approx([iso / 1000] * 4)
    assert found.read_sigma_dn == pytest.approx([0.2 * math.sqrt(iso)] * 4)
    assert found.iso == iso


def test_points_themselves_are_exact() -> None:
    for given_point in DUAL.points:
        assert DUAL.at(given_point.iso) == given_point


def test_no_line_crosses_a_conversion_gain() -> None:
    """Just under the switch the low gain's line goes on; just above, the high gain's starts."""
    below = DUAL.at(1999.0).read_sigma_dn[0]
    slope = math.log(6.2993 / 3.5476) / math.log(2)
    assert below == pytest.approx(6.2993 * (1999 / 1600) ** slope)
    assert DUAL.at(2000.0).read_sigma_dn[0] == 2.6539
    assert 2.6539 < DUAL.at(2500.0).read_sigma_dn[0] < 3.9194


def test_a_lone_point_of_a_gain_is_amplified() -> None:
    profile = NoiseProfile((point(100, 0.1, 1.0), point(200, 0.2, 2.0), point(800, 0.8, 1.5)), high_gain_isos=(640,))
    found = profile.at(700)
    assert found.gain_dn_per_electron[0] == pytest.approx(0.7)
    assert found.read_sigma_dn[0] / found.gain_dn_per_electron[0] == pytest.approx(1.5 / 0.8)


@pytest.mark.parametrize("iso", [50, 99, 1700, 1e6])
def test_an_iso_outside_is_refused_unless_asked_for(iso: float) -> None:
    with pytest.raises(UsageError, match="100 to 1600.*extrapolat"):
        LINE.at(iso)
    assert LINE.at(iso, extrapolate=True).gain_dn_per_electron[0] == pytest.approx(iso / 1000)


@pytest.mark.parametrize("iso", [0, -100, math.nan, math.inf])
def test_what_is_no_iso_is_refused_in_any_case(iso: float) -> None:
    with pytest.raises(UsageError):
        LINE.at(iso, extrapolate=True)


def test_a_gain_without_figures_is_refused() -> None:
    profile = NoiseProfile((point(100, 0.1, 1.0), point(200, 0.2, 2.0)), high_gain_isos=(640,))
    with pytest.raises(UsageError, match="ISO 800.*conversion gain"):
        profile.at(800, extrapolate=True)


def test_rows_that_start_at_no_noise_rise_along_a_straight_line() -> None:
    profile = NoiseProfile((point(100, 0.1, 1.0), point(400, 0.4, 2.0, row_sigma_dn=0.5)))
    assert profile.at(200).row_sigma_dn == pytest.approx(0.25)
    assert profile.at(50, extrapolate=True).row_sigma_dn == 0.0


def test_flags_of_both_neighbours_are_kept() -> None:
    profile = NoiseProfile((point(100, 0.1, 1.0, flags=("read_floored",)), point(400, 0.4, 2.0)))
    assert profile.at(200).flags == ("read_floored",)


def test_the_unit_scale() -> None:
    """S = K / range and O = (sigma / range)**2, facts of the Sony ILCE-7SM2 at ISO 800: 4.8e-5 and 5.0e-8."""
    noise = DUAL.sensor_noise(800, range_dn=15871, cfa="RGGB")
    assert noise.shot[0] == pytest.approx(4.8e-5, rel=0.01)
    assert noise.read[0] == pytest.approx(5.0e-8, rel=0.01)
    assert noise.iso == 800


def test_spread_is_log_normal_about_the_table() -> None:
    profile = NoiseProfile(
        (point(100, 0.1, 2.0, tukey_scale_dn=(1.0,) * 4, row_sigma_dn=0.5),),
        tukey_lambdas=(-0.1, 0.0, 0.1),
        log_spread={"read_sigma_dn": 0.25, "row_sigma_dn": 0.1},
    )
    rng = np.random.default_rng(3)
    drawn = [profile.sensor_noise(100, range_dn=1000, cfa="RGGB", rng=rng) for _ in range(4000)]
    logs = 0.5 * np.log([n.read[0] for n in drawn]) - math.log(2 / 1000)
    assert abs(logs.mean()) < 4 * 0.25 / math.sqrt(4000)
    assert logs.std() == pytest.approx(0.25, rel=4 / math.sqrt(2 * 4000))
    assert np.log([n.row_sigma for n in drawn]).std() == pytest.approx(0.1, rel=4 / math.sqrt(2 * 4000))
    assert {n.tukey_lambda for n in drawn} == {-0.1, 0.0, 0.1}
    assert {n.shot for n in drawn} == {(1e-4,) * 4} and {n.tukey_scale for n in drawn} == {(1e-3,) * 4}


def test_without_a_generator_it_is_the_table_and_the_middle_shape() -> None:
    profile = NoiseProfile(
        (point(100, 0.1, 2.0, tukey_scale_dn=(1.0,) * 4),),
        tukey_lambdas=(0.3, -0.1, 0.0),
        log_spread={"read_sigma_dn": 0.25},
    )
    noise = profile.sensor_noise(100, range_dn=1000, cfa="RGGB")
    assert (noise.read[0], noise.tukey_lambda) == (pytest.approx((2 / 1000) ** 2), 0.0)


def test_a_shape_of_the_iso_s_own_is_interpolated_and_never_drawn() -> None:
    scale = (1.0,) * 4
    points = (
        point(100, 0.1, 2.0, tukey_scale_dn=scale, tukey_lambda=0.1),
        point(400, 0.4, 2.0, tukey_scale_dn=scale, tukey_lambda=-0.1),
    )
    profile, rng = NoiseProfile(points), np.random.default_rng(0)
    for iso, shape in ((100, 0.1), (200, 0.0), (400, -0.1), (800, -0.1)):
        noise = profile.sensor_noise(iso, range_dn=1000, cfa="RGGB", extrapolate=True, rng=rng)
        assert noise.tukey_lambda == pytest.approx(shape, abs=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gain_dn_per_electron": (0.1, 0.1, 0.1, 0.0)}, "ISO 100: gain_dn_per_electron"),
        ({"read_sigma_dn": (1.0, 1.0, -1.0, 1.0)}, "ISO 100: read_sigma_dn"),
        ({"read_sigma_dn": (1.0, 1.0)}, "four planes"),
        ({"tukey_scale_dn": (0.0,) * 4}, "tukey_scale_dn"),
        ({"row_sigma_dn": math.nan}, "row_sigma_dn"),
        ({"color_bias_dn": (0.0, math.inf, 0.0, 0.0)}, "color_bias_dn"),
        ({"iso": 0}, "ISO"),
        ({"tukey_lambda": -0.5}, "tukey_lambda"),
    ],
)
def test_impossible_points_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NoisePoint(**{"iso": 100, "gain_dn_per_electron": (0.1,) * 4, "read_sigma_dn": (1.0,) * 4, **fields})


TUKEY = point(100, 0.1, 1.0, tukey_scale_dn=(0.5,) * 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"points": ()}, "at least one"),
        ({"points": (point(100, 0.1, 1.0), point(100, 0.2, 1.0))}, "twice"),
        ({"points": (TUKEY, point(200, 0.2, 1.0)), "tukey_lambdas": (0.1,)}, "every ISO"),
        ({"points": (TUKEY,)}, "tukey_lambdas"),
        ({"points": (point(100, 0.1, 1.0, tukey_lambda=0.1),)}, "tukey_scale_dn"),
        ({"points": (replace(TUKEY, tukey_lambda=0.1),), "tukey_lambdas": (0.1,)}, "or tukey_lambdas"),
        ({"points": (point(100, 0.1, 1.0),), "tukey_lambdas": (0.1,)}, "tukey_scale_dn"),
        ({"points": (TUKEY,), "tukey_lambdas": (-0.5,)}, "infinite"),
        ({"points": (TUKEY,), "tukey_lambdas": (0.1,), "high_gain_isos": (0.0,)}, "high_gain_isos"),
        ({"points": (point(100, 0.1, 1.0),), "log_spread": {"iso": 0.1}}, "log_spread"),
        ({"points": (point(100, 0.1, 1.0),), "log_spread": {"row_sigma_dn": -0.1}}, "log_spread"),
    ],
)
def test_impossible_profiles_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NoiseProfile(**fields)
