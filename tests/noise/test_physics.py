"""The physics models: moments, law and structure of whole frames against theory; replay; batches that mix sensors."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from rawsynth import seeding
from rawsynth.errors import UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.noise.tukey_lambda import tukey_variance
from rawsynth.raw.image import RawImage
from rawsynth.raw.sensor_noise import SensorNoise
from rawsynth.transforms import AddNoise

CPU = torch.device("cpu")
MODELS = pytest.mark.parametrize("model", ["physics", "physics_gaussian"])
SHOT = (0.01, 0.004, 0.004, 0.0005)
TUKEY = SensorNoise(
    shot=SHOT,
    read=(1e-4,) * 4,
    tukey_scale=(0.004, 0.003, 0.003, 0.005),
    tukey_lambda=-0.05,
    row_sigma=0.003,
    column_sigma=0.002,
    color_bias=(0.001, -0.002, 0.0, 0.003),
)
PLAIN = SensorNoise(shot=SHOT, read=(1e-4, 4e-5, 4e-5, 9e-5), row_sigma=0.001)
ROUNDED = SensorNoise(shot=SHOT, read=(1e-6,) * 4, quantization_step=0.02)
SENSORS = {"tukey": TUKEY, "plain": PLAIN, "rounded": ROUNDED}


def drawn(noise: SensorNoise, model: str = "physics") -> dict[str, Any]:
    return NOISE_MODELS[model].create().draw(noise, np.random.default_rng(0))


def add(model: str, clean: Tensor, seeds: Sequence[int], params: Sequence[dict[str, Any]]) -> Tensor:
    entry = NOISE_MODELS[model].create()
    return entry.add(clean, seeding.seed_words(seeds, CPU), entry.tensors(params, CPU))


def flat(value: float, batch: int, side: int) -> Tensor:
    return torch.full((batch, 4, side, side), value)


def white_variance(noise: SensorNoise, light: float, plane: int) -> float:
    """What single sites vary by: shot and read noise and the surrogate of rounding."""
    scale = noise.tukey_scale[plane] if noise.tukey_scale is not None else noise.read[plane] ** 0.5
    shape = 1.0 if noise.tukey_lambda is None else tukey_variance(noise.tukey_lambda)
    return noise.shot[plane] * max(light, 0.0) + scale**2 * shape + noise.quantization_step**2 / 12


@MODELS
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("light", [-0.1, 0.0, 0.02, 0.5])
def test_mean_and_variance_by_intensity_and_plane(model: str, sensor: str, light: float) -> None:
    """Within a frame's sites, after each row's and column's own mean is taken out; and the mean over frames."""
    noise, side, frames = SENSORS[sensor], 64, 24
    values = add(model, flat(light, frames, side), range(frames), [drawn(noise)] * frames).double() - light
    by_site = values - values.mean(dim=2, keepdim=True) - values.mean(dim=3, keepdim=True)
    by_site += values.mean(dim=(2, 3), keepdim=True)
    for plane in range(4):
        theory, degrees = white_variance(noise, light, plane), frames * (side - 1) ** 2
        # Kurtosis: at most that of the shape -0.05, 1.8 in excess, or of one over the rate of counts.
        rate = max(light, 0.0) / noise.shot[plane]
        error = math.sqrt((2 + 1.8 + (1 / rate if rate else 0.0)) / degrees)
        assert float(by_site[:, plane].pow(2).sum() / degrees) == pytest.approx(theory, rel=4.5 * error), plane
        lines = (noise.row_sigma**2 + noise.column_sigma**2) / side
        error = math.sqrt((lines + theory / side**2) / frames)
        assert abs(float(values[:, plane].mean()) - noise.color_bias[plane]) < 4.5 * error


@MODELS
def test_shot_read_is_what_a_pixel_varies_by(model: str) -> None:
    """S x + O over seeds, at one site a frame: lines count in full."""
    for noise in SENSORS.values():
        shot, read = NOISE_MODELS[model].create().shot_read(drawn(noise))
        assert shot == pytest.approx(noise.shot, rel=1e-6)
        for plane in range(4):
            lines = noise.row_sigma**2 + noise.column_sigma**2
            assert read[plane] == pytest.approx(white_variance(noise, 0.0, plane) + lines, rel=1e-5)
        frames = 6000
        values = add(model, flat(0.3, frames, 1), range(frames), [drawn(noise)] * frames)[:, :, 0, 0].double()
        for plane in range(4):
            theory = shot[plane] * 0.3 + read[plane]
            assert float(values[:, plane].var()) == pytest.approx(theory, rel=4.5 * math.sqrt(4 / frames))


