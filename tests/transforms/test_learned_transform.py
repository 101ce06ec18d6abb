"""ReverseISP with learned weights: the network's mosaic in any layout, what replays, what composes, what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rawsynth.errors import UsageError
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.tiling import Tiling
from rawsynth.methods.weights import ModelCard, save_weights
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import RawMetadata
from rawsynth.transforms import AddNoise, ReverseISP
from tests.torchvision_ops import import_v2

CONFIG = {"preset": "p20", "width": 2}
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
CARD = ModelCard(camera="Pinhole 1", cam_from_srgb=MATRIX, white_balance=[2.125, 1.5])
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def photos(count: int = 4, height: int = 96, width: int = 128) -> Tensor:
    """Pieces of real photographs, (count, 3, height, width) uint8."""
    pieces = []
    for k in range(count):
        pixels = torch.from_numpy(getattr(data, PHOTOGRAPHS[k % 4])()).permute(2, 0, 1)
        pieces.append(pixels[:, 30 + 8 * k : 30 + 8 * k + height, 120 : 120 + width])
    return torch.stack(pieces)


@cache
def state(seed: int = 0) -> dict[str, Tensor]:
    """Weights of a narrow network whose RAW of photographs stays between black and white, but for what is under it."""
    torch.manual_seed(seed)
    network = RstIspNet.build(CONFIG)
    with torch.no_grad():
        network.tail.weight.mul_(0.3 / network(photos() / 255.0).std())
    return network.state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pinhole.safetensors"
    save_weights(str(path), "rst_isp_net", CONFIG, state(), CARD)
    return path


@pytest.fixture
def to_raw(weights: Path) -> ReverseISP:
    return ReverseISP("rst_isp_net", str(weights))


def interleave(packed: np.ndarray) -> np.ndarray:
    """(4, h, w) planes in reading order to the (2h, 2w) mosaic."""
    mosaic = np.empty((2 * packed.shape[1], 2 * packed.shape[2]), packed.dtype)
    for plane in range(4):
        mosaic[plane // 2 :: 2, plane % 2 :: 2] = packed[plane]
    return mosaic


def test_the_weights_used_here_tell_results_apart(to_raw: ReverseISP) -> None:
    packed = to_raw(photos()).packed
    assert packed.std() > 0.05 and ((packed > 0) & (packed < 1)).float().mean() > 0.3


# ---- images ----

CASTS: dict[torch.dtype, float] = {
    torch.float32: 1e-6,
    torch.float64: 1e-6,
    torch.float16: 0.01,  # the image itself is rounded, by up to 2.4e-4
    torch.bfloat16: 0.04,
}


@pytest.mark.parametrize("dtype", CASTS, ids=str)
def test_types_agree(dtype: torch.dtype, to_raw: ReverseISP) -> None:
    srgb = photos()
    exact = to_raw(srgb)
    result = to_raw((srgb.double() / 255.0).to(dtype))
    assert result.packed.dtype == exact.packed.dtype == torch.float32
    assert (result.packed - exact.packed).abs().max() < CASTS[dtype]


@pytest.mark.parametrize("lead", [(), (1,), (4,), (2, 2), (4, 1), (1, 2, 2)], ids=str)
def test_any_leading_shape(lead: tuple[int, ...], to_raw: ReverseISP) -> None:
    srgb = photos()
    flat = to_raw(srgb).packed
    count = int(np.prod(lead))
    raw = to_raw(srgb[:count].reshape(*lead, 3, 96, 128))
    assert raw.packed.shape == (*lead, 4, 48, 64) and raw.metadata.shape == lead
    assert (raw.packed.reshape(count, 4, 48, 64) - flat[:count]).abs().max() < 1e-5


def test_values_lie_between_black_and_white(to_raw: ReverseISP) -> None:
    for srgb in (photos(), torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), torch.rand(2, 3, 34, 34) * 2 - 0.4):
        packed = to_raw(srgb).packed
        assert packed.min() >= 0 and packed.max() <= 1 and bool(packed.isfinite().all())


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(BAYER_LAYOUTS))
def test_any_even_size_in_any_layout(half_height: int, half_width: int, cfa: str) -> None:
    method = cached_method()
    srgb = photos(2, 2 * half_height, 2 * half_width)
    raw = ReverseISP(method, cfa=cfa)(srgb)
    assert raw.packed.shape == (2, 4, half_height, half_width) and raw.metadata.cfa == (cfa, cfa)
    assert bool(raw.packed.isfinite().all())


@cache
def cached_method() -> RstIspNet:
    network = RstIspNet.build(CONFIG)
    network.load_state_dict(state())
    return RstIspNet(network, CONFIG, CARD, "0" * 64)


@pytest.mark.parametrize("how", ["strided", "channels last", "transposed", "expanded", "reversed"])
def test_images_that_lie_otherwise_in_memory(how: str, to_raw: ReverseISP) -> None:
    srgb = photos()
    views = {
        "strided": lambda: torch.stack([srgb, srgb], dim=-1)[..., 0],
        "channels last": lambda: srgb.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        "transposed": lambda: srgb.transpose(-1, -2).contiguous().transpose(-1, -2),
        "expanded": lambda: srgb[:1].expand(4, -1, -1, -1),
        "reversed": lambda: srgb.flip(0).contiguous().flip(0),
    }
    laid = views[how]()
    wanted = to_raw(laid.contiguous()).packed
    assert (to_raw(laid).packed - wanted).abs().max() < 1e-5


def test_a_batch_is_its_images(to_raw: ReverseISP) -> None:
    srgb = photos()
    together = to_raw(srgb)
    for k in range(4):
        alone = to_raw(srgb[k])
        assert (alone.packed - together.packed[k]).abs().max() < 1e-5
        assert alone.metadata.to_json() == together[k].metadata.to_json()


def test_images_of_a_batch_know_nothing_of_each_other(to_raw: ReverseISP) -> None:
    """Gram matrices and means are an image's own; a broken neighbour leaves no mark."""
    srgb = photos() / 255.0
    wanted = to_raw(srgb).packed
    srgb[2] = float("nan")
    result = to_raw(srgb).packed
    assert bool(result[2].isnan().any())
    assert (result[[0, 1, 3]] - wanted[[0, 1, 3]]).abs().max() < 1e-5


