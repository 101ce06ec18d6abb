"""Digital numbers: rounding once, clipping at 0 and white, negatives kept."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.raw.levels import CLEAN_LEVELS, Levels
from rawsynth.raw.quantize import dequantize, quantize


@st.composite
def any_levels(draw: st.DrawFn) -> Levels:
    bits = draw(st.integers(8, 16))
    white = draw(st.integers(1, 2**bits - 1))
    return Levels(draw(st.integers(0, white - 1)), white, bits)


@given(any_levels())
def test_every_dn_survives_the_unit_scale(levels: Levels) -> None:
    dn = torch.arange(levels.white_level + 1, dtype=torch.int32)
    assert torch.equal(quantize(dequantize(dn, levels), levels).int(), dn)


@given(any_levels(), st.lists(st.floats(-2, 2, width=32), min_size=1))
def test_rounding_costs_half_a_dn_at_most_and_clips_outside(levels: Levels, values: list[float]) -> None:
    unit = torch.tensor(values, dtype=torch.float32)
    dn = quantize(unit, levels)
    exact = unit.double() * levels.range_dn + levels.black_level
    assert dn.dtype == torch.uint16
    assert (dn.double() - exact.clamp(0, levels.white_level)).abs().max() <= 0.5 + 0.01


@pytest.mark.parametrize(
    ("unit", "levels", "dn"),
    [
        (0.0, Levels(512, 16383, 14), 512),
        (1.0, Levels(512, 16383, 14), 16383),
        (1.01, Levels(512, 16383, 14), 16383),
        (-0.01, Levels(512, 16383, 14), 353),  # 512 - 158.71, noise under black
        (-512 / 15871, Levels(512, 16383, 14), 0),
        (-1.0, Levels(512, 16383, 14), 0),
        (0.5, Levels(64, 1023, 10), 544),  # 543.5 to even
        (-0.01, CLEAN_LEVELS, 0),
        (0.5, CLEAN_LEVELS, 32768),
        (1.0, CLEAN_LEVELS, 65535),
    ],
)
def test_known_numbers(unit: float, levels: Levels, dn: int) -> None:
    assert int(quantize(torch.tensor(unit), levels)) == dn


def test_the_input_is_left_alone() -> None:
    unit = torch.tensor([0.25, -0.5])
    quantize(unit, CLEAN_LEVELS)
    assert unit.tolist() == [0.25, -0.5]


def test_dn_under_black_stay_negative() -> None:
    unit = dequantize(torch.tensor([0, 512, 16383], dtype=torch.int32), Levels(512, 16383, 14))
    assert unit.tolist() == pytest.approx([-512 / 15871, 0.0, 1.0], abs=1e-7)
    assert unit.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_other_precisions_are_quantised_in_float32(dtype: torch.dtype) -> None:
    assert quantize(torch.tensor([0.25, 0.75], dtype=dtype), Levels(0, 4095, 12)).tolist() == [1024, 3071]


def test_unsigned_files_can_be_read() -> None:
    assert dequantize(torch.tensor([65535], dtype=torch.uint16), CLEAN_LEVELS).item() == 1.0


@pytest.mark.parametrize(
    ("black", "white", "bits", "message"),
    [
        (0, 255, 7, "bits must be 8 to 16; got 7"),
        (0, 65536, 17, "bits must be 8 to 16; got 17"),
        (-1, 255, 8, "black -1"),
        (100, 100, 8, "black 100, white 100"),
        (200, 100, 8, "black 200, white 100"),
        (0, 256, 8, "white <= 255 at 8 bits"),
        (512, 16384, 14, "white <= 16383 at 14 bits"),
    ],
)
def test_impossible_levels_are_refused(black: int, white: int, bits: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Levels(black, white, bits)


@given(any_levels())
def test_json(levels: Levels) -> None:
    assert Levels(**json.loads(json.dumps(levels.to_json()))) == levels
    assert levels.range_dn == levels.white_level - levels.black_level > 0