@pytest.mark.parametrize("shape", [-0.2429, 0.0, 0.14])
def test_dark_frames_have_the_quantiles_and_kurtosis_of_the_shape(shape: float) -> None:
    noise = SensorNoise((0.0,) * 4, (1e-5,) * 4, tukey_scale=(0.001, 0.002, 0.003, 0.004), tukey_lambda=shape)
    dark = add("physics", flat(0.0, 2, 256), [4, 5], [drawn(noise)] * 2).double()
    law = stats.tukeylambda(float(np.float32(shape)))
    for plane in range(4):
        z = (dark[:, plane] / noise.tukey_scale[plane]).numpy().ravel()  # type: ignore[index]
        assert stats.kstest(z[::4], law.cdf).pvalue > 1e-3
        for p in (1e-4, 1e-3, 0.01, 0.25, 0.9, 0.999):
            error = math.sqrt(p * (1 - p) / z.size)
            assert abs((z < law.ppf(p)).mean() - p) < 4.5 * error
    if shape >= 0:
        assert stats.kurtosis(z) == pytest.approx(float(law.stats(moments="k")), abs=0.15)
        # A Gaussian's is 0: the scale is what makes the variance, not a sigma.
        assert z.var() == pytest.approx(tukey_variance(shape), rel=0.03)


def correlation(a: Tensor, b: Tensor) -> float:
    return float((a * b).mean() / (a.pow(2).mean() * b.pow(2).mean()).sqrt())


@MODELS
@pytest.mark.parametrize("axis", ["row", "column"])
def test_lines_correlate_along_themselves_only(model: str, axis: str) -> None:
    """Row noise: sites of one sensor row correlate by its share of the variance, in both planes; rows do not."""
    read, line, frames, side = 4e-4, 0.015, 60, 48
    sigmas = {"row_sigma": line if axis == "row" else 0.0, "column_sigma": line if axis == "column" else 0.0}
    params = drawn(SensorNoise((0.0,) * 4, (read,) * 4, **sigmas))
    values = add(model, flat(0.0, frames, side), range(frames), [params] * frames).double()
    if axis == "column":  # Transposed, columns are rows: planes 1 and 2 change places.
        values = values[:, [0, 2, 1, 3]].mT
    share, lines = line**2 / (line**2 + read), frames * side
    tolerance = 4.5 / math.sqrt(lines)
    assert correlation(values[..., :-1], values[..., 1:]) == pytest.approx(share, abs=tolerance)
    assert correlation(values[..., :-7], values[..., 7:]) == pytest.approx(share, abs=tolerance)
    for one, two in ((0, 1), (2, 3)):
        assert correlation(values[:, one], values[:, two]) == pytest.approx(share, abs=tolerance)
    for one, two in ((0, 2), (0, 3), (1, 2), (1, 3)):
        assert abs(correlation(values[:, one], values[:, two])) < tolerance
    assert abs(correlation(values[:, :, :-1], values[:, :, 1:])) < tolerance
    assert abs(correlation(values[:, 2:, :-1], values[:, :2, 1:])) < tolerance
    assert abs(correlation(values[:-1], values[1:])) < tolerance


@MODELS
def test_the_mean_of_a_row_varies_by_the_row(model: str) -> None:
    params = drawn(SensorNoise((0.0,) * 4, (1e-4,) * 4, row_sigma=0.01))
    means = add(model, flat(0.0, 50, 64), range(50), [params] * 50).double().mean(dim=3)
    theory, n = 1e-4 + 1e-4 / 64, means[:, ::2].numel()
    assert float(means.pow(2).mean()) == pytest.approx(theory, rel=4.5 * math.sqrt(2 / n))


def test_stages_that_are_off_change_no_bit() -> None:
    """The draws of a stage do not depend on the others: a sensor is a sum of its stages."""
    clean = flat(0.2, 1, 16)
    quiet = SensorNoise(SHOT, (0.0,) * 4)
    shot = add("physics", clean, [3], [drawn(quiet)])
    for extra in ({"row_sigma": 0.01}, {"column_sigma": 0.01}, {"quantization_step": 0.01}, {"read": (1e-4,) * 4}):
        alone = SensorNoise(**{"shot": (0.0,) * 4, "read": (0.0,) * 4, **extra})
        both = SensorNoise(**{"shot": SHOT, "read": (0.0,) * 4, **extra})
        term = add("physics", flat(0.0, 1, 16), [3], [drawn(alone)])
        assert (term != 0).all()
        torch.testing.assert_close(add("physics", clean, [3], [drawn(both)]), shot + term, rtol=0, atol=2e-7)


@MODELS
@pytest.mark.parametrize("sensor", SENSORS)
def test_params_replay_from_json_to_the_same_bits(model: str, sensor: str) -> None:
    clean = torch.rand(2, 4, 20, 30, generator=torch.Generator().manual_seed(1)) - 0.1
    params = drawn(SENSORS[sensor], model)
    again = json.loads(json.dumps(params, allow_nan=False))
    assert again == params
    assert torch.equal(add(model, clean, [1, 2], [params] * 2), add(model, clean, [1, 2], [again] * 2))
    # Every number is a float32, so that the device computes with what the JSON says.
    numbers = [v for value in params.values() if value is not None for v in np.atleast_1d(value)]
    assert all(float(np.float32(number)) == number for number in numbers)


