"""Divergences and quantiles against closed forms and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from rawsynth.evaluation.noise_histograms import coarse, divergence, standard_quantiles

CELL = 0.25


def expected_counts(law: stats.rv_continuous, half: int = 800, total: float = 1e12) -> NDArray[np.int64]:
    """What a histogram of very many residuals of a law holds."""
    edges = np.concatenate([[-np.inf], (np.arange(-half + 1, half)) * CELL, [np.inf]])
    return np.round(np.diff(law.cdf(edges)) * total).astype(np.int64)


@pytest.mark.parametrize(("sigma", "other"), [(8.0, 8.8), (8.0, 7.0), (20.0, 22.0), (40.0, 30.0)])
def test_gaussians_as_the_closed_form(sigma: float, other: float) -> None:
    """KL(N(0, a) || N(0, b)) = ln(b/a) + a^2 / (2 b^2) - 1/2; bins of an eighth of sigma lose little of it."""
    counts = [expected_counts(stats.norm(scale=s)) for s in (sigma, other)]
    found = divergence(*counts, cell_dn=CELL, sigma_dn=sigma)
    for value, a, b in ((found.forward, sigma, other), (found.backward, other, sigma)):
        assert value == pytest.approx(math.log(b / a) + a**2 / (2 * b**2) - 0.5, rel=0.01)
    assert found.symmetric == pytest.approx((found.forward + found.backward) / 2)


@pytest.mark.parametrize(("sigma", "width"), [(0.3, 1.0), (3.0, 1.0), (8.0, 1.0), (12.1, 2.0), (23.0, 3.0)])
def test_bins_are_whole_dn_and_centred(sigma: float, width: float) -> None:
    found = divergence(*[expected_counts(stats.norm(scale=sigma))] * 2, cell_dn=CELL, sigma_dn=sigma)
    assert found.width_dn == width
    assert found.bins == 2 * math.ceil(6 * sigma / width - 0.5) + 1 + 2


def test_coarse_bins_hold_what_numpy_s_hold() -> None:
    residuals = np.random.default_rng(0).normal(0, 5, 20000)
    cells = np.histogram(residuals.clip(-49, 49), np.arange(-200, 201) * CELL)[0]
    got = coarse(cells, cell_dn=CELL, width_dn=2.0, reach_dn=30.0)
    edges = np.concatenate([[-np.inf], np.arange(-31, 32, 2.0), [np.inf]])
    assert got.tolist() == np.histogram(residuals, edges)[0].tolist()


def test_as_scipy_on_the_same_bins() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 50, 160) for _ in range(2))
    found = divergence(first, second, cell_dn=CELL, sigma_dn=2.0)
    p, q = (coarse(counts, cell_dn=CELL, width_dn=1.0, reach_dn=12.0) + 0.5 for counts in (first, second))
    assert found.forward == pytest.approx(stats.entropy(p, q))
    assert found.backward == pytest.approx(stats.entropy(q, p))


def test_chance_alone_gives_what_theory_says() -> None:
    """Twice N KL is chi-square with as many degrees of freedom as bins less one, over two samples: (B - 1) / N."""
    rng, count, found = np.random.default_rng(2), 200_000, []
    for _ in range(40):
        sides = [np.histogram(rng.normal(0, 4, count), np.arange(-200, 201) * CELL)[0] for _ in range(2)]
        found.append(divergence(*sides, cell_dn=CELL, sigma_dn=2.0))
    # Bins to 6 x 2 DN are all well filled; the standard error of the mean is sqrt(2 / (B - 1) / 40) of it: 4.3 %.
    expected = (found[0].bins - 1) / count
    assert np.mean([one.symmetric for one in found]) == pytest.approx(expected, rel=0.15)


COUNTS = st.lists(st.integers(0, 1000), min_size=64, max_size=64)


@given(COUNTS, COUNTS)
def test_never_negative_never_infinite(first: list[int], second: list[int]) -> None:
    found = divergence(np.array(first), np.array(second), cell_dn=CELL, sigma_dn=1.0)
    assert -1e-12 <= found.forward < 50 and -1e-12 <= found.backward < 50


@pytest.mark.parametrize("law", [stats.norm(), stats.tukeylambda(-0.1), stats.tukeylambda(0.0), stats.laplace()])
def test_quantiles_are_scipy_s(law: stats.rv_continuous) -> None:
    """Two intensity bins of different sigma, each in its own unit."""
    levels = (1e-4, 0.01, 0.25, 0.5, 0.9, 0.999)
    sigmas = [6.0 / law.std(), 12.0 / law.std()]
    kind = law.dist
    histograms = np.stack([expected_counts(kind(*law.args, scale=s), 4000) for s in sigmas])
    got = standard_quantiles(histograms, np.array([36.0, 144.0]), cell_dn=CELL, levels=levels)
    assert got == pytest.approx((law.ppf(levels) / law.std()).tolist(), abs=0.01)


def test_quantiles_that_too_few_residuals_tell_are_left_out() -> None:
    counts = expected_counts(stats.norm(scale=4), total=1e5)[None]
    got = standard_quantiles(counts, np.array([16.0]), cell_dn=CELL, levels=(1e-4, 1e-3, 0.5, 1 - 1e-4))
    assert [value is None for value in got] == [True, False, False, True]
    assert standard_quantiles(np.zeros((1, 8), np.int64), np.zeros(1), cell_dn=CELL, levels=(0.5,)) == [None]
