"""poisson_from_normal against scipy's Poisson law, and counts of electrons in the noise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise import NOISE_MODELS
from rawsynth.noise.poisson_gaussian import poisson_from_normal

# The switch between the two branches stands at 12.
RATES = (0.01, 0.1, 0.7, 3.0, 8.0, 11.0, 11.9, 11.999, 12.0, 12.001, 12.5, 15.0, 30.0, 100.0, 1e3, 1e4, 1e5)
DRAWS = 1 << 19


def normals(key: str, count: int = DRAWS) -> Tensor:
    words = seeding.seed_words([seeding.sample_seed(0, key, "test")], torch.device("cpu"))
    return torch.cat(seeding.normal_pairs(words, count // 2), dim=1)[0]


def chi_square(counts: Tensor, rate: float) -> float:
    """p-value of counts under Poisson(rate), neighbouring counts pooled until 25 are expected."""
    law = stats.poisson(float(np.float32(rate)))
    values = np.arange(int(law.ppf(1e-9)), int(law.isf(1e-9)) + 2)
    expected = law.pmf(values) * counts.numel()
    expected[0] += law.cdf(values[0] - 1) * counts.numel()
    expected[-1] += law.sf(values[-1]) * counts.numel()
    at = np.clip(counts.long().numpy(), values[0], values[-1]) - values[0]
    observed = np.bincount(at, minlength=len(values)).astype(float)
    pooled = np.zeros((2, 1))
    for row in np.stack([observed, expected], axis=1):
        if pooled[1, -1] < 25:
            pooled[:, -1] += row
        else:
            pooled = np.concatenate([pooled, row[:, None]], axis=1)
    pooled[:, -2] += pooled[:, -1]
    return float(stats.chisquare(pooled[0, :-1], pooled[1, :-1], sum_check=False).pvalue)


def rounded_gaussian(rate: Tensor, normal: Tensor) -> Tensor:
    return torch.round(rate + torch.sqrt(rate) * normal).clamp(min=0)


def p_value(rate: float, key: str, draw: Callable[[Tensor, Tensor], Tensor] = poisson_from_normal) -> float:
    normal = normals(f"{key}/{rate}")
    counts = draw(torch.full_like(normal, rate), normal)
    assert torch.equal(counts, counts.round())
    return chi_square(counts, rate)


def test_counts_follow_the_poisson_law() -> None:
    """Chi-square at every rate with fixed seeds: none stands out, and together the p-values are uniform."""
    p_values = {(rate, key): p_value(rate, key) for rate in RATES for key in "ab"}
    assert min(p_values.values()) > 1e-4, p_values
    assert stats.kstest(list(p_values.values()), "uniform").pvalue > 1e-3, p_values


@pytest.mark.parametrize("rate", [0.7, 8.0, 12.5, 30.0, 100.0])
def test_the_chi_square_sees_a_rounded_gaussian(rate: float) -> None:
    assert p_value(rate, "a", rounded_gaussian) < 1e-10


def quantiles(rate: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exact inverse CDF at Phi(z), from the nearer tail."""
    upper, lower = stats.poisson.isf(stats.norm.sf(z), rate), stats.poisson.ppf(stats.norm.cdf(z), rate)
    return np.where(z > 0, upper, np.maximum(lower, 0))


def grid(rates: NDArray[np.float64], z: NDArray[np.float64]) -> tuple[NDArray, NDArray, NDArray]:
    """Rates, normals and the counts that the package gives, on all pairs."""
    rate, normal = (a.astype(np.float32).ravel() for a in np.meshgrid(rates, z))
    counts = poisson_from_normal(torch.from_numpy(rate), torch.from_numpy(normal)).double().numpy()
    return rate.astype(float), normal.astype(float), counts


@pytest.mark.parametrize("low", [1e-4, 1.0, 12.0, 100.0], ids=str)
def test_counts_are_the_exact_quantiles(low: float) -> None:
    """For |z| < 4: the count lies between the quantiles a hair to the left and to the right of z."""
    rate, z, counts = grid(np.geomspace(low, low * 100, 120), np.linspace(-4, 4, 401))
    assert (counts >= quantiles(rate, z - 0.01)).all()
    assert (counts <= quantiles(rate, z + 0.01)).all()