def test_what_it_is_given_stays_as_it_is(to_raw: ReverseISP) -> None:
    srgb = photos() / 255.0
    params = to_raw.make_params(4)
    before = (srgb.clone(), copy.deepcopy(params), {n: t.clone() for n, t in to_raw.state_dict().items()})
    raw = to_raw.apply_params(srgb.requires_grad_(), params)
    assert torch.equal(srgb, before[0]) and params == before[1]
    assert all(torch.equal(tensor, before[2][name]) for name, tensor in to_raw.state_dict().items())
    assert not raw.packed.requires_grad and raw.packed.grad_fn is None


def test_grad_modes_give_one_result(to_raw: ReverseISP) -> None:
    wanted = to_raw(photos()).packed
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            assert torch.equal(to_raw(photos()).packed, wanted)
    assert torch.equal(to_raw(photos()).packed, wanted)  # weights that inference mode touched stay usable


# ---- layouts ----


class Sampler(StyledNetwork):
    """Network that samples the image at RGGB sites: what a camera with perfect filters would give."""

    halo, stride = 16, 16

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        return height + -height % 16, width + -width % 16

    def _encode(self, padded: Tensor, style: Any) -> tuple[Tensor, Any]:
        return padded * self.gain, ()

    def _decode(self, features: Tensor) -> Tensor:
        return torch.stack([features[:, c, k // 2 :: 2, k % 2 :: 2] for k, c in enumerate((0, 1, 1, 2))], dim=1)


class SamplerMethod(LearnedMethod):
    name = "sampler"
    presets = {}
    network_class = Sampler


@pytest.mark.parametrize("tiling", [Tiling(), Tiling(whole_pixels=1, tile=16, thumbnail=8)], ids=["whole", "tiled"])
@pytest.mark.parametrize("size", [(2, 2), (2, 40), (46, 2), (30, 62), (64, 48)], ids=str)
@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_every_site_gets_its_own_colour_of_its_own_pixel(cfa: str, size: tuple[int, int], tiling: Tiling) -> None:
    method = SamplerMethod(Sampler(), {}, CARD, "0" * 64)
    method.tiling = tiling
    srgb = photos(2, *size)
    packed = ReverseISP(method, cfa=cfa)(srgb).packed.numpy()
    for image, planes in zip(srgb.numpy(), packed, strict=True):
        for k, color in enumerate(cfa):
            wanted = image["RGB".index(color), k // 2 :: 2, k % 2 :: 2] / np.float32(255)
            np.testing.assert_array_equal(planes[k], wanted)


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_another_layout_is_the_networks_mosaic_of_the_moved_image(cfa: str, weights: Path) -> None:
    """Moved by hand: the mirrored image is one row or column larger on each side, the mosaic loses them again."""
    to_raw = ReverseISP("rst_isp_net", str(weights), cfa=cfa)
    at = cfa.index("R")
    row, column = at // 2, at % 2
    for image in photos(height=62, width=90):
        moved = np.pad(image.numpy() / np.float32(255), ((0, 0), (row, row), (column, column)), mode="reflect")
        with torch.no_grad():
            rggb = to_raw.method.network(torch.from_numpy(moved)[None])[0].clamp(0, 1).numpy()
        mosaic = interleave(rggb)[row : row + 62, column : column + 90]
        np.testing.assert_allclose(interleave(to_raw(image).packed.numpy()), mosaic, atol=1e-5)


def test_layouts_mixed_in_a_batch(to_raw: ReverseISP, weights: Path) -> None:
    srgb = photos()
    layouts = ["BGGR", "RGGB", "GBRG", "GRBG"]
    mixed = to_raw(srgb, overrides={"cfa": layouts})
    assert mixed.metadata.cfa == tuple(layouts)
    for k, cfa in enumerate(layouts):
        alone = ReverseISP("rst_isp_net", str(weights), cfa=cfa)(srgb[k])
        assert (mixed.packed[k] - alone.packed).abs().max() < 1e-5
        others = [to_raw(srgb[k], overrides={"cfa": other}).packed for other in BAYER_LAYOUTS if other != cfa]
        assert all((mixed.packed[k] - other).abs().max() > 1e-2 for other in others)


# ---- parameters ----


def test_parameters_are_the_cards_and_ready_for_json(to_raw: ReverseISP) -> None:
    for params in to_raw.make_params(3):
        assert json.loads(json.dumps(params)) == params
        assert params == {
            "method": "rst_isp_net", "method_version": to_raw.method.version, "camera": "Pinhole 1", "cct": None,
            "cfa": "RGGB", "cam_from_srgb": MATRIX, "white_balance": [2.125, 1.5], "rgb_gain": 1.0,
        }  # fmt: skip


def test_replay_from_json_is_bit_equal(to_raw: ReverseISP, weights: Path) -> None:
    params = to_raw.make_params(4, overrides={"cfa": list(BAYER_LAYOUTS)})
    first = to_raw.apply_params(photos(), params)
    again = ReverseISP("rst_isp_net", weights).apply_params(photos(), json.loads(json.dumps(params)))
    assert torch.equal(first.packed, again.packed)
    assert first.metadata.to_json() == again.metadata.to_json()


def test_nothing_is_random(weights: Path) -> None:
    srgb = photos()
    torch.manual_seed(1)
    free, seeded = ReverseISP("rst_isp_net", weights), ReverseISP("rst_isp_net", weights, seed=7)
    assert free.make_params(2) == seeded.make_params(2, keys=["a", "b"]) == seeded.make_params(2, keys=["c", "c"])
    state_before = torch.get_rng_state()
    wanted = seeded(srgb, keys=list("abcd")).packed
    assert torch.equal(seeded(srgb, keys=list("wxyz")).packed, wanted) and torch.equal(free(srgb).packed, wanted)
    torch.set_rng_state(state_before)
    seeded(srgb, keys=list("abcd"))
    assert torch.equal(torch.get_rng_state(), state_before)


@pytest.mark.parametrize(
    "change",
    [{"tensors": 1}, {"config": {**CONFIG, "epsilon": 0.0}}],
    ids=["other tensors", "other epsilon"],
)
def test_parameters_of_other_weights_are_refused(change: dict[str, Any], to_raw: ReverseISP, tmp_path: Path) -> None:
    path = str(tmp_path / "other.safetensors")
    tensors = state(1) if "tensors" in change else state()
    save_weights(path, "rst_isp_net", change.get("config", CONFIG), tensors, CARD)
    other = ReverseISP("rst_isp_net", path)
    assert other.method.version != to_raw.method.version
    made, this = (f"rst_isp_net version {one.method.version}" for one in (to_raw, other))
    with pytest.raises(UsageError, match=re.escape(f"these parameters are for {made}; this is {this}")):
        other.apply_params(photos(1), to_raw.make_params(1))
    with pytest.raises(UsageError, match="rst_isp_net.*; this is unprocess"):
        ReverseISP("unprocess").apply_params(photos(1), to_raw.make_params(1))


def test_moved_weights_replay(to_raw: ReverseISP, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "moved.safetensors").write_bytes(weights.read_bytes())
    moved = ReverseISP("rst_isp_net", tmp_path / "moved.safetensors")
    assert torch.equal(moved.apply_params(photos(), to_raw.make_params(4)).packed, to_raw(photos()).packed)


@pytest.mark.parametrize("cfa", ["RGBG", "camera", "", None])
def test_edited_layouts_are_refused(cfa: Any, to_raw: ReverseISP) -> None:
    params = to_raw.make_params(2)
    params[1]["cfa"] = cfa
    with pytest.raises(UsageError, match="CFA layout"):
        to_raw.apply_params(photos(2), params)


FIXED: dict[str, Any] = {
    "camera": "Sony ILCE-7SM2", "cam_from_srgb": MATRIX, "white_balance": (2.0, 1.5), "rgb_gain": 1.25,
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_colour_and_exposure_are_those_of_the_weights(name: str, weights: Path, to_raw: ReverseISP) -> None:
    with pytest.raises(UsageError, match=f"weights were trained on; {name} cannot be chosen"):
        ReverseISP("rst_isp_net", weights, **{name: FIXED[name]})
    for call in (to_raw, lambda x, overrides: to_raw.make_params(2, overrides=overrides)):
        with pytest.raises(UsageError, match=f"weights were trained on; {name} cannot be chosen"):
            call(photos(2), overrides={name: FIXED[name]})


def test_other_wrong_arguments(weights: Path) -> None:
    for values, message in [
        ({}, "needs weights"),
        ({"weights": weights, "cfa": "camera"}, 'give a layout like "RGGB"'),
        ({"weights": weights, "cfa": "XYZW"}, "Choose from: BGGR"),
        ({"weights": "none.safetensors"}, "none.safetensors"),
    ]:
        with pytest.raises(UsageError, match=message):
            ReverseISP("rst_isp_net", **values)  # type: ignore[arg-type]
    method = RstIspNet.create(weights)
    with pytest.raises(UsageError, match="leave weights=None"):
        ReverseISP(method, weights)


@pytest.mark.parametrize(
    "srgb", [torch.zeros(3, 31, 32), torch.zeros(1, 32, 32), torch.zeros(3, 4, 4, dtype=torch.int16), None], ids=str
)
def test_wrong_images_are_refused(srgb: Any, to_raw: ReverseISP) -> None:
    with pytest.raises(UsageError):
        to_raw(srgb)


# ---- metadata, noise ----


def test_metadata_are_the_cards(to_raw: ReverseISP) -> None:
    meta = to_raw(photos(2), overrides={"cfa": ["GRBG", "RGGB"]}).metadata
    assert meta.camera == ("Pinhole 1",) * 2 and meta.method == ("rst_isp_net",) * 2 and meta.cfa == ("GRBG", "RGGB")
    assert meta.cam_from_srgb.tolist() == [MATRIX] * 2 and meta.white_balance.tolist() == [[2.125, 1.5]] * 2
    assert meta.rgb_gain.tolist() == [1.0, 1.0]
    back = RawMetadata.from_json(json.loads(json.dumps(meta.to_json())))
    assert back.to_json() == meta.to_json()


def test_without_a_camera_on_the_card(tmp_path: Path) -> None:
    path = str(tmp_path / "net.safetensors")
    save_weights(path, "rst_isp_net", CONFIG, state(), ModelCard())
    one = ReverseISP("rst_isp_net", path)(photos(1)[0]).metadata.to_json()
    assert (one["camera"], one["white_balance"], one["cam_from_srgb"]) == (None, [1, 1], np.eye(3).tolist())


def test_noise_goes_on_top(to_raw: ReverseISP) -> None:
    clean = to_raw(photos())
    noisy = nn.Sequential(to_raw, AddNoise("heteroscedastic_gaussian", shot=0.0, read=1e-4))(photos())
    assert isinstance(noisy, RawImage) and noisy.metadata.method == clean.metadata.method
    difference = noisy.packed - clean.packed
    assert abs(difference.std() / 0.01 - 1) < 0.02 and abs(difference.mean()) < 1e-3


# ---- a module among others ----


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_do_the_same(clone: Callable[[ReverseISP], ReverseISP], to_raw: ReverseISP) -> None:
    other = clone(to_raw)
    assert other.make_params(1) == to_raw.make_params(1)
    assert torch.equal(other(photos()).packed, to_raw(photos()).packed)


def test_workers_of_a_data_loader(to_raw: ReverseISP) -> None:
    """Started afresh, as on Windows, macOS and with CUDA: the transform is pickled to them."""
    loader = DataLoader(
        list(photos()), batch_size=None, collate_fn=to_raw, num_workers=1, multiprocessing_context="spawn"
    )
    made = list(loader)
    wanted = to_raw(photos())
    assert len(made) == 4
    for k, raw in enumerate(made):
        assert (raw.packed - wanted.packed[k]).abs().max() < 1e-5
        assert raw.metadata.to_json() == wanted[k].metadata.to_json()


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casting_a_model_around_it_keeps_the_precision(cast: str, to_raw: ReverseISP) -> None:
    wanted = to_raw(photos())
    model = getattr(nn.Sequential(to_raw, AddNoise()), cast)()
    result = model[0](photos())
    assert result.packed.dtype == torch.float32 and torch.equal(result.packed, wanted.packed)
    assert result.metadata.method_version == wanted.metadata.method_version
    assert {tensor.dtype for tensor in to_raw.to("cpu").state_dict().values()} == {torch.float32}


def test_state_dicts_go_from_one_to_the_other(to_raw: ReverseISP) -> None:
    assert len(to_raw.state_dict()) == len(state())
    fresh = ReverseISP(RstIspNet(RstIspNet.build(CONFIG), CONFIG, CARD, to_raw.method.version))
    fresh.load_state_dict(to_raw.state_dict())
    assert torch.equal(fresh(photos()).packed, to_raw(photos()).packed)


def test_the_repr_shows_what_is_fixed(weights: Path) -> None:
    shown = repr(ReverseISP("rst_isp_net", weights, cfa="GRBG", seed=7))
    assert "cfa='GRBG', seed=7" in shown and "RstIspNet" in shown


# ---- precision, devices, size ----


CLOSE = [(torch.bfloat16, 2e-3, 0.05), (torch.float16, 2e-4, 5e-3)]


@pytest.mark.parametrize(("dtype", "mean", "most"), CLOSE, ids=str)
def test_autocast_stays_close(dtype: torch.dtype, mean: float, most: float, to_raw: ReverseISP) -> None:
    """Statistics are float32 in any case; what is left is the rounding of activations."""
    exact = to_raw(photos())
    with torch.autocast("cpu", dtype):
        rounded = to_raw(photos())
    assert rounded.packed.dtype == torch.float32 and rounded.metadata.to_json() == exact.metadata.to_json()
    off = (rounded.packed - exact.packed).abs()
    assert 0 < off.mean() < mean and off.flatten().kthvalue(int(0.999 * off.numel())).values < most


@pytest.mark.parametrize(
    ("dtype", "tiling"),
    [(torch.uint8, Tiling()), (torch.float32, Tiling(whole_pixels=1, tile=48, thumbnail=64))],
    ids=["whole", "tiled"],
)
def test_nothing_waits_for_the_device(
    dtype: torch.dtype, tiling: Tiling, to_raw: ReverseISP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device has no values to wait for, and refuses operations with tensors of any other device."""
    monkeypatch.setattr(torch, "autocast", lambda kind, **options: nullcontext())  # unknown to that device
    to_raw.method.tiling = tiling
    params = to_raw.make_params(4, overrides={"cfa": list(BAYER_LAYOUTS)})
    raw = to_raw.apply_params(torch.empty(4, 3, 62, 90, dtype=dtype, device="meta"), params)
    assert raw.packed.shape == (4, 4, 31, 45) and raw.packed.device.type == "meta"
    assert raw.metadata.white_balance.device.type == raw.metadata.cam_from_srgb.device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        raw.packed.sum().item()


def test_large_images_are_tiled_with_the_style_of_the_frame(to_raw: ReverseISP) -> None:
    frame = photos(1, 200, 300)
    whole = to_raw(frame).packed
    to_raw.method.tiling = Tiling(whole_pixels=1 << 15, tile=64, thumbnail=300)
    assert (to_raw(frame).packed - whole).abs().max() < 1e-4  # its thumbnail is the frame itself
    to_raw.method.tiling = Tiling(whole_pixels=1 << 15, tile=64, thumbnail=64)
    assert 1e-4 < (to_raw(frame).packed - whole).abs().mean() < 0.1


@pytest.fixture(scope="module")
def v2() -> ModuleType:
    return import_v2()


def test_in_a_compose_of_torchvision(v2: ModuleType, to_raw: ReverseISP) -> None:
    composed = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.CenterCrop((64, 96)), to_raw, AddNoise()])
    batch, image = photos(), v2.functional.to_image(photos()[0])
    cut = photos().flip(-1)[..., 16:80, 16:112]
    clean = v2.Compose(composed.transforms[:3])
    assert (clean(batch).packed - to_raw(cut).packed).abs().max() < 1e-6
    one = clean(image)
    assert type(one.packed) is Tensor and (one.packed - to_raw(cut[0]).packed).abs().max() < 1e-5
    assert composed(batch).metadata.noise[3].model == "poisson_gaussian"
    assert "RstIspNet" in repr(composed)


@pytest.mark.slow
def test_compiled_kernels(weights: Path, to_raw: ReverseISP) -> None:
    """With the real compiler, and as it is: one size, then another in another layout."""
    torch._dynamo.reset()
    compiled = ReverseISP("rst_isp_net", weights).compile_kernels()
    for srgb, cfa in ((photos(2), "RGGB"), (photos(3, 62, 90), "GBRG")):
        wanted = to_raw(srgb, overrides={"cfa": cfa})
        result = compiled(srgb, overrides={"cfa": cfa})
        assert (result.packed - wanted.packed).abs().max() < 1e-4
        assert result.metadata.to_json() == wanted.metadata.to_json()
    torch._dynamo.reset()
