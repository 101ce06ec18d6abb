"""Draws against known answers and theory: they depend on (seed, key, purpose, index, stream) and on nothing else."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from rawsynth import seeding

SEEDS = st.integers(0, 2**63 - 1)


def words(*seeds: int) -> Tensor:
    return seeding.seed_words(seeds, torch.device("cpu"))


def uint32(text: str) -> list[Tensor]:
    """Words printed in hexadecimal as int32 tensors of one element."""
    return [torch.from_numpy(np.array([int(word, 16)], np.uint32).view(np.int32)) for word in text.split()]


def hexadecimal(*values: Tensor) -> str:
    return " ".join(f"{int(v) & 0xFFFFFFFF:08x}" for v in values)


def z_score(samples: Tensor, mean: float, variance: float) -> float:
    """How many standard errors the mean of independent samples is off."""
    return abs(float(samples.double().mean()) - mean) / math.sqrt(variance / samples.numel())


@pytest.mark.parametrize(
    ("rounds", "counter", "key", "answer"),
    [  # Random123, tests/kat_vectors, threefry2x32
        (20, "00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
        (20, "ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
        (20, "243f6a88 85a308d3", "13198a2e 03707344", "c4923a9c 483df7a0"),
        (13, "00000000 00000000", "00000000 00000000", "9d1c5ec6 8bd50731"),
    ],
)
def test_threefry_gives_the_known_answers(rounds: int, counter: str, key: str, answer: str) -> None:
    assert hexadecimal(*seeding.threefry2x32(*uint32(key), *uint32(counter), rounds=rounds)) == answer


def test_normals_are_threefry_of_the_index_and_the_stream() -> None:
    """The layout of the counter is part of what RNG_VERSION promises."""
    seed, index, stream = 0x0123456789ABCDEF, 77, 5
    first, second = seeding.normal_pairs(words(seed), 100, stream)
    key = uint32("89abcdef 01234567")
    expected = seeding.box_muller(*seeding.threefry2x32(*key, *uint32(f"{index:08x} {stream:08x}"), rounds=13))
    assert [float(first[0, index]), float(second[0, index])] == [float(v) for v in expected]
    assert "13" in seeding.RNG_VERSION


@pytest.mark.parametrize(
    ("bits", "expected"),
    [  # radius sqrt(-2 ln((|b0| + 1/2) / 2**31)), angle 2 pi b1 / 2**32
        ("40000000 00000000", (math.sqrt(2 * math.log(2)), 0.0)),
        ("c0000000 40000000", (0.0, math.sqrt(2 * math.log(2)))),
        ("40000000 80000000", (-math.sqrt(2 * math.log(2)), 0.0)),
        ("00000000 00000000", (math.sqrt(64 * math.log(2)), 0.0)),
        ("00000001 00000000", (math.sqrt(-2 * math.log(1.5 * 2.0**-31)), 0.0)),
        ("80000000 00000000", (0.0, 0.0)),
        ("7fffffff 12345678", (0.0, 0.0)),
    ],
)
def test_box_muller_of_known_words(bits: str, expected: tuple[float, float]) -> None:
    assert [float(v) for v in seeding.box_muller(*uint32(bits))] == pytest.approx(expected, abs=1e-6)


@given(SEEDS)
def test_seed_words_hold_all_bits(seed: int) -> None:
    low, high = (int(w) & 0xFFFFFFFF for w in words(seed)[0])
    assert low | high << 32 == seed


@given(st.integers(), st.text(), st.text())
def test_sample_seeds_fit_and_repeat(seed: int, key: str, purpose: str) -> None:
    first = seeding.sample_seed(seed, key, purpose)
    assert first == seeding.sample_seed(seed, key, purpose)
    assert 0 <= first < 2**63


def test_sample_seeds_take_names_that_are_not_unicode() -> None:
    assert seeding.sample_seed(0, "\udcff", "noise") != seeding.sample_seed(0, "\udcfe", "noise")


def test_sample_seeds_tell_all_parts_apart() -> None:
    parts = ["", "1", "11", "a", "ab", "b", "a/b", "noise"]
    triples = list(itertools.product([0, 1, 11, -1, 111, 2**70], parts, parts))
    assert len({seeding.sample_seed(*triple) for triple in triples}) == len(triples)


def test_sample_seeds_are_uniform_in_every_bit() -> None:
    seeds = np.array([seeding.sample_seed(7, str(i), "noise") for i in range(20_000)])
    ones = ((seeds[:, None] >> np.arange(63)) & 1).sum(axis=0)
    assert np.abs(ones - 10_000).max() < 4.5 * math.sqrt(20_000 / 4)


def test_sample_seeds_are_pinned() -> None:
    """Published corpora name their seeds: these values may never change."""
    assert seeding.sample_seed(0, "a/b", "noise") == 5706692063768916429
    assert seeding.scalar_rng(5706692063768916429).uniform() == 0.3864089287299385


def test_draw_seeds_follow_torch() -> None:
    torch.manual_seed(3)
    first = seeding.draw_seeds(5)
    torch.manual_seed(3)
    assert seeding.draw_seeds(5) == first
    assert seeding.draw_seeds(5) != first
    assert all(0 <= seed < 2**63 for seed in first)


@pytest.fixture(scope="module")
def normals() -> Tensor:
    """2**24 draws of four samples."""
    return torch.cat(seeding.normal_pairs(words(*range(4)), 1 << 21), dim=1)


@pytest.mark.parametrize(
    ("power", "mean", "variance"),
    [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (5, 0, 945), (6, 15, 10170), (8, 105, 2016000)],
)
def test_moments(normals: Tensor, power: int, mean: float, variance: float) -> None:
    assert z_score(normals.double() ** power, mean, variance) < 4.5


def test_distribution(normals: Tensor) -> None:
    for field in normals:
        assert stats.kstest(field[::8].numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("sigmas", [3.0, 4.0, 4.5, 5.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_tails(normals: Tensor, sigmas: float, sign: int) -> None:
    count = int((normals * sign > sigmas).sum())
    assert stats.binomtest(count, normals.numel(), float(stats.norm.sf(sigmas))).pvalue > 1e-4


PAIRINGS = {
    "right neighbour": lambda f: (f[..., :-1], f[..., 1:]),
    "lower neighbour": lambda f: (f[..., :-1, :], f[..., 1:, :]),
    "diagonal neighbour": lambda f: (f[..., :-1, :-1], f[..., 1:, 1:]),
    "planes 0 and 1": lambda f: (f[:, 0], f[:, 1]),
    "planes 0 and 2, which share Box-Muller's radii": lambda f: (f[:, 0], f[:, 2]),
    "planes 1 and 3, which share Box-Muller's radii": lambda f: (f[:, 1], f[:, 3]),
    "planes 0 and 3": lambda f: (f[:, 0], f[:, 3]),
    "samples of successive seeds": lambda f: (f[:-1], f[1:]),
}


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_independence(pairing: str) -> None:
    """No correlation of values, sizes or squares with a neighbour's, over successive seeds and seeds 2**32 apart."""
    seeds = [*range(8), *(k << 32 for k in range(1, 9))]
    a, b = PAIRINGS[pairing](seeding.normal_planes(words(*seeds), 128, 128).double())
    root = math.sqrt(2 / math.pi)
    for product, variance in (
        (a * b, 1.0),
        (a * b**2, 3.0),
        ((a.abs() - root) * (b.abs() - root), (1 - 2 / math.pi) ** 2),
        ((a**2 - 1) * (b**2 - 1), 4.0),
    ):
        assert z_score(product, 0.0, variance) < 4.5


