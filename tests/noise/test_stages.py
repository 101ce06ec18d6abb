"""Each stage of the readout against theory: law, variance, which sites share a value, and draws of its own."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise import stages
from rawsynth.raw.cfa import unpack

CPU = torch.device("cpu")
SCALES = torch.tensor([0.5, 1.0, 2.0, 3.0])


def words(*seeds: int) -> Tensor:
    return seeding.seed_words(seeds, CPU)


def per_sample(value: float, key: Tensor) -> Tensor:
    return torch.full((key.shape[0],), value)


def planes(key: Tensor, values: Tensor = SCALES) -> Tensor:
    return values.expand(key.shape[0], 4)


Field = Callable[[Tensor, int, int], Tensor]

FIELDS: dict[str, Field] = {
    "poisson_shot": lambda k, h, w: stages.poisson_shot(torch.full((len(k), 4, h, w), 6.0), k, planes(k)),
    "gaussian_shot": lambda k, h, w: stages.gaussian_shot(torch.full((len(k), 4, h, w), 6.0), k, planes(k)),
    "gaussian_read": lambda k, h, w: stages.gaussian_read(k, planes(k), h, w),
    "tukey_read": lambda k, h, w: stages.tukey_read(k, planes(k), per_sample(-0.1, k), h, w),
    "row_noise": lambda k, h, w: stages.row_noise(k, per_sample(2.0, k), h),
    "column_noise": lambda k, h, w: stages.column_noise(k, per_sample(2.0, k), w),
    "uniform_quantization": lambda k, h, w: stages.uniform_quantization(k, per_sample(2.0, k), h, w),
}
ALL_FIELDS = pytest.mark.parametrize("name", FIELDS)


@ALL_FIELDS
@settings(max_examples=20)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_a_sample_draws_the_same_in_any_batch(name: str, seeds: list[int], h: int, w: int) -> None:
    together = FIELDS[name](words(*seeds), h, w)
    for k, seed in enumerate(seeds):
        assert torch.equal(FIELDS[name](words(seed), h, w)[0], together[k])


@ALL_FIELDS
def test_seeds_draw_anew(name: str) -> None:
    """No two of 64 seeds are alike, and values correlate with those of the next seed no more than chance has it."""
    fields = FIELDS[name](words(*range(64)), 16, 16).double().flatten(1)
    assert len({tuple(field.tolist()) for field in fields}) == 64
    z = fields - (6.0 if "shot" in name else 0.0)
    product = (z[:-1] * z[1:]).mean(dim=1) / z.pow(2).mean()
    distinct = 32 if "row" in name or "column" in name else fields.shape[1]
    assert abs(float(product.mean())) < 4.5 / math.sqrt(63 * distinct)


@pytest.mark.parametrize("first", FIELDS)
@pytest.mark.parametrize("second", FIELDS)
def test_stages_draw_from_streams_of_their_own(first: str, second: str) -> None:
    """Only the two laws of one stage share their draws: of shot noise, and of read noise."""
    one, two = (FIELDS[name](words(*range(4)), 32, 32).double() for name in (first, second))
    one, two = (v - v.mean(dim=(0, 2, 3), keepdim=True) for v in (one, two))
    one, two = (v / v.std(dim=(0, 2, 3), keepdim=True) for v in torch.broadcast_tensors(one, two))
    same = first.split("_")[1] == second.split("_")[1] == "shot" or first == second
    if same:
        assert float((one * two).mean()) > 0.9
        return
    if first.split("_")[1] == second.split("_")[1] == "read":
        return
    # Two fields that are constant along rows, or along columns, have 4 * 64 products; any other pair has more.
    assert abs(float((one * two).mean())) < 4.5 / math.sqrt(4 * 64)


def test_values_do_not_depend_on_the_size_of_the_frame() -> None:
    """A row's noise is that row's, however many follow."""
    assert torch.equal(FIELDS["row_noise"](words(3), 9, 1), FIELDS["row_noise"](words(3), 20, 1)[:, :, :9])
    assert torch.equal(FIELDS["column_noise"](words(3), 1, 9), FIELDS["column_noise"](words(3), 1, 20)[..., :9])


def test_lines_are_lines_of_the_sensor() -> None:
    """Unpacked to the mosaic, row noise is constant along every sensor row and new in the next; columns likewise."""
    for name, axis in (("row_noise", 1), ("column_noise", 0)):
        mosaic = unpack(FIELDS[name](words(1), 8, 12).expand(1, 4, 8, 12)).reshape(16, 24)
        assert (mosaic == mosaic.select(axis, 0).unsqueeze(axis)).all()
        lines = mosaic.select(axis, 0)
        assert lines.unique().numel() == lines.numel()


@pytest.mark.parametrize("name", ["row_noise", "column_noise"])
def test_lines_are_white_gaussians(name: str) -> None:
    """Variance, law and no correlation with the next sensor line of either parity."""
    field = FIELDS[name](words(*range(40)), 512, 512)
    lines = torch.stack([field[:, 0], field[:, 3]], dim=-1).flatten(1).double() / 2.0
    assert stats.kstest(lines.numpy().ravel(), "norm").pvalue > 1e-3
    assert abs(float((lines**2).mean()) - 1) < 4.5 * math.sqrt(2 / lines.numel())
    for lag in (1, 2, 3):
        product = lines[:, :-lag] * lines[:, lag:]
        assert abs(float(product.mean())) < 4.5 / math.sqrt(product.numel())


@pytest.mark.parametrize("name", ["poisson_shot", "gaussian_shot"])
def test_shot_noise_has_the_variance_of_counts(name: str) -> None:
    """Light of 6 through S: mean 6, variance 6 S, third moment 6 S**2 if counted."""
    values = FIELDS[name](words(1), 256, 256)[0].double().flatten(1)
    for plane, shot in zip(values, SCALES.tolist(), strict=True):
        rate, poisson = 6.0 / shot, name == "poisson_shot"
        noise = plane - 6.0
        # Cumulants of a count are its rate; of a Gaussian only the second is.
        third, fourth = (rate, rate) if poisson else (0.0, 0.0)
        sixth = 15 * rate**3 + (25 * rate**2 + rate if poisson else 0.0)
        n = noise / shot
        for power, mean, square in ((1, 0.0, rate), (2, rate, 3 * rate**2 + fourth), (3, third, sixth)):
            error = math.sqrt((square - mean**2) / n.numel())
            assert abs(float((n**power).mean()) - mean) < 4.5 * error, (shot, power)


def test_the_two_shot_noises_are_close_where_light_is() -> None:
    """The same seed's normals drive both: with 1e5 electrons they differ by a fraction of an electron or of z**2."""
    clean, key = torch.full((1, 4, 64, 64), 1.0), words(5)
    shot = torch.full((1, 4), 1e-5)
    difference = (stages.poisson_shot(clean, key, shot) - stages.gaussian_shot(clean, key, shot)) / 1e-5
    assert difference.abs().max() < 5.0


