"""The Tukey-lambda distribution against scipy's, into both tails and through its logistic limit."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats
from torch import Tensor

from rawsynth import seeding
from rawsynth.errors import UsageError
from rawsynth.noise.stages import tukey_read
from rawsynth.noise.tukey_lambda import tukey_from_bits, tukey_quantile, tukey_variance

SHAPES = (-0.2429, -0.1, 0.0, 1e-6, 0.14, 0.2)
ALL_SHAPES = pytest.mark.parametrize("shape", SHAPES)
BITS = st.integers(-(2**31), 2**31 - 1)
LAST_TAIL = 2.0**-33


def single(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float32)


def draws(shape: float, key: str = "a", side: int = 512) -> NDArray[np.float64]:
    """A million values as the read stage draws them."""
    words = seeding.seed_words([seeding.sample_seed(0, f"{key}/{shape}", "test")], torch.device("cpu"))
    scale = torch.ones(1, 4)
    return tukey_read(words, scale, single(shape)[None], side, side).double().numpy().ravel()


@pytest.mark.parametrize("shape", [*SHAPES, -0.45, -0.02, -0.0101, -0.0099, -1e-9, 1e-3, 0.01, 0.5, 1.0, 2.0, 5.0])
def test_variance_is_that_of_the_distribution(shape: float) -> None:
    """Against scipy, and against the integral of the squared quantile over ``p = exp(-u)``."""
    assert tukey_variance(shape) == pytest.approx(float(stats.tukeylambda.var(shape)), rel=1e-10)
    if shape > -0.3:

        def squared(u: float) -> float:
            return float(stats.tukeylambda.ppf(math.exp(-u), shape)) ** 2 * math.exp(-u)

        integral = 2 * integrate.quad(squared, math.log(2), 300, limit=200)[0]
        assert tukey_variance(shape) == pytest.approx(integral, rel=1e-6)


def test_variance_of_known_laws() -> None:
    """Logistic at 0, uniform on (-1, 1) at 1, uniform on (-1/2, 1/2) at 2."""
    assert tukey_variance(0) == pytest.approx(math.pi**2 / 3, rel=1e-15)
    assert tukey_variance(1) == pytest.approx(1 / 3, rel=1e-14)
    assert tukey_variance(2) == pytest.approx(1 / 12, rel=1e-14)


@given(st.floats(-0.02, 0.02))
def test_variance_has_no_step_where_the_formula_changes(shape: float) -> None:
    ahead = tukey_variance(shape + 1e-6)
    assert ahead == pytest.approx(tukey_variance(shape) * (1 - 3.5e-6), rel=1e-6)


@pytest.mark.parametrize("shape", [-0.5, -0.7, -math.inf, math.inf, math.nan])
def test_shapes_without_a_variance_are_refused(shape: float) -> None:
    with pytest.raises(UsageError, match="above -0.5"):
        tukey_variance(shape)


@pytest.mark.parametrize("shape", [*SHAPES, -0.45, 1e-12, -1e-9, 1e-4, 1.0, 3.0])
def test_quantiles_are_scipys(shape: float) -> None:
    """From the last draw of 32 bits to the median, within a few roundings of float32."""
    tail = torch.from_numpy(np.concatenate([np.geomspace(LAST_TAIL, 0.5, 3000), np.linspace(0.3, 0.5, 500)])).float()
    theory = -stats.tukeylambda.ppf(tail.double().numpy(), float(np.float32(shape)))
    measured = tukey_quantile(tail, single(shape)).double().numpy()
    # A rounding of shape * log(tail), at most 23, is what tells in the last places.
    np.testing.assert_allclose(measured, theory, rtol=3e-6, atol=3e-7)


@given(st.floats(-(2.0**-17), 2.0**-17, width=32), st.floats(LAST_TAIL, 0.5, width=32))
def test_quantiles_pass_through_the_logistic(shape: float, tail: float) -> None:
    """The derivative by the shape at 0 is at most ``log(tail)**2 / 2``."""
    near, logistic = (float(tukey_quantile(single(tail), single(s))) for s in (shape, 0.0))
    assert math.isfinite(near)
    assert logistic == pytest.approx(math.log1p(-tail) - math.log(tail), rel=1e-6, abs=2e-7)
    assert abs(near - logistic) < abs(shape) * 1.01 * math.log(tail) ** 2 / 2 + 4e-6


def test_shapes_broadcast_by_sample() -> None:
    tail = torch.rand(3, 50, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 0.5)
    shapes = torch.tensor([-0.2, 0.0, 0.2])
    together = tukey_quantile(tail, shapes[:, None])
    for k in range(3):
        assert torch.equal(tukey_quantile(tail[k], shapes[k]), together[k])


@given(BITS, st.sampled_from(SHAPES))
def test_bits_are_a_side_and_a_tail(bits: int, shape: float) -> None:
    """Complementary words are opposite values, and the rank of a word decides its value."""
    word = torch.tensor([bits, ~bits], dtype=torch.int32)
    value, opposite = tukey_from_bits(word, single(shape)).tolist()
    assert value == -opposite
    tail = ((bits if bits >= 0 else ~bits) + 0.5) * 2.0**-32
    theory = -float(stats.tukeylambda.ppf(tail, float(np.float32(shape)))) * (1 if bits >= 0 else -1)
    assert value == pytest.approx(theory, rel=3e-6, abs=3e-7)


@ALL_SHAPES
def test_the_last_draw_is_finite(shape: float) -> None:
    last = float(tukey_from_bits(torch.tensor([0], dtype=torch.int32), single(shape)))
    assert last == pytest.approx(-float(stats.tukeylambda.ppf(LAST_TAIL, shape)), rel=1e-5)
    assert 4 < last < 2000


@ALL_SHAPES
def test_draws_follow_the_law(shape: float) -> None:
    values = draws(shape)
    law = stats.tukeylambda(float(np.float32(shape)))
    p_values = [stats.kstest(part, law.cdf).pvalue for part in values[:80_000].reshape(4, -1)]
    assert min(p_values) > 1e-3
    # Neighbouring shapes of cameras are told apart by the same test.
    other = stats.tukeylambda(shape + 0.1)
    assert stats.kstest(values[:80_000], other.cdf).pvalue < 1e-4


@ALL_SHAPES
@pytest.mark.parametrize("tail", [0.1, 1e-2, 1e-3, 1e-4])
def test_tails_hold_their_share(shape: float, tail: float) -> None:
    values, bound = draws(shape, "tails"), -float(stats.tukeylambda.ppf(tail, shape))
    error = math.sqrt(tail * (1 - tail) / values.size)
    for share in ((values > bound).mean(), (values < -bound).mean()):
        assert abs(share - tail) < 4.5 * error


@pytest.mark.parametrize("shape", [0.0, 1e-6, 0.14, 0.2])
def test_moments_are_scipys(shape: float) -> None:
    """Mean, variance and kurtosis; standard errors from the moments up to the eighth, by integration."""
    values = draws(shape, "moments")
    moment = {
        k: 2 * integrate.quad(lambda u: float(stats.tukeylambda.ppf(math.exp(-u), shape)) ** k * math.exp(-u),
                              math.log(2), 200, limit=200)[0]
        for k in (2, 4, 8)
    }  # fmt: skip
    assert moment[2] == pytest.approx(tukey_variance(shape), rel=1e-6)
    excess = float(stats.tukeylambda.stats(shape, moments="k"))
    assert moment[4] / moment[2] ** 2 - 3 == pytest.approx(excess, abs=1e-4)
    for power, mean, square in ((1, 0.0, moment[2]), (2, moment[2], moment[4]), (4, moment[4], moment[8])):
        error = math.sqrt((square - mean**2) / values.size)
        assert abs((values**power).mean() - mean) < 4.5 * error


@pytest.mark.parametrize("shape", [-0.1, -0.2429])
def test_heavy_tails_keep_their_variance(shape: float) -> None:
    """The fourth moment decides the standard error; it exists above -0.25 only, and hardly so at -0.2429."""
    values = draws(shape, "heavy")
    tolerance = 0.01 if shape == -0.1 else 0.03
    assert values.var() == pytest.approx(tukey_variance(shape), rel=tolerance)
