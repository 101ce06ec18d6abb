"""AddNoise with every model alike: batches, layouts, copies, compiled graphs and where a sample's noise comes from."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rawsynth.cameras import load_camera
from rawsynth.errors import UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.image import RawImage
from rawsynth.seeding import seed_words
from rawsynth.transforms import AddNoise

# One with Tukey-lambda read noise, one whose read noise is Gaussian, so that a batch of both is a mixed one.
TUKEY, GAUSSIAN = "Sony ILCE-7SM2", "Google Pixel"
MODELS = pytest.mark.parametrize("model", sorted(NOISE_MODELS))


@pytest.fixture(scope="module")
def darks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Simulated dark frames as a user keeps them: a folder an ISO, a word on all of them."""
    folder, rng = tmp_path_factory.mktemp("darks"), np.random.default_rng(0)
    (folder / "frames.json").write_text(json.dumps({"cfa": "RGGB", "white_level": 16383, "black_level": 512}))
    for iso in (800, 1600):
        (folder / f"iso{iso}").mkdir()
        for index in range(2):
            noise = rng.normal(512, iso / 200, (60, 80))
            np.save(folder / f"iso{iso}/{index}.npy", np.rint(noise).astype(np.uint16))
    return str(folder)


def make(model: str, darks: str, **options: Any) -> AddNoise:
    return AddNoise(model, dark_frames=darks if NOISE_MODELS[model].takes_frames else None, **options)


def clean(*shape: int) -> Tensor:
    """A ramp through black and past it, so that every branch of every model has sites."""
    return torch.linspace(-0.02, 0.9, int(np.prod(shape))).reshape(shape)


def keys(count: int) -> list[str]:
    return [f"image-{index}" for index in range(count)]


# ---- one sample is one sample, whatever stands beside it ----


@MODELS
@pytest.mark.parametrize("size", [(12, 16), (7, 9)], ids=str)
def test_a_sample_of_a_random_camera_is_the_same_alone_and_in_any_batch(
    model: str, size: tuple[int, int], darks: str
) -> None:
    add_noise = make(model, darks, camera="random", iso=800, seed=3)
    planes, names = clean(12, 4, *size), keys(12)
    together = add_noise(RawImage.from_packed(planes), keys=names)
    records = together.metadata.noise
    kinds = {record.params.get("tukey_lambda") is None for record in records}
    assert model not in ("physics", "physics_gaussian") or kinds == {True, False}, "the batch was to be mixed"
    backwards = add_noise(RawImage.from_packed(planes.flip(0)), keys=names[::-1])
    assert torch.equal(backwards.packed.flip(0), together.packed)
    for index in range(12):
        alone = add_noise(RawImage.from_packed(planes[index]), keys=[names[index]])
        assert torch.equal(alone.packed, together.packed[index])


@MODELS
def test_a_batch_of_batches_is_a_batch(model: str, darks: str) -> None:
    add_noise = make(model, darks, camera=TUKEY, iso=800, seed=0)
    planes = clean(2, 3, 4, 6, 8)
    nested = add_noise(RawImage.from_packed(planes), keys=keys(6))
    flat = add_noise(RawImage.from_packed(planes.reshape(6, 4, 6, 8)), keys=keys(6))
    assert torch.equal(nested.packed.reshape(6, 4, 6, 8), flat.packed)
    assert nested.metadata.shot.shape == (2, 3, 4) and nested.metadata.iso.shape == (2, 3)
    assert nested[1][2].metadata.noise == flat[5].metadata.noise


@MODELS
@pytest.mark.parametrize("camera", [TUKEY, "random", "image"])
def test_no_images_are_no_noise(model: str, camera: str, darks: str) -> None:
    nothing = make(model, darks, camera=camera, iso=800)(RawImage.from_packed(torch.zeros(0, 4, 6, 8)))
    assert nothing.shape == (0, 4, 6, 8) and nothing.metadata.noise == ()


@MODELS
def test_half_precision_comes_out_as_float32_of_the_same_values(model: str, darks: str) -> None:
    add_noise, planes = make(model, darks, camera=TUKEY, iso=800, seed=0), clean(3, 4, 6, 8).to(torch.bfloat16)
    noisy = add_noise(RawImage.from_packed(planes), keys=keys(3))
    assert noisy.packed.dtype == torch.float32
    assert torch.equal(noisy.packed, add_noise(RawImage.from_packed(planes.to(torch.float32)), keys=keys(3)).packed)


@MODELS
def test_what_goes_in_stays_as_it_was(model: str, darks: str) -> None:
    planes = clean(3, 4, 6, 8)
    make(model, darks, camera=TUKEY, iso=800)(RawImage.from_packed(planes))
    assert torch.equal(planes, clean(3, 4, 6, 8))


# ---- copies, policies, parameters ----

CLONES: list[Callable[[AddNoise], AddNoise]] = [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))]


@MODELS
@pytest.mark.parametrize("clone", CLONES, ids=["deepcopy", "pickle"])
def test_copies_draw_the_same(model: str, clone: Callable[[AddNoise], AddNoise], darks: str) -> None:
    """As a DataLoader's spawned workers and checkpoints of a training make them."""
    add_noise = make(model, darks, camera=TUKEY, iso=(800, 1600), seed=0)
    raw = RawImage.from_packed(clean(3, 4, 6, 8))
    assert torch.equal(clone(add_noise)(raw, keys=keys(3)).packed, add_noise(raw, keys=keys(3)).packed)


