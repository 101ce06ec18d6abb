"""Brooks et al.'s law of noise levels: natural logarithms, and read is a variance."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rawsynth.noise.sampling import brooks_shot_read
from rawsynth.transforms import AddNoise

Array = NDArray[np.float64]
DRAWS = 20_000
LOG_SHOT = (np.log(1e-4), np.log(1.2e-2))


@pytest.fixture(scope="module")
def drawn() -> Iterator[tuple[Array, Array]]:
    """ln S and ln O of many samples, as users draw them."""
    params = AddNoise(seed=2019).make_params(DRAWS, keys=[str(i) for i in range(DRAWS)])
    levels = np.array([[p["params"]["shot"], p["params"]["read"]] for p in params])
    assert (levels == levels[:, :, :1]).all()  # one level for the four planes
    yield np.log(levels[:, 0, 0]), np.log(levels[:, 1, 0])


def test_shot_is_uniform_in_its_natural_logarithm(drawn: tuple[Array, Array]) -> None:
    low, high = LOG_SHOT
    assert stats.kstest(drawn[0], stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert low - 1e-6 < drawn[0].min() < low + 0.01
    assert high - 0.01 < drawn[0].max() < high + 1e-6


def test_read_lies_on_the_line(drawn: tuple[Array, Array]) -> None:
    log_shot, log_read = drawn
    fit = stats.linregress(log_shot, log_read)
    assert abs(fit.slope - 2.18) < 4.5 * fit.stderr < 0.01
    assert abs(fit.intercept - 1.20) < 4.5 * fit.intercept_stderr < 0.06
    # Taken in log10, the same line has the intercept 1.20 ln 10 here: reads 4.8 times too large.
    assert abs(fit.intercept - 1.20 * np.log(10)) > 50 * fit.intercept_stderr


def test_read_scatters_by_a_quarter_around_the_line(drawn: tuple[Array, Array]) -> None:
    log_shot, log_read = drawn
    residual = log_read - (2.18 * log_shot + 1.20)
    assert stats.kstest(residual, stats.norm(0, 0.26).cdf).pvalue > 1e-3
    assert stats.kstest(residual, stats.norm(0, 0.26 * np.log(10)).cdf).pvalue < 1e-30
    assert abs(stats.spearmanr(residual, log_shot).statistic) * np.sqrt(DRAWS) < 4.5
    assert abs(stats.spearmanr(residual[1:], residual[:-1]).statistic) * np.sqrt(DRAWS) < 4.5


def test_read_is_a_variance(drawn: tuple[Array, Array]) -> None:
    """In the middle of the range, S = 1.1e-3: O = 1.2e-6, the square of a read noise of 0.11 % of the range."""
    log_shot, log_read = drawn
    middle = np.abs(log_shot - np.log(1.1e-3)) < 0.1
    assert np.exp(log_read[middle].mean()) == pytest.approx(1.18e-6, rel=0.1)


class Middle(np.random.Generator):
    """Draws at the centre of every law."""

    def __init__(self, shift: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.shift = shift

    def uniform(self, low: float = 0.0, high: float = 1.0, size: None = None) -> float:  # type: ignore[override]
        return (low + high) / 2

    def standard_normal(self, *args: object, **kwargs: object) -> float:  # type: ignore[override]
        return self.shift

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: None = None) -> float:  # type: ignore[override]
        return loc + scale * self.shift


@pytest.mark.parametrize("shift", [-1.0, 0.0, 2.0])
def test_the_law_by_hand(shift: float) -> None:
    shot, read = brooks_shot_read(Middle(shift))
    assert shot == pytest.approx((1e-4 * 1.2e-2) ** 0.5, rel=1e-6)
    assert read == pytest.approx(np.e**1.20 * (1e-4 * 1.2e-2) ** 1.09 * np.e ** (0.26 * shift), rel=1e-6)


def test_levels_are_float32_so_that_json_replays_them(drawn: tuple[Array, Array]) -> None:
    shot, read = brooks_shot_read(np.random.default_rng(0))
    assert (shot, read) == (float(np.float32(shot)), float(np.float32(read)))
