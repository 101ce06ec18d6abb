"""Methods of one fixed curve against their formulas in float64, on real photographs."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from rawsynth.cameras.choosing import cameras_with
from rawsynth.methods import METHODS, ReverseMethod
from rawsynth.transforms import ReverseISP

Array = NDArray[np.float64]

# Row, column and RGB channel of each packed plane, written out from the sensors' layouts.
SITES = {
    "RGGB": ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)),
    "BGGR": ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 0)),
    "GRBG": ((0, 0, 1), (0, 1, 0), (1, 0, 2), (1, 1, 1)),
    "GBRG": ((0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 1, 1)),
}
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


def srgb_decoded(x: Array) -> Array:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def srgb_encoded(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def smoothstep_decoded(x: Array) -> Array:
    return (0.5 - np.sin(np.arcsin(1 - 2 * x) / 3)) ** 2.2


CURVES: dict[str, Callable[[Array], Array]] = {"srgb_linear": srgb_decoded, "smoothstep_gamma": smoothstep_decoded}


def photo(name: str, dtype: torch.dtype = torch.uint8) -> Tensor:
    """A photograph of even size as (1, 3, H, W)."""
    pixels = getattr(data, name)()
    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    return image if dtype == torch.uint8 else (image / 255.0).to(dtype)


def by_formula(name: str, srgb: Tensor, params: dict) -> Array:
    """One image (1, 3, H, W) to (4, H/2, W/2): curve, matrix, white balance, exposure, saturation, mosaic."""
    codes = srgb[0].permute(1, 2, 0).double().numpy() / (255.0 if srgb.dtype == torch.uint8 else 1.0)
    red, blue = params["white_balance"]
    camera = CURVES[name](codes) @ np.array(params["cam_from_srgb"]).T
    camera = (camera / [red, 1.0, blue] / params["rgb_gain"]).clip(0, 1)
    return np.stack([camera[i::2, j::2, c] for i, j, c in SITES[params["cfa"]]])


@pytest.mark.parametrize("cfa", SITES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CURVES)
def test_photographs_follow_the_formula(name: str, dtype: torch.dtype, cfa: str) -> None:
    for index, picture in enumerate(PHOTOS):
        image = photo(picture, dtype)
        to_raw = ReverseISP(name, cfa=cfa, seed=index)
        params = to_raw.make_params(1, keys=[picture])
        made = to_raw.apply_params(image, params).packed[0].double().numpy()
        assert np.abs(made - by_formula(name, image, params[0])).max() < 1e-6


@pytest.mark.parametrize("name", CURVES)
def test_every_code_and_what_lies_outside(name: str) -> None:
    neutral = {"cam_from_srgb": np.eye(3).tolist(), "white_balance": (1.0, 1.0), "rgb_gain": 1.0}
    to_raw = ReverseISP(name, **neutral)
    codes = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16).contiguous()
    made = to_raw(codes).mosaic()[0].flatten().double().numpy()
    assert np.abs(made - CURVES[name](np.arange(256) / 255)).max() < 1e-7
    assert made[0] < 1e-12 and made[255] == 1.0 and (np.diff(made) > 0).all()
    outside = torch.tensor([-0.4, -1e-4, 1.0001, 1.9]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_raw(outside).mosaic().flatten().tolist() == pytest.approx([0, 0, 1, 1], abs=2e-7)


def test_round_trip_with_the_forward_curve() -> None:
    """Light to sRGB codes and back is off by what half a code of rounding means in light at most."""
    light = np.linspace(0, 1, 4096).reshape(64, 64)
    codes = np.rint(srgb_encoded(light) * 255)
    image = torch.from_numpy(codes.astype(np.uint8))[None, None].expand(1, 3, 64, 64).contiguous()
    neutral = {"cam_from_srgb": np.eye(3).tolist(), "white_balance": (1.0, 1.0), "rgb_gain": 1.0}
    made = ReverseISP("srgb_linear", **neutral)(image).mosaic()[0].numpy()
    half = np.maximum(
        np.abs(srgb_decoded((codes + 0.5) / 255) - light), np.abs(srgb_decoded((codes - 0.5) / 255) - light)
    )
    assert (np.abs(made - light) <= half + 1e-6).all()
    assert np.abs(srgb_encoded(made.astype(np.float64)) * 255 - codes).max() < 1e-3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("name", CURVES)
def test_a_batch_is_its_images(name: str, dtype: torch.dtype) -> None:
    images = torch.cat([photo("astronaut", dtype)[..., k : k + 62, k : k + 50] for k in range(0, 50, 10)])
    keys = [str(k) for k in range(len(images))]
    to_raw = ReverseISP(name, seed=2)
    together = to_raw(images, keys=keys).packed
    for k, key in enumerate(keys):
        assert torch.equal(to_raw(images[k : k + 1], keys=[key]).packed[0], together[k])
    assert METHODS[name].ignores_batch and METHODS[name].takes_color


@pytest.mark.parametrize("name", CURVES)
def test_cameras_and_lights_are_drawn_as_for_the_network(name: str) -> None:
    known = set(cameras_with(color=True))
    drawn = ReverseISP(name, seed=1).make_params(30, keys=[str(k) for k in range(30)])
    others = ReverseISP("rst_isp_net_small", seed=1).make_params(30, keys=[str(k) for k in range(30)])
    assert {p["camera"] for p in drawn} <= known and len({p["camera"] for p in drawn}) > 10
    assert all(2850 <= p["cct"] <= 7500 and p["rgb_gain"] == 1 for p in drawn)
    physics = ("camera", "cct", "cam_from_srgb", "white_balance", "rgb_gain")
    assert [[p[k] for k in physics] for p in drawn] == [[p[k] for k in physics] for p in others]


def test_highlights_are_not_spared() -> None:
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    raw = ReverseISP("srgb_linear", cam_from_srgb=np.eye(3), white_balance=(2.0, 1.6), rgb_gain=1.25)(white)
    assert raw.packed.flatten().tolist() == pytest.approx([0.4, 0.8, 0.8, 0.5])


@pytest.mark.parametrize("name", CURVES)
def test_a_corpus_is_made_by_it(
    name: str, photos: Path, tmp_path: Path, cli: Callable[..., Any], read_samples: Callable[..., Any]
) -> None:
    """By the command; every sample's record has the method and its camera, and replays to the stored RAW."""
    done = cli("generate", photos, tmp_path / "corpus", "--method", name, "--srgb", "--quiet", "--clean-only")
    assert done.code == 0, done.err
    samples = read_samples(tmp_path / "corpus")
    assert len(samples) == 5
    for members in samples.values():
        raw = json.loads(members["json"])["raw"]
        assert raw["method"] == name and raw["camera"] in cameras_with(color=True)
        stored = np.load(io.BytesIO(members["clean.npy"]), allow_pickle=False)
        pixels = np.asarray(Image.open(photos / json.loads(members["json"])["source"]["url"].rpartition("photos/")[2]))
        srgb = torch.from_numpy(pixels[: 2 * stored.shape[1], : 2 * stored.shape[2]].transpose(2, 0, 1).copy())
        assert np.abs(by_formula(name, srgb[None], raw) - stored / 65535).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_compiled_is_eager(name: str) -> None:
    image = photo("coffee")[..., :64, :96]
    eager, compiled = (ReverseISP(name, seed=0) for _ in range(2))
    compiled.compile_kernels()
    for srgb in (image, image / 255.0):
        made = [to_raw(srgb, keys=["a"]).packed for to_raw in (eager, compiled)]
        assert torch.allclose(*made, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_states_what_it_is(name: str) -> None:
    facts = METHODS[name].facts
    assert METHODS[name].name == name and issubclass(METHODS[name], ReverseMethod)
    assert facts.summary and facts.source and facts.licence