def test_streams_are_independent() -> None:
    one, two = (torch.cat(seeding.normal_pairs(words(1), 1 << 18, stream)) for stream in (0, 1))
    assert z_score(one * two, 0.0, 1.0) < 4.5
    assert z_score((one**2 - 1) * (two**2 - 1), 0.0, 4.0) < 4.5


def test_spectrum_is_white() -> None:
    """Power in 64 bands of the two-dimensional spectrum: rows and columns hold no structure."""
    field = seeding.normal_planes(words(*range(4)), 256, 256).double()
    power = torch.fft.fft2(field).abs() ** 2 / 256**2
    for bands in (power.mean(dim=(0, 1, 2)), power.mean(dim=(0, 1, 3))):
        # Mean of 4 * 4 * 256 exponentials of mean 1; each frequency but two appears twice.
        assert (bands - 1).abs().max() < 5.0 / math.sqrt(4 * 4 * 256 / 2)


@given(st.lists(SEEDS, min_size=1, max_size=5), st.integers(1, 40), st.integers(0, 3))
def test_a_sample_draws_the_same_in_any_batch(seeds: list[int], count: int, stream: int) -> None:
    together = torch.stack(seeding.normal_pairs(words(*seeds), count, stream))
    for k, seed in enumerate(seeds):
        assert torch.equal(together[:, k : k + 1], torch.stack(seeding.normal_pairs(words(seed), count, stream)))


