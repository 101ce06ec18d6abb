"""ReverseISP as it comes: the small network for any camera, what it draws, what replays, frames, styles."""

from __future__ import annotations

import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rawsynth.cameras import load_camera
from rawsynth.errors import UsageError
from rawsynth.methods import DEFAULT_METHOD
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.tiling import Tiling
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.metadata import RawMetadata
from rawsynth.transforms import AddNoise, ReverseISP
from tests.small_network import photographs, save_small_network

KEYS = ["a", "b", "c", "d"]
SONY = "Sony ILCE-7SM2"
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
STATED: dict[str, Any] = {"cam_from_srgb": MATRIX, "white_balance": [2.0, 1.75], "rgb_gain": 1.25, "cfa": "GBRG"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_small_network(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def to_raw(weights: str) -> ReverseISP:
    return ReverseISP(weights=weights, seed=0)


def test_it_is_the_default_and_needs_nothing() -> None:
    raw = ReverseISP()(photographs(2))
    assert raw.packed.shape == (2, 4, 24, 32) and set(raw.metadata.method) == {"rst_isp_net_small"}
    assert DEFAULT_METHOD == inspect.signature(ReverseISP).parameters["method"].default == "rst_isp_net_small"
    assert 0 <= raw.packed.min() and raw.packed.max() <= 1 and raw.packed.std() > 0.02


def test_parameters_name_a_camera_and_its_light(to_raw: ReverseISP) -> None:
    params = to_raw.make_params(4, keys=KEYS)
    assert len({entry["camera"] for entry in params}) > 1 and len({entry["cct"] for entry in params}) == 4
    for entry in params:
        assert json.loads(json.dumps(entry)) == entry
        matrix, gains = load_camera(entry["camera"]).color(entry["cct"])
        assert entry["cam_from_srgb"] == np.float32(matrix).tolist()
        assert entry["white_balance"] == np.float32(gains).tolist()
        assert (entry["rgb_gain"], entry["cfa"], entry["method"]) == (1.0, "RGGB", "rst_isp_net_small")


@pytest.mark.parametrize("name", STATED)
def test_a_stated_quantity_leaves_the_other_draws_alone(name: str, weights: str, to_raw: ReverseISP) -> None:
    stated = ReverseISP(weights=weights, seed=0, **{name: STATED[name]}).make_params(4, keys=KEYS)
    for one, other in zip(stated, to_raw.make_params(4, keys=KEYS), strict=True):
        assert one[name] == STATED[name]
        assert {field for field in one if one[field] != other[field]} == {name}


def test_a_colour_that_is_stated_whole_is_no_camera_s(weights: str) -> None:
    stated = ReverseISP(weights=weights, seed=0, **STATED).make_params(2, keys=KEYS[:2])
    assert [(entry["camera"], entry["cct"]) for entry in stated] == [(None, None)] * 2
    named = ReverseISP(weights=weights, seed=0, camera=SONY, cct=5000, **STATED).make_params(1, keys=["a"])[0]
    assert (named["camera"], named["cct"], named["white_balance"]) == (SONY, 5000, [2.0, 1.75])


def test_a_chosen_camera_decides_colour_and_layout(weights: str) -> None:
    to_raw = ReverseISP(weights=weights, camera="Canon EOS 5D Mark IV", cct=(3000, 4000), cfa="camera", seed=0)
    for entry in to_raw.make_params(4, keys=KEYS):
        assert entry["camera"] == "Canon EOS 5D Mark IV" and 3000 <= entry["cct"] <= 4000
        assert entry["cfa"] == load_camera(entry["camera"]).cfa
    with pytest.raises(UsageError, match="give camera="):
        ReverseISP(weights=weights, cfa="camera")


def test_keys_decide_and_json_replays(weights: str, to_raw: ReverseISP) -> None:
    srgb = photographs(4)
    params = to_raw.make_params(4, keys=KEYS, overrides={"cfa": list(BAYER_LAYOUTS)})
    first = to_raw.apply_params(srgb, params)
    again = ReverseISP(weights=weights).apply_params(srgb, json.loads(json.dumps(params)))
    assert torch.equal(first.packed, again.packed) and first.metadata.to_json() == again.metadata.to_json()
    for k, key in enumerate(KEYS):
        alone = to_raw(srgb[k], keys=[key], overrides={"cfa": BAYER_LAYOUTS[k]})
        assert (alone.packed - first.packed[k]).abs().max() < 1e-6
        assert alone.metadata.to_json() == first[k].metadata.to_json()


def test_without_a_seed_torch_decides(weights: str) -> None:
    to_raw = ReverseISP(weights=weights)
    torch.manual_seed(1)
    first = to_raw.make_params(3)
    assert to_raw.make_params(3) != first
    torch.manual_seed(1)
    assert to_raw.make_params(3) == first


def test_metadata_go_through_json(to_raw: ReverseISP) -> None:
    meta = to_raw(photographs(2), keys=KEYS[:2]).metadata
    entries = to_raw.make_params(2, keys=KEYS[:2])
    assert list(meta.camera) == [entry["camera"] for entry in entries]
    assert meta.cct is not None and meta.cct.tolist() == [entry["cct"] for entry in entries]
    assert RawMetadata.from_json(json.loads(json.dumps(meta.to_json()))).to_json() == meta.to_json()


def test_parameters_of_other_weights_are_refused(to_raw: ReverseISP) -> None:
    with pytest.raises(UsageError, match=r"rst_isp_net_small version 1\+.*; this is rst_isp_net_small version 1\+"):
        ReverseISP().apply_params(photographs(1), to_raw.make_params(1, keys=["a"]))


# ---- frames ----


def test_a_frame_gives_its_style_to_crops(to_raw: ReverseISP) -> None:
    frames, halo = photographs(2, 160, 240), to_raw.method.network.halo
    params = to_raw.make_params(2, keys=KEYS[:2])
    whole = to_raw.apply_params(frames, params).packed
    crops = frames[..., : 48 + halo, : 64 + halo]
    told = to_raw.apply_params(crops, params, frame=frames).packed[..., :24, :32]
    assert (told - whole[..., :24, :32]).abs().max() < 1e-5
    assert (to_raw(crops, keys=KEYS[:2]).packed[..., :24, :32] - told).abs().max() > 1e-3
    nested = to_raw(crops[None], keys=KEYS[:2], frame=frames[None] / 255.0)
    assert nested.packed.shape[:2] == (1, 2) and (nested.packed[0, ..., :24, :32] - told).abs().max() < 1e-5


def test_frames_mean_nothing_to_unprocess() -> None:
    to_raw = ReverseISP("unprocess", seed=0)
    srgb = photographs(2)
    assert torch.equal(to_raw(srgb, keys=["a", "b"], frame=255 - srgb).packed, to_raw(srgb, keys=["a", "b"]).packed)


@pytest.mark.parametrize(
    "frame",
    [torch.zeros(1, 3, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(3, 8, 8), torch.zeros(2, 3, 0, 8), "photo.jpg",
     torch.zeros(2, 3, 8, 8, dtype=torch.int32)],
    ids=["too few", "four channels", "no batch", "empty", "text", "int32"],
)  # fmt: skip
def test_wrong_frames_are_refused(frame: Any, to_raw: ReverseISP) -> None:
    with pytest.raises(UsageError, match=r"frame is sRGB like the images, \(2, 3\) by any height and width"):
        to_raw(photographs(2), keys=KEYS[:2], frame=frame)


# ---- styles ----


@pytest.fixture
def style(weights: str, tmp_path: Path) -> Path:
    method = RstIspNetSmall.create(weights)
    with torch.no_grad():
        read = method.network.encode_style(photographs(1) / 255.0)
    save_style(str(tmp_path / "mycam.safetensors"), FittedStyle(read, "fixed", method.digest, StyleCard()))
    return tmp_path / "mycam.safetensors"


def test_a_style_file_is_used_and_named_in_the_version(weights: str, style: Path, to_raw: ReverseISP) -> None:
    styled = ReverseISP(weights=weights, style=style, seed=0)
    entry = styled.make_params(1, keys=["a"])[0]
    assert entry["method_version"].startswith(f"{to_raw.method.version}+")
    first, second = photographs(2)
    assert torch.equal(styled(first, keys=["a"]).packed, to_raw(first, keys=["a"]).packed)
    assert (styled(second, keys=["a"]).packed - to_raw(second, keys=["a"]).packed).abs().max() > 1e-3
    with pytest.raises(UsageError, match="these parameters are for"):
        to_raw.apply_params(first, [entry])


def test_styles_that_cannot_be_used(weights: str, style: Path) -> None:
    for arguments, message in [
        ({"style": style}, "fitted for weights .*, these are .*rawsynth fit-style"),
        ({"method": "unprocess", "style": style}, "'unprocess' takes no style; leave style=None"),
        ({"method": RstIspNetSmall.create(weights), "style": style}, "has its style; leave style=None"),
        ({"weights": weights, "style": style.parent / "gone.safetensors"}, "gone.safetensors"),
        ({"weights": weights, "style": weights}, "no style"),
    ]:
        with pytest.raises(UsageError, match=message):
            ReverseISP(**arguments)


# ---- a module among others ----


def test_noise_goes_on_top(to_raw: ReverseISP) -> None:
    plain = nn.Sequential(ReverseISP(), AddNoise("heteroscedastic_gaussian", shot=0.0, read=1e-4))
    noisy = plain(photographs(2))
    assert noisy.metadata.noise is not None and noisy.metadata.method == ("rst_isp_net_small",) * 2
    assert "RstIspNetSmall" in repr(plain) and len(to_raw.state_dict()) == len(to_raw.method.network.state_dict())


@pytest.mark.parametrize("tiling", [Tiling(), Tiling(whole_pixels=1, tile=48)], ids=["whole", "tiled"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_nothing_waits_for_the_device(
    dtype: torch.dtype, tiling: Tiling, to_raw: ReverseISP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device has no values to wait for, and refuses operations with tensors of any other device."""
    # Both are unknown to that device.
    monkeypatch.setattr(torch, "autocast", lambda kind, **options: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *kind: False)
    to_raw.method.tiling = tiling
    params = to_raw.make_params(2, keys=KEYS[:2], overrides={"cfa": ["GRBG", "RGGB"]})
    srgb = torch.empty(2, 3, 62, 90, dtype=dtype, device="meta")
    raw = to_raw.apply_params(srgb, params, frame=torch.empty(2, 3, 128, 128, dtype=dtype, device="meta"))
    assert raw.packed.shape == (2, 4, 31, 45) and raw.packed.device.type == "meta"