@MODELS
def test_a_policy_and_parameters_survive_json(model: str, darks: str) -> None:
    add_noise = make(model, darks, camera="random", iso=(800, 1600), iso_law="stops", seed=0)
    again = AddNoise.from_policy(json.loads(json.dumps(add_noise.policy())), seed=0)
    raw = RawImage.from_packed(clean(3, 4, 6, 8))
    params = json.loads(json.dumps(add_noise.make_params(3, keys=keys(3))))
    assert again.policy() == add_noise.policy()
    assert torch.equal(again.apply_params(raw, params).packed, add_noise(raw, keys=keys(3)).packed)


@MODELS
def test_noise_of_another_model_is_refused(model: str, darks: str) -> None:
    other = "physics" if model != "physics" else "physics_gaussian"
    params = make(other, darks, camera=TUKEY, iso=800).make_params(1)
    with pytest.raises(UsageError, match=f"for '{other}'; this AddNoise is '{model}'"):
        make(model, darks, camera=TUKEY, iso=800).apply_params(RawImage.from_packed(clean(1, 4, 6, 8)), params)


# ---- physics in the numbers ----


@MODELS
@pytest.mark.parametrize("cfa", sorted(BAYER_LAYOUTS))
def test_what_the_metadata_promise_is_what_is_measured_in_any_layout(model: str, cfa: str, darks: str) -> None:
    """A flat field through a camera with a layout of its own; rows and columns stand in O, so they widen the error."""
    side = 24 if NOISE_MODELS[model].takes_frames else 96
    count, level = 16, 0.2
    add_noise = make(model, darks, camera="Sony IMX686" if side == 96 else TUKEY, iso=None if side == 96 else 800)
    torch.manual_seed(5)
    params = add_noise.make_params(1, overrides={"cfa": cfa})
    records = [{**params[0], "seed": seed} for seed in range(count)]
    raw = RawImage.from_packed(torch.full((count, 4, side, side), level), cfa)
    noisy = add_noise.apply_params(raw, records)
    assert noisy.metadata.shot is not None and noisy.metadata.read is not None
    shot, read = noisy.metadata.shot[0], noisy.metadata.read[0]
    measured = (noisy.packed - noisy.packed.mean(dim=(0, 2, 3), keepdim=True)).square().mean(dim=(0, 2, 3))
    # 5 standard errors of a variance, of pixels and, for what rows and columns have in common, of lines.
    tolerance = 5 * (2 / (count * side**2)) ** 0.5 + 5 * (2 / (count * side)) ** 0.5 * 0.1
    assert torch.allclose(measured, shot * level + read, rtol=tolerance), (measured, shot * level + read)


def test_planes_of_a_camera_reach_the_planes_of_that_colour() -> None:
    camera = load_camera("Sony IMX686")
    by_layout = {}
    for cfa in BAYER_LAYOUTS:
        entry = AddNoise("heteroscedastic_gaussian", camera=camera, iso=6400, seed=0).make_params(
            1, keys=["a"], overrides={"cfa": cfa}
        )[0]
        by_layout[cfa] = {color: entry["params"]["read"][cfa.index(color)] for color in "RB"}
    assert all(found == by_layout[camera.cfa] for found in by_layout.values())


# ---- compiled ----


@pytest.fixture
def fresh_graphs() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_graphs")
@pytest.mark.parametrize("model", ["physics", "physics_gaussian"])
def test_cameras_that_change_from_batch_to_batch_trace_three_graphs_and_no_more(model: str) -> None:
    """All Tukey, none, or both in one batch: other stages run, and nothing else may be traced anew."""
    from torch._dynamo.testing import CompileCounter

    add_noise, graphs = AddNoise(model, camera="image", iso=800, seed=0), CompileCounter()
    fast = torch.compile(add_noise.model.add, backend=graphs, dynamic=True, fullgraph=True)
    for size in ((12, 16), (12, 16), (10, 14)):
        for cameras in ([TUKEY] * 6, [GAUSSIAN] * 6, [TUKEY, GAUSSIAN] * 3, [GAUSSIAN] * 5 + [TUKEY]):
            raw = RawImage.from_packed(clean(6, 4, *size))
            params = add_noise.make_params(6, keys=keys(6), overrides={"camera": cameras})
            words = seed_words([entry["seed"] for entry in params], raw.device)
            tensors = add_noise.model.tensors([entry["params"] for entry in params], raw.device)
            difference = fast(raw.packed, words, tensors) - add_noise.apply_params(raw, params).packed
            assert float(difference.abs().max()) < 1e-5
    assert graphs.frame_count == 3


# ---- where the noise comes from ----


def test_the_readme_s_use_alone() -> None:
    noisy = AddNoise("physics", camera=TUKEY, iso=(800, 12800))(RawImage.from_packed(clean(4, 4, 8, 8), "RGGB"))
    assert all(800 <= iso <= 12800 for iso in noisy.metadata.iso.tolist())
    assert {record.model for record in noisy.metadata.noise} == {"physics"}


def test_dark_frames_serve_the_isos_that_they_have(darks: str) -> None:
    for iso, served in ((None, {800, 1600}), ((700, 900), {800}), ((100, 25600), {800, 1600})):
        entries = make("dark_frames", darks, camera=TUKEY, iso=iso, seed=0).make_params(40, keys=keys(40))
        assert {entry["iso"] for entry in entries} == served
        assert all(f"iso{entry['iso']:g}/" in entry["params"]["frame"] for entry in entries)
