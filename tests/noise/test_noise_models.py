"""Every noise model: moments by intensity against theory, exact limits, and noise that depends on the seed alone."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photos
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.sensor_noise import SensorNoise
from rawsynth.transforms import ReverseISP

EXACT, GAUSSIAN = ("physics", "poisson_gaussian"), ("heteroscedastic_gaussian", "physics_gaussian")
MODELS = pytest.mark.parametrize("model", sorted(name for name in NOISE_MODELS if not NOISE_MODELS[name].takes_frames))
SHOT, READ = (0.02, 0.005, 0.001, 0.0001), (1e-5, 1e-4, 1e-6, 1e-3)
CPU = torch.device("cpu")


def add(
    model: str, clean: Tensor, seeds: Sequence[int], shot: Sequence[float] = SHOT, read: Sequence[float] = READ
) -> Tensor:
    """Add noise of one level to a batch."""
    entry = NOISE_MODELS[model].create()
    drawn = entry.draw(SensorNoise.white(shot, read), np.random.default_rng(0))
    params = entry.tensors([drawn] * len(seeds), CPU)
    return entry.add(clean, seeding.seed_words(seeds, CPU), params)


def flat(value: float, batch: int = 1, side: int = 16) -> Tensor:
    return torch.full((batch, 4, side, side), value)


def cumulants(model: str, x: np.ndarray, shot: float, read: float) -> dict[int, np.ndarray]:
    """Cumulants 2, 3, 4 and 6 of the noise at intensity x; S times a Poisson of rate x / S has S**(k - 1) x."""
    poisson = model in EXACT
    return {k: (shot ** (k - 1) * x if poisson or k == 2 else 0 * x) + (read if k == 2 else 0) for k in (2, 3, 4, 6)}


def moment_scores(model: str, noise: Tensor, clean: Tensor, shot: float, read: float) -> list[float]:
    """By how many standard errors the noise's mean, variance and third moment are off, by theory."""
    n, x = noise.double().numpy().ravel(), clean.double().numpy().ravel()
    k = cumulants(model, x, shot, read)
    fourth = 3 * k[2] ** 2 + k[4]
    sixth = 15 * k[2] ** 3 + 15 * k[2] * k[4] + 10 * k[3] ** 2 + k[6]
    excess = {1: (n, k[2]), 2: (n**2 - k[2], fourth - k[2] ** 2), 3: (n**3 - k[3], sixth - k[3] ** 2)}
    return [float(abs(e.sum()) / np.sqrt(variance.sum())) for e, variance in excess.values()]


@MODELS
@pytest.mark.parametrize("level", [0.0, 0.001, 0.02, 0.3, 1.0])
def test_moments_by_intensity_and_plane(model: str, level: float) -> None:
    """Rates from 0.05 to 10,000 electrons; levels differ by plane."""
    clean = flat(level, side=256)
    noise = add(model, clean, [seeding.sample_seed(1, f"{level}", "noise")]) - clean
    for plane in range(4):
        scores = moment_scores(model, noise[:, plane], clean[:, plane], SHOT[plane], READ[plane])
        assert max(scores) < 4.5, (plane, scores)


@MODELS
def test_every_model_is_one_of_the_two_kinds(model: str) -> None:
    assert model in EXACT + GAUSSIAN


@pytest.mark.parametrize(("model", "other"), [*zip(EXACT, GAUSSIAN, strict=True), *zip(GAUSSIAN, EXACT, strict=True)])
def test_few_electrons_tell_the_models_apart(model: str, other: str) -> None:
    """At 1 and 4 electrons the Poisson's skewness is 1 and 1/2; a Gaussian has none."""
    clean = flat(0.02, side=256)
    noise = add(model, clean, [3]) - clean
    for plane, electrons in ((0, 1.0), (1, 4.0)):
        values, light = noise[:, plane].double(), clean[:, plane]
        right, wrong = (moment_scores(m, values, light, SHOT[plane], READ[plane]) for m in (model, other))
        assert right[2] < 4.5 < 10 < wrong[2]
        skewness = float((values**3).mean() / (values**2).mean() ** 1.5)
        theory = electrons**-0.5 * (1 + READ[plane] / (SHOT[plane] * 0.02)) ** -1.5
        assert skewness == pytest.approx(theory if model in EXACT else 0.0, abs=0.06)


@MODELS
@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_variance_follows_the_intensity_of_a_photograph(model: str, name: str) -> None:
    srgb = torch.from_numpy(getattr(photos, name)()[:400, :400].copy()).permute(2, 0, 1)
    clean = ReverseISP("unprocess", seed=0)(srgb[None], keys=[name]).packed.expand(4, -1, -1, -1)
    noise = add(model, clean, [10, 11, 12, 13]) - clean
    edges = torch.tensor([0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.01])
    for plane in range(4):
        bins = torch.bucketize(clean[:, plane].contiguous(), edges, right=True)
        assert bins.unique().numel() > 4
        for one in bins.unique():
            at = bins == one
            assert max(moment_scores(model, noise[:, plane][at], clean[:, plane][at], SHOT[plane], READ[plane])) < 4.5