def test_a_value_depends_on_its_index_not_on_the_count() -> None:
    """Across the blocks that eager draws run in, whatever the number of threads."""
    count = 3 * seeding.eager_block() + 17
    long = torch.stack(seeding.normal_pairs(words(5, 6), count))
    threads = torch.get_num_threads()
    try:
        for other in (1, 2, 3):
            torch.set_num_threads(other)
            assert torch.equal(torch.stack(seeding.normal_pairs(words(5, 6), count)), long)
    finally:
        torch.set_num_threads(threads)
    for short in (1, 7, 1001, seeding.eager_block() + 1):
        assert torch.equal(torch.stack(seeding.normal_pairs(words(5, 6), short)), long[..., :short])


def test_blocks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers and other devices draw at once what eager CPU draws in blocks."""
    count = 2 * seeding.eager_block() + 5
    blocks = torch.stack(seeding.normal_pairs(words(1, 2), count))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(torch.stack(seeding.normal_pairs(words(1, 2), count)), blocks)


def test_planes_use_both_halves_of_each_pair_once() -> None:
    planes = seeding.normal_planes(words(9), 6, 10)
    assert planes.shape == (1, 4, 6, 10)
    assert planes.dtype == torch.float32
    pairs = torch.cat(seeding.normal_pairs(words(9), 120), dim=1)
    assert torch.equal(planes.flatten(), pairs.flatten())
    assert planes.flatten().unique().numel() == planes.numel()


@pytest.mark.parametrize("law", [seeding.box_muller, seeding.uniform_from_bits])
@pytest.mark.parametrize("stream", [0, 3])
def test_planes_are_the_pairs_of_their_stream_and_law(law: seeding.Law, stream: int) -> None:
    pairs = torch.cat(seeding.random_pairs(words(9, 10), 120, stream, law=law), dim=1)
    assert torch.equal(seeding.random_planes(words(9, 10), 6, 10, stream=stream, law=law), pairs.view(2, 4, 6, 10))


@pytest.mark.parametrize(
    ("bits", "expected"),
    [("80000000 7fffffff", (-0.5, 0.5)), ("00000000 ffffffff", (2.0**-33, -(2.0**-33))), ("40000000 0", (0.25, 0.0))],
)
def test_uniforms_of_known_words(bits: str, expected: tuple[float, float]) -> None:
    assert [float(v) for v in seeding.uniform_from_bits(*uint32(bits))] == pytest.approx(expected, abs=2.0**-32)


def test_uniforms_are_uniform() -> None:
    for field in seeding.random_pairs(words(3), 1 << 18, 1, law=seeding.uniform_from_bits):
        assert stats.kstest(field[0].numpy(), stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-3
