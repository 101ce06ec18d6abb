"""reduce_sites: sites of one colour, each in its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import SampleError, UsageError
from rawsynth.raw.reduction import reduce_sites


def planes(mosaic: np.ndarray) -> np.ndarray:
    return np.stack([mosaic[k // 2 :: 2, k % 2 :: 2] for k in range(4)]).astype(np.float32)


def ramp(height: int, width: int, *, slope: tuple[float, float] = (0.25, 0.5)) -> np.ndarray:
    """Light that grows with the place, seen at the centre of each site."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return slope[0] * rows + slope[1] * columns


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8])
def test_every_colour_stays_in_its_place(factor: int) -> None:
    """A ramp stays the same ramp, in every plane: a new site sees the light at the centre of its square."""
    out = reduce_sites(planes(ramp(16 * factor, 8 * factor)), factor)
    wanted = planes(factor * ramp(16, 8))
    assert out.shape == (4, 8, 4) and out.dtype == np.float32
    assert np.abs(out - wanted).max() < 1e-4


@given(factor=st.integers(1, 7), height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_mean_of_sites_of_one_plane(factor: int, height: int, width: int, seed: int) -> None:
    packed = np.random.default_rng(seed).random((4, height, width)).astype(np.float32)
    if height < factor or width < factor:
        with pytest.raises(SampleError, match="leaves none"):
            reduce_sites(packed, factor)
        return
    out = reduce_sites(packed, factor)
    assert out.shape == (4, height // factor, width // factor)
    for plane, before in zip(out, packed, strict=True):
        assert before.min() - 1e-6 <= plane.min() and plane.max() <= before.max() + 1e-6
    only_red = packed * np.array([1, 0, 0, 0], np.float32)[:, None, None]
    assert np.array_equal(reduce_sites(only_red, factor)[0], out[0]) and not reduce_sites(only_red, factor)[1:].any()


def test_factor_one_changes_nothing() -> None:
    packed = np.random.default_rng(0).normal(size=(4, 5, 7)).astype(np.float32)
    assert np.array_equal(reduce_sites(packed, 1), packed)


def test_noise_falls() -> None:
    """By the sum of the weights' squares: 0.75 and 0.25 a way at factor 2, so 0.625 each way."""
    noise = np.random.default_rng(0).normal(size=(4, 400, 400)).astype(np.float32)
    assert reduce_sites(noise, 2).var() == pytest.approx(0.625**2, rel=0.02)


@pytest.mark.parametrize("factor", [0, 1.5, -2])
def test_other_factors_are_refused(factor: float) -> None:
    with pytest.raises(UsageError, match="whole number"):
        reduce_sites(np.zeros((4, 8, 8), np.float32), factor)  # type: ignore[arg-type]