@pytest.mark.parametrize("rate", [0.01, 1.0, 8.0, 11.999, 12.0, 12.5, 20.0])
def test_the_law_is_met_to_a_hundred_thousandth(rate: float) -> None:
    """Total variation distance to the Poisson law: where each count begins, by bisection, is its exact probability."""
    law = stats.poisson(float(np.float32(rate)))
    values = np.arange(law.isf(1e-7))
    low, high = np.full(len(values), -6.5, np.float32), np.full(len(values), 6.5, np.float32)
    for _ in range(30):
        middle = (low + high) / 2
        above = poisson_from_normal(torch.full((len(values),), rate), torch.from_numpy(middle)).numpy() > values
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    measured = np.diff(stats.norm.cdf(high.astype(float)), prepend=0.0)
    assert np.abs(measured - law.pmf(values)).sum() / 2 < 1e-5


def test_no_normal_makes_a_hot_pixel() -> None:
    """Out to the last normal that can be drawn; one site in 3e7 lies past 5.4 sigma."""
    rate, z, counts = grid(np.geomspace(1e-6, 1000, 600), np.linspace(4, 6.67, 90))
    assert (counts <= quantiles(rate, z) + 2).all()


@pytest.mark.parametrize("rate", RATES)
def test_counts_rise_with_the_normal(rate: float) -> None:
    z = torch.linspace(-6.6, 6.6, 5001)
    counts = poisson_from_normal(torch.full_like(z, rate), z)
    assert (counts.diff() >= 0).all()
    assert counts[0] < rate < counts[-1] + 1


@given(st.lists(st.floats(-6.5, 6.5, width=32), min_size=1, max_size=40))
def test_no_light_gives_no_count(values: list[float]) -> None:
    normal = torch.tensor(values)
    assert (poisson_from_normal(torch.zeros_like(normal), normal) == 0).all()


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 4, 7, 9)])
def test_each_site_is_counted_alone(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    rate, normal = 24 * torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)
    counts = poisson_from_normal(rate, normal)
    assert counts.shape == shape
    alone = [poisson_from_normal(r[None], z[None]) for r, z in zip(rate.flatten(), normal.flatten(), strict=True)]
    assert torch.equal(counts.flatten(), torch.cat(alone))


def test_the_branch_for_compilers_and_other_devices_counts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sums all terms at every site instead of stopping early and picking sites out."""
    generator = torch.Generator().manual_seed(3)
    rate, normal = 24 * torch.rand(50_000, generator=generator), torch.randn(50_000, generator=generator)
    eager = poisson_from_normal(rate, normal)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(poisson_from_normal(rate, normal), eager)


def test_signals_are_whole_electrons() -> None:
    """Without read noise every value is a multiple of S."""
    shot = [0.25, 0.125, 2.0**-6, 2.0**-10]
    entry = NOISE_MODELS["poisson_gaussian"].create()
    params = entry.tensors([{"shot": shot, "read": [0.0] * 4}], torch.device("cpu"))
    clean = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).expand(1, 4, 64, 64)
    noisy = entry.add(clean, seeding.seed_words([1], torch.device("cpu")), params)
    electrons = noisy / torch.tensor(shot).view(4, 1, 1)
    assert torch.equal(electrons, electrons.round())
    assert (electrons.amax(dim=(2, 3)) > 1 / torch.tensor(shot)).all()


@pytest.mark.parametrize("electrons", [0.3, 2.0, 9.0, 40.0])
def test_counts_in_an_image_follow_the_poisson_law(electrons: float) -> None:
    """End to end: S Poisson(x / S), with the seed's own draws."""
    entry, shot = NOISE_MODELS["poisson_gaussian"].create(), 2.0**-8
    params = entry.tensors([{"shot": [shot] * 4, "read": [0.0] * 4}], torch.device("cpu"))
    seed = seeding.sample_seed(0, str(electrons), "noise")
    clean = torch.full((1, 4, 256, 256), electrons * shot)
    noisy = entry.add(clean, seeding.seed_words([seed], torch.device("cpu")), params)
    assert chi_square((noisy / shot).round().flatten(), electrons) > 1e-4
