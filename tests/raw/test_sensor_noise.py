"""SensorNoise: what it refuses, what its planes mean in another layout, and its white equivalent."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.noise_params import (
    dn_from_electrons,
    dng_noise_profile,
    electrons_from_dn,
    planes_from_dng,
)
from rawsynth.raw.sensor_noise import SensorNoise, plane_order

LAYOUTS = st.sampled_from(sorted(BAYER_LAYOUTS))
PLANES = (0.1, 0.2, 0.3, 0.4)
FOUR = st.tuples(*[st.floats(0, 1)] * 4)


def test_one_number_stands_for_four_planes() -> None:
    noise = SensorNoise.white(0.01, [1e-4, 2e-4, 3e-4, 4e-4])
    assert (noise.shot, noise.read) == ((0.01,) * 4, (1e-4, 2e-4, 3e-4, 4e-4))


def test_rows_and_columns_count_as_variance() -> None:
    noise = SensorNoise((0.0,) * 4, (1e-4,) * 4, row_sigma=0.03, column_sigma=0.04)
    assert noise.total_read() == pytest.approx([1e-4 + 0.0009 + 0.0016] * 4)


@given(source=LAYOUTS, target=LAYOUTS, shot=FOUR, read=FOUR, bias=FOUR)
def test_colours_keep_their_noise_in_another_layout(
    source: str, target: str, shot: Any, read: Any, bias: Any
) -> None:
    noise = SensorNoise(shot, read, tukey_scale=read, tukey_lambda=0.1, color_bias=bias, cfa=source)
    moved = noise.in_layout(target)
    for name in ("shot", "read", "tukey_scale", "color_bias"):
        for color in "RGB":
            before = [getattr(noise, name)[i] for i in range(4) if source[i] == color]
            after = [getattr(moved, name)[i] for i in range(4) if target[i] == color]
            assert sorted(before) == sorted(after)
    assert moved.cfa == target
    assert moved.in_layout(source) == noise


def test_an_order_by_hand() -> None:
    """Gr is the green beside red, wherever the layout begins."""
    assert plane_order("RGGB", "GRBG") == (1, 0, 3, 2)
    assert plane_order("BGGR", "RGGB") == (3, 2, 1, 0)
    assert plane_order("RGGB", "GBRG") == (2, 3, 0, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shot": (0.1, 0.1, 0.1, -0.1)}, "shot"),
        ({"read": (math.nan,) * 4}, "read"),
        ({"row_sigma": -1e-3}, "row_sigma"),
        ({"column_sigma": math.inf}, "column_sigma"),
        ({"quantization_step": -1.0}, "quantization_step"),
        ({"color_bias": (0.0, 0.0, 0.0, math.nan)}, "color_bias"),
        ({"color_bias": (0.0, 0.0)}, "color_bias"),
        ({"tukey_scale": PLANES}, "tukey_lambda"),
        ({"tukey_lambda": 0.1}, "tukey_scale"),
        ({"tukey_scale": PLANES, "tukey_lambda": -0.5}, "infinite"),
        ({"cfa": "RGBG"}, "RGBG"),
    ],
)
def test_what_no_sensor_has_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SensorNoise(**{"shot": PLANES, "read": PLANES, **fields})


@given(sigma=st.floats(1e-3, 1e3), gain=st.floats(1e-3, 1e2))
def test_electrons_and_dn_invert_each_other(sigma: float, gain: float) -> None:
    assert dn_from_electrons(electrons_from_dn(sigma, gain), gain) == pytest.approx(sigma)


def test_read_noise_of_a_published_sensor_in_electrons() -> None:
    """EMVA1288 reference data set 001: 3.0731 DN less 1/12 DN^2 at 0.28006 DN/e- are 10.924 electrons."""
    assert electrons_from_dn(math.sqrt(3.0731043140450693**2 - 1 / 12), 0.2800626484911438) == pytest.approx(
        10.924397786720915, rel=1e-9
    )


@given(cfa=LAYOUTS, values=st.tuples(*[st.floats(1e-6, 1)] * 6))
def test_a_dng_profile_comes_back(cfa: str, values: tuple[float, ...]) -> None:
    shot, read = planes_from_dng(values, cfa)
    assert dng_noise_profile(shot, read, cfa) == pytest.approx(values)
    assert [shot[cfa.index("R")], read[cfa.index("B")]] == [values[0], values[5]]


def test_one_pair_is_for_all_colours() -> None:
    assert planes_from_dng([2e-5, 4.5e-7], "RGGB") == ((2e-5,) * 4, (4.5e-7,) * 4)


@pytest.mark.parametrize("values", [[1e-3], [1e-3] * 4, [0.0, 1e-6], [1e-3, -1e-6], [math.nan, 0.0]])
def test_wrong_dng_profiles_are_refused(values: list[float]) -> None:
    with pytest.raises(UsageError):
        planes_from_dng(values, "RGGB")