def test_no_light_has_no_shot_noise() -> None:
    clean = torch.tensor([-0.4, -1e-6, 0.0]).expand(2, 4, 5, 3).contiguous()
    for stage in (stages.poisson_shot, stages.gaussian_shot):
        assert torch.equal(stage(clean, words(1, 2), planes(words(1, 2))), clean)


def test_inputs_are_left_alone() -> None:
    clean = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.2
    before, key = clean.clone(), words(1, 2)
    for stage in (stages.poisson_shot, stages.gaussian_shot):
        stage(clean, key, planes(key)).add_(1.0)
        assert torch.equal(clean, before)
    assert torch.equal(key, words(1, 2))


@pytest.mark.parametrize("name", ["gaussian_read", "tukey_read"])
def test_read_noise_scales_by_plane(name: str) -> None:
    values = FIELDS[name](words(2), 128, 128)[0].double().flatten(1) / SCALES[:, None]
    law = stats.norm if name == "gaussian_read" else stats.tukeylambda(float(np.float32(-0.1)))
    assert min(stats.kstest(plane.numpy(), law.cdf).pvalue for plane in values) > 1e-3


def test_tukey_and_gaussian_read_noise_in_one_batch() -> None:
    """Each sample gets the very values of its own stage."""
    key, shapes, is_tukey = words(1, 2, 3), torch.tensor([-0.2, 0.0, 0.2]), torch.tensor([True, False, True])
    mixed = stages.mixed_read(key, planes(key), shapes, is_tukey, 8, 9)
    tukey, gaussian = stages.tukey_read(key, planes(key), shapes, 8, 9), stages.gaussian_read(key, planes(key), 8, 9)
    assert torch.equal(mixed, torch.stack([tukey[0], gaussian[1], tukey[2]]))


def test_tukey_shapes_go_by_sample() -> None:
    key, shapes = words(1, 1), torch.tensor([-0.2, 0.2])
    both = stages.tukey_read(key, planes(key), shapes, 8, 8)
    for k in range(2):
        alone = stages.tukey_read(key[:1], planes(key[:1]), shapes[k : k + 1], 8, 8)
        assert torch.equal(both[k], alone[0])
    assert not torch.equal(both[0], both[1])
    assert torch.equal(both[0] > 0, both[1] > 0)


def test_the_surrogate_of_rounding_is_uniform() -> None:
    """U(-q / 2, q / 2), white, of variance q**2 / 12, for each sample's own q."""
    key, step = words(1, 2), torch.tensor([1.0, 0.25])
    values = (stages.uniform_quantization(key, step, 256, 256) / step[:, None, None, None]).double()
    assert values.abs().max() <= 0.5
    for sample in values.flatten(1):
        assert stats.kstest(sample.numpy(), stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-3
        # The fourth moment of U(-1/2, 1/2) is 1/80.
        error = math.sqrt((1 / 80 - 1 / 144) / sample.numel())
        assert abs(float((sample**2).mean()) - 1 / 12) < 4.5 * error
    for a, b in ((values[..., 1:], values[..., :-1]), (values[:, 1:], values[:, :-1])):
        assert abs(float((a * b).mean())) * 12 < 4.5 / math.sqrt(a.numel())


def test_color_bias_is_a_constant_a_plane() -> None:
    bias = torch.tensor([[0.1, -0.2, 0.3, 0.0], [1.0, 2.0, 3.0, 4.0]])
    spread = stages.color_bias(bias).expand(2, 4, 3, 5)
    assert (spread == bias[:, :, None, None]).all()