PAIRINGS = {
    "right neighbour": lambda z: (z[..., :-1], z[..., 1:]),
    "lower neighbour": lambda z: (z[..., :-1, :], z[..., 1:, :]),
    "next plane": lambda z: (z[:, :3], z[:, 1:]),
    "plane after next": lambda z: (z[:, :2], z[:, 2:]),
    "next sample": lambda z: (z[:-1], z[1:]),
}


@MODELS
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_noise_is_independent(model: str, pairing: str) -> None:
    clean = flat(0.2, batch=4, side=128)
    noise = (add(model, clean, [0, 1, 2, 3]) - clean).double()
    z = noise / noise.std(dim=(0, 2, 3), keepdim=True)
    a, b = PAIRINGS[pairing](z)
    for product in (a * b, (a**2 - 1) * (b**2 - 1)):
        assert abs(float(product.mean() / product.std())) * product.numel() ** 0.5 < 4.5


@MODELS
def test_seeds_give_other_noise(model: str) -> None:
    noisy = add(model, flat(0.5, batch=5), [0, 1, 2, 2**32, 2**62])
    assert len({tuple(image.flatten().tolist()) for image in noisy}) == 5


@MODELS
@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9), st.randoms())
def test_a_batch_is_its_samples_in_any_order(model: str, seeds: list[int], h: int, w: int, random: object) -> None:
    """Bit for bit, whatever else is in the batch."""
    clean = torch.rand(len(seeds), 4, h, w, generator=torch.Generator().manual_seed(h)) - 0.1
    together = add(model, clean, seeds)
    order = list(range(len(seeds)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert torch.equal(add(model, clean[order], [seeds[k] for k in order]), together[order])
    for k, seed in enumerate(seeds):
        assert torch.equal(add(model, clean[k : k + 1], [seed])[0], together[k])


@MODELS
def test_threads_do_not_change_a_bit(model: str) -> None:
    clean = torch.rand(3, 4, 130, 190, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        outcomes = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            outcomes.append(add(model, clean, [1, 2, 3]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(outcomes[0], outcomes[1])
    assert torch.equal(outcomes[0], outcomes[2])


@MODELS
def test_memory_layout_does_not_matter(model: str) -> None:
    clean = torch.rand(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    for strided in (clean.contiguous(memory_format=torch.channels_last), clean.mT.contiguous().mT):
        assert torch.equal(add(model, strided, [1, 2]), add(model, clean, [1, 2]))


EDGES = torch.tensor([-0.5, -1e-6, 0.0, 1e-6, 0.3, 1.0, 1.7])


@MODELS
def test_no_shot_and_no_read_change_nothing(model: str) -> None:
    clean = EDGES.expand(2, 4, 3, 7).contiguous()
    assert torch.equal(add(model, clean, [1, 2], [0.0] * 4, [0.0] * 4), clean)


@MODELS
def test_planes_keep_their_own_levels(model: str) -> None:
    noise = add(model, flat(0.5, batch=2), [1, 2], (0.01, 0.0, 0.0, 0.0), (0.0, 0.0, 1e-4, 0.0)) - 0.5
    assert (noise[:, [0, 2]].std(dim=(2, 3)) > 1e-3).all()
    assert (noise[:, [1, 3]] == 0).all()


@MODELS
@pytest.mark.parametrize("level", [-0.2, 0.0, 0.4])
def test_read_alone_is_the_same_gaussian_everywhere(model: str, level: float) -> None:
    noise = add(model, flat(level, side=128), [1], [0.0] * 4, [0.01] * 4) - level
    assert max(moment_scores(model, noise, flat(0.0, side=128), 0.0, 0.01)) < 4.5


@MODELS
def test_values_under_black_hold_no_photons(model: str) -> None:
    clean = EDGES[:3].expand(1, 4, 5, 3).contiguous()
    assert torch.equal(add(model, clean, [1], SHOT, [0.0] * 4), clean)
    noise = add(model, flat(-0.3, side=128), [2], [0.5] * 4, [0.01] * 4) + 0.3
    assert max(moment_scores(model, noise, flat(0.0, side=128), 0.5, 0.01)) < 4.5


@MODELS
def test_nothing_is_clipped(model: str) -> None:
    black, white = (add(model, flat(level, side=64), [1], [0.01] * 4, [0.01] * 4) for level in (0.0, 1.0))
    assert 0.45 < float((black < 0).float().mean()) < 0.55
    assert 0.45 < float((white > 1).float().mean()) < 0.55
    assert black.min() < -0.3
    assert white.max() > 1.3


@MODELS
@pytest.mark.parametrize("shot", [1e-10, 1e-20, 1e-37, 1e-42])
def test_vanishing_shot_noise_vanishes(model: str, shot: float) -> None:
    clean = EDGES.expand(1, 4, 3, 7).contiguous()
    assert (add(model, clean, [1], [shot] * 4, [0.0] * 4) - clean).abs().max() < 1e-4


@MODELS
def test_params_read_back_as_shot_and_read(model: str) -> None:
    entry = NOISE_MODELS[model].create()
    shot, read = entry.shot_read(entry.draw(SensorNoise.white(SHOT, READ), np.random.default_rng(0)))
    assert shot == pytest.approx(SHOT, rel=1e-6)
    assert read == pytest.approx(READ, rel=1e-6)