@MODELS
@settings(max_examples=20)
@given(st.lists(st.sampled_from(sorted(SENSORS)), min_size=1, max_size=5), st.integers(1, 7), st.integers(1, 7))
def test_a_batch_of_any_sensors_is_its_samples(model: str, sensors: list[str], h: int, w: int) -> None:
    """Bit for bit: Gaussian beside Tukey-lambda read noise, with and without the surrogate of rounding."""
    clean = torch.rand(len(sensors), 4, h, w, generator=torch.Generator().manual_seed(h)) - 0.1
    params, seeds = [drawn(SENSORS[name]) for name in sensors], list(range(len(sensors)))
    together = add(model, clean, seeds, params)
    for k in seeds:
        assert torch.equal(add(model, clean[k : k + 1], [k], params[k : k + 1])[0], together[k])


def test_clean_is_left_alone() -> None:
    clean = torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    before = clean.clone()
    for model in ("physics", "physics_gaussian"):
        add(model, clean, [1], [drawn(TUKEY)])
        assert torch.equal(clean, before)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        ("physics", ("rounded", "tukey")),
        pytest.param("physics_gaussian", ("tukey",), marks=pytest.mark.slow),
        pytest.param("physics", ("plain",), marks=pytest.mark.slow),
    ],
)
def test_one_graph_holds_all_stages(model: str, batch: tuple[str, ...]) -> None:
    """No host sync and no graph break: traced whole, it adds the same noise."""
    entry, clean = NOISE_MODELS[model].create(), torch.rand(len(batch), 4, 6, 10)
    words = seeding.seed_words(range(len(batch)), CPU)
    params = entry.tensors([drawn(SENSORS[name]) for name in batch], CPU)
    traced = torch.compile(entry.add, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(clean, words, params), entry.add(clean, words, params), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_compiled_noise_is_the_eager_noise() -> None:
    """To the last bits of log and cos: counts of electrons may differ at one site in thousands."""
    entry, generator = NOISE_MODELS["physics"].create(), torch.Generator().manual_seed(0)
    clean = torch.rand(2, 4, 40, 40, generator=generator)
    words = seeding.seed_words([1, 2], CPU)
    params = entry.tensors([drawn(TUKEY), drawn(PLAIN)], CPU)
    compiled = torch.compile(entry.add, fullgraph=True)
    difference = (compiled(clean, words, params) - entry.add(clean, words, params)).abs()
    assert float((difference > 1e-5).double().mean()) < 1e-3
    assert difference.max() <= max(SHOT) * 1.001


def test_gaussian_read_noise_where_the_shape_is_unknown() -> None:
    params = drawn(PLAIN)
    assert params["tukey_lambda"] is None
    assert params["read_scale"] == pytest.approx(np.sqrt(PLAIN.read))
    dark = add("physics", flat(0.0, 1, 256), [1], [drawn(SensorNoise.white(0.0, 1e-4))]).numpy().ravel()
    assert stats.kstest(dark / 0.01, "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tukey_lambda": -0.5}, "above -0.5"),
        ({"row_sigma": -1.0}, "row_sigma is one number >= 0"),
        ({"column_sigma": [0.1]}, "column_sigma is one number >= 0"),
        ({"quantization_step": math.nan}, "quantization_step is one number >= 0"),
        ({"color_bias": [0.0, 1.0]}, "color_bias is four finite numbers"),
        ({"color_bias": [0.0, 1.0, 2.0, math.inf]}, "color_bias is four finite numbers"),
        ({"read_scale": [-1.0, 1.0, 1.0, 1.0]}, "read_scale is one number >= 0"),
        ({"shot": "much"}, "shot is one number >= 0"),
    ],
)
def test_parameters_of_no_sensor_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NOISE_MODELS["physics"].create().shot_read({**drawn(TUKEY), **change})


@MODELS
def test_through_add_noise(model: str) -> None:
    """A stated S and O become counts and Gaussian read noise, with a record that says the same."""
    noisy = AddNoise(model, shot=0.01, read=1e-4, seed=0)(RawImage.from_packed(flat(0.4, 2, 128)), keys=["a", "b"])
    record = noisy.metadata.noise[0]
    assert record.model == model
    assert record.read == pytest.approx((1e-4,) * 4, rel=1e-6)
    variance = 0.01 * 0.4 + 1e-4
    assert float(noisy.packed.double().var()) == pytest.approx(variance, rel=4.5 * math.sqrt(2.1 / 2**17))
