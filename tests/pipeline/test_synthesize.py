"""synthesize: stored DN are the transforms' values, rounded once, and the JSON is enough to make them again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rawsynth.cameras import format_camera, load_camera
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.pipeline.config import GenerateConfig, build_config
from rawsynth.pipeline.decode import decode_srgb
from rawsynth.pipeline.synthesize import SynthesizedSample, Synthesizer
from rawsynth.pipeline.views import View, frame_pixels
from rawsynth.raw.image import RawImage
from rawsynth.transforms import AddNoise, ReverseISP

Arrays = dict[str, np.ndarray]


def config(**values: Any) -> GenerateConfig:
    method = {"method": "unprocess", **values.pop("method", {})}
    made = build_config({"input": "in", "output": "out", "seed": 7, "method": method, **values})
    return made.model_copy(update={"compute": made.compute.model_copy(update={"device": "cpu", "compile": "off"})})


def view(key: str, image: np.ndarray) -> View:
    return View(key, image, frame_pixels(image), {"key": key, "url": "in"}, {}, None)


@pytest.fixture
def views(photo: Callable[..., bytes]) -> list[View]:
    return [view(f"k{i}", decode_srgb(photo(i), max_pixels=10**6)) for i in range(4)]


def run(views: list[View], **values: Any) -> list[SynthesizedSample]:
    return Synthesizer(config(**values))(views)


def arrays(sample: SynthesizedSample) -> Arrays:
    return {name: np.array(dn) for name, dn in sample.arrays.items()}


def same(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# ---- what is stored ----

CONFIGS: list[dict[str, Any]] = [
    {},
    {"noise": {"noise": "heteroscedastic_gaussian"}},
    {"noise": {"shot": 0.01, "read": [1e-4, 2e-4, 3e-4, 4e-4]}, "method": {"cfa": "GBRG", "rgb_gain": 1.25}},
    {"method": {"camera": "Sony ILCE-7SM2"}, "noise": {"iso": [1600, 25600], "realizations": 2}},
    {"write": {"black_level": 64, "white_level": 1023, "bits": 10}},
    {"method": {"white_balance": [2.0, 1.5], "cam_from_srgb": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}},
    {"method": {"method": "rst_isp_net_small"}},
    {"method": {"method": "rst_isp_net_small", "camera": "Sony ILCE-7SM2"}, "noise": {"iso": 800}},
]


def as_stored(clean: RawImage) -> RawImage:
    """The clean image as a reader finds it: in 65,535 steps."""
    return RawImage((clean.packed * 65535).round() / 65535, clean.metadata)


@pytest.mark.parametrize("values", CONFIGS, ids=repr)
def test_dn_are_the_transforms_values_rounded(views: list[View], values: dict[str, Any]) -> None:
    made = config(**values)
    colour = made.method.model_dump(exclude={"method", "weights"})
    camera = made.method.camera if made.noise.iso else None
    to_raw = ReverseISP(made.method.method, seed=7, **colour)
    add_noise = AddNoise(
        made.noise.noise, camera=camera, iso=made.noise.iso, shot=made.noise.shot, read=made.noise.read, seed=7
    )
    black, span = made.write.black_level, made.write.white_level - made.write.black_level
    for one, sample in zip(views, Synthesizer(made)(views), strict=True):
        clean = to_raw(torch.from_numpy(one.image)[None], keys=[one.key])
        noisy = add_noise(as_stored(clean), keys=[one.key])
        member = "noisy.npy" if made.noise.realizations == 1 else "noisy.0.npy"
        dn = sample.arrays[member].astype(np.int64)
        wanted = np.clip(noisy.packed[0].double().numpy() * span + black, 0, made.write.white_level)
        assert np.abs(sample.arrays["clean.npy"] - clean.packed[0].double().numpy() * 65535).max() <= 0.51
        assert np.abs(dn - wanted).max() <= 0.51
        assert {dn.dtype for dn in sample.arrays.values()} == {np.dtype(np.uint16)}
        assert {dn.shape for dn in sample.arrays.values()} == {(4, 16, 24)}


@pytest.mark.parametrize("values", CONFIGS, ids=repr)
def test_json_replays_every_member(views: list[View], values: dict[str, Any]) -> None:
    """From the metadata alone, through JSON, one image at a time: the same DN."""
    for one, sample in zip(views, run(views, **values), strict=True):
        meta = json.loads(json.dumps(sample.metadata))
        clean = ReverseISP(meta["raw"]["method"]).apply_params(torch.from_numpy(one.image)[None], [meta["raw"]])
        members = {"clean.npy": (clean, meta["clean"]["levels"])}
        for entry in meta["noisy"]:
            add_noise = AddNoise(entry["noise"]["model"])
            noisy = add_noise.apply_params(as_stored(clean), [entry["noise"]])
            members[entry["member"]] = (noisy, entry["levels"])
        assert members.keys() == sample.arrays.keys()
        for name, (raw, levels) in members.items():
            span = levels["white_level"] - levels["black_level"]
            dn = (raw.packed[0].float() * span + levels["black_level"]).round().clamp(0, levels["white_level"])
            assert np.array_equal(dn.numpy().astype(np.uint16), sample.arrays[name]), name


def test_metadata_say_what_was_done(views: list[View]) -> None:
    values = {"method": {"camera": "Sony ILCE-7SM2", "cfa": "camera"}, "noise": {"iso": 3200, "realizations": 2}}
    for one, sample in zip(views, run(views, **values), strict=True):
        meta = sample.metadata
        assert (meta["key"], meta["split"], meta["source"]) == (one.key, None, {"key": one.key, "url": "in"})
        named = {name: meta["raw"][name] for name in ("camera", "cfa", "method")}
        assert named == {"camera": "Sony ILCE-7SM2", "cfa": "RGGB", "method": "unprocess"}
        assert meta["clean"] == {
            "member": "clean.npy", "levels": {"black_level": 0, "white_level": 65535, "bits": 16},
        }  # fmt: skip
        assert [entry["member"] for entry in meta["noisy"]] == ["noisy.0.npy", "noisy.1.npy"]
        for entry in meta["noisy"]:
            assert entry["levels"] == {"black_level": 512, "white_level": 16383, "bits": 14}
            assert entry["noise"]["iso"] == 3200
            assert entry["shot"] == entry["noise"]["params"]["shot"] and len(entry["read"]) == 4


# ---- the range of values ----


def flat(value: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((3, height, width), value, np.uint8)


def test_negatives_survive_as_dn_below_black() -> None:
    """Read noise on black alone: half of it lies under the black level, symmetrically."""
    (sample,) = run([view("k", flat(0))], noise={"shot": 0.0, "read": 0.0001}, write={"black_level": 2048})
    dn = sample.arrays["noisy.npy"].astype(float)
    sigma = 0.01 * (16383 - 2048)
    assert abs(dn.mean() - 2048) < 5 * sigma / dn.size**0.5
    assert abs((dn < 2048).mean() - 0.5) < 0.02
    assert abs(dn.std() / sigma - 1) < 0.02
    assert sample.arrays["clean.npy"].max() == 0


def test_without_headroom_below_black_values_clip_at_zero() -> None:
    (sample,) = run([view("k", flat(0))], noise={"shot": 0.0, "read": 0.01}, write={"black_level": 0})
    assert abs((sample.arrays["noisy.npy"] == 0).mean() - 0.5) < 0.02


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_saturation_clips_at_the_white_level(bits: int) -> None:
    white = 2**bits - 1 - 5
    write = {"bits": bits, "white_level": white, "black_level": 16}
    (sample,) = run([view("k", flat(255))], noise={"shot": 0.01, "read": 0.01}, write=write)
    dn = sample.arrays["noisy.npy"]
    assert dn.max() == white and 0.3 < (dn == white).mean() < 0.7
    assert sample.arrays["clean.npy"].min() > 65000


@pytest.mark.parametrize("bits", [8, 12])
def test_the_clean_image_keeps_sixteen_bits(views: list[View], bits: int) -> None:
    coarse = run(views, write={"bits": bits, "white_level": 2**bits - 1, "black_level": 8})
    for few, many in zip(coarse, run(views), strict=True):
        assert np.array_equal(few.arrays["clean.npy"], many.arrays["clean.npy"])
        assert (few.arrays["clean.npy"] % 2 ** (16 - bits) != 0).mean() > 0.5


def test_float_images_are_taken_at_their_precision(views: list[View]) -> None:
    as_float = [view(one.key, (one.image / 255).astype(np.float32)) for one in views]
    for exact, fine in zip(run(views), run(as_float), strict=True):
        difference = exact.arrays["clean.npy"].astype(int) - fine.arrays["clean.npy"]
        assert np.abs(difference).max() <= 1


# ---- what a sample depends on ----


def test_a_batch_is_its_samples(views: list[View]) -> None:
    batch = run(views)
    for one, sample in zip(views, batch, strict=True):
        (alone,) = run([one])
        assert same(arrays(alone), arrays(sample)) and alone.metadata == sample.metadata


def test_the_order_of_a_batch_changes_nothing(views: list[View]) -> None:
    for forward, backward in zip(run(views), reversed(run(views[::-1])), strict=True):
        assert same(arrays(forward), arrays(backward))


def test_padding_changes_nothing(views: list[View]) -> None:
    synthesizer = Synthesizer(config())
    plain = synthesizer(views[:3])
    synthesizer.padded_batch = 8
    padded = synthesizer(views[:3])
    assert len(padded) == 3
    assert all(same(arrays(a), arrays(b)) for a, b in zip(plain, padded, strict=True))


@pytest.mark.parametrize("change", ["key", "seed"])
def test_key_and_seed_decide_the_draws(views: list[View], change: str) -> None:
    image = views[0].image
    (first,) = run([view("a", image)])
    (again,) = run([view("a", image)])
    (other,) = run([view("b" if change == "key" else "a", image)], **({"seed": 8} if change == "seed" else {}))
    assert same(arrays(first), arrays(again))
    assert first.metadata["raw"]["cam_from_srgb"] != other.metadata["raw"]["cam_from_srgb"]
    assert first.metadata["noisy"][0]["noise"]["seed"] != other.metadata["noisy"][0]["noise"]["seed"]


def test_the_first_realization_does_not_know_of_the_others(views: list[View]) -> None:
    alone, several = run(views), run(views, noise={"realizations": 3})
    for one, many in zip(alone, several, strict=True):
        assert np.array_equal(one.arrays["noisy.npy"], many.arrays["noisy.0.npy"])
        assert np.array_equal(one.arrays["clean.npy"], many.arrays["clean.npy"])
        first, only = many.metadata["noisy"][0], one.metadata["noisy"][0]
        assert {**first, "member": None} == {**only, "member": None}
        seeds = {entry["noise"]["seed"] for entry in many.metadata["noisy"]}
        assert len(seeds) == 3


def test_realizations_are_independent() -> None:
    (sample,) = run([view("k", flat(128))], noise={"realizations": 2, "shot": 0.01, "read": 1e-4})
    clean = sample.arrays["clean.npy"] / 65535 * (16383 - 512) + 512
    first, second = (sample.arrays[f"noisy.{k}.npy"] - clean for k in range(2))
    n = first.size
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / n**0.5


# ---- what cannot be ----

UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"method": {"method": "unproces"}}, "unknown method 'unproces'; did you mean 'unprocess'"),
    ({"noise": {"noise": "gauss"}}, "noise model 'gauss'.*heteroscedastic_gaussian, .*poisson_gaussian"),
    ({"method": {"camera": "Sony"}}, "camera 'Sony'.*Near: Sony .*rawsynth cameras"),
    ({"method": {"cfa": "RGBG"}}, "BGGR.*GBRG.*GRBG.*RGGB"),
]


@pytest.mark.parametrize(("values", "message"), UNKNOWN)
def test_an_unknown_name_lists_the_choices(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        Synthesizer(config(**values))


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"method": {"weights": "x"}}, "no weights"),
    ({"noise": {"shot": 0.01}}, "both shot and read"),
    ({"noise": {"iso": 800}}, "camera"),
    ({"noise": {"iso": 10}, "method": {"camera": "Sony ILCE-7SM2"}}, "ISO 10 is outside"),
    ({"noise": {"iso": [3200, 1600]}, "method": {"camera": "Sony ILCE-7SM2"}}, "low <= high"),
    ({"noise": {"shot": -0.1, "read": 0.1}}, "shot"),
    ({"method": {"rgb_gain": 0.0}}, "rgb_gain must be positive"),
    ({"method": {"cam_from_srgb": [[1, 0, 0], [0, 2, 0], [0, 0, 1]]}}, "rows sum to 1"),
    ({"method": {"cfa": "camera"}}, "camera"),
]


@pytest.mark.parametrize(("values", "message"), IMPOSSIBLE)
def test_an_impossible_choice_is_refused_at_the_start(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Synthesizer(config(**values))


def test_a_camera_file(views: list[View], tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(format_camera(load_camera("Nikon D850")))
    (from_file,), (built_in,) = (run(views[:1], method={"camera": camera}) for camera in (str(own), "Nikon D850"))
    assert same(arrays(from_file), arrays(built_in))


def test_random_cameras_have_noise_at_the_isos_asked_for(views: list[View]) -> None:
    values = {"method": {"camera": "random"}, "noise": {"iso": (100, 3200)}}
    for sample in run(views, **values):
        low, high = load_camera(sample.metadata["raw"]["camera"]).noise_profile().iso_range
        assert low <= 100 and high >= 3200
        assert sample.metadata["noisy"][0]["noise"]["camera"] == sample.metadata["raw"]["camera"]
    with pytest.raises(UsageError, match="no built-in camera"):
        run(views, method={"camera": "random"}, noise={"iso": (1, 1e6)})


def test_a_camera_without_noise_needs_a_word_on_noise(views: list[View]) -> None:
    with pytest.raises(UsageError, match="colour but no noise.*--noise-camera"):
        run(views[:1], method={"camera": "Canon EOS 1000D"})
    brooks = run(views[:1], method={"camera": "Canon EOS 1000D"}, noise={"noise_camera": "brooks"})
    assert brooks[0].metadata["noisy"][0]["noise"]["camera"] is None
    pixel = run(views[:1], method={"camera": "Canon EOS 1000D"}, noise={"noise_camera": "Google Pixel"})
    assert pixel[0].metadata["noisy"][0]["noise"]["camera"] == "Google Pixel"
