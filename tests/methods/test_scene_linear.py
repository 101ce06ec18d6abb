"""Scene-linear methods: the physics of the sensor, tiles that equal the frame, styles, weights that do not fit."""

from __future__ import annotations

import copy
import pickle
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rawsynth.cameras import load_camera
from rawsynth.cameras.choosing import cameras_with
from rawsynth.errors import UsageError
from rawsynth.methods import DEFAULT_METHOD, METHODS
from rawsynth.methods.local_residual import split_sites
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.scene_linear import sample_sensor, sensor_sites
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.tiling import Tiling, apply_tiled
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.seeding import scalar_rng
from tests.small_network import CARD, CONFIG, photographs, save_small_network, state

MATRIX = [[0.75, 0.25, 0.0], [-0.125, 1.0, 0.125], [0.0, -0.25, 1.25]]
CAMERA: dict[str, Any] = {"cam_from_srgb": MATRIX, "white_balance": [2.0, 1.5], "rgb_gain": 1.25, "cfa": "RGGB"}


@pytest.fixture
def method(tmp_path: Path) -> RstIspNetSmall:
    return RstIspNetSmall.create(save_small_network(tmp_path))


@pytest.fixture(scope="module")
def packaged() -> RstIspNetSmall:
    return RstIspNetSmall.create()


def run(method: RstIspNetSmall, srgb: Tensor, **changes: Any) -> Tensor:
    frame = changes.pop("frame", None)
    tensors = method.tensors([{**CAMERA, **changes}] * len(srgb), srgb.device)
    with torch.no_grad():
        return method(srgb, tensors if frame is None else {**tensors, "frame": frame})


def frame_of(height: int = 200, width: int = 300) -> Tensor:
    """Piece of a real photograph, (1, 3, height, width) uint8."""
    return torch.from_numpy(data.astronaut())[100 : 100 + height, 60 : 60 + width].permute(2, 0, 1)[None].contiguous()


# ---- physics ----


def exposed(linear: np.ndarray, camera: dict[str, Any]) -> np.ndarray:
    """The sensor in float64, all three colours at every pixel: (3, H, W) scene-linear to (4, H/2, W/2)."""
    red, blue = camera["white_balance"]
    seen = np.einsum("ij,jhw->ihw", np.array(camera["cam_from_srgb"]), linear / camera["rgb_gain"])
    raw = np.clip(seen / np.array([red, 1.0, blue])[:, None, None], 0.0, 1.0)
    channels = [["RGB".index(color) for color in camera["cfa"][row : row + 2]] for row in (0, 2)]
    planes = [raw[channels[k // 2][k % 2], k // 2 :: 2, k % 2 :: 2] for k in range(4)]
    return np.stack(planes)


POSITIVE = st.floats(0.25, 4.0)


@settings(max_examples=50)
@given(
    st.sampled_from(BAYER_LAYOUTS),
    st.tuples(POSITIVE, POSITIVE),
    POSITIVE,
    st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6),
    st.integers(0, 2**31),
)
def test_the_sensor_is_its_formula(
    cfa: str, gains: tuple[float, float], exposure: float, off: list[float], seed: int
) -> None:
    matrix = np.array([[0, off[0], off[1]], [off[2], 0, off[3]], [off[4], off[5], 0]])
    matrix += np.diag(1 - matrix.sum(axis=1))
    camera = {"cam_from_srgb": matrix.tolist(), "white_balance": list(gains), "rgb_gain": exposure, "cfa": cfa}
    linear = np.random.default_rng(seed).uniform(0, 3, (2, 3, 6, 8)).astype(np.float32)
    packed = sample_sensor(split_sites(torch.from_numpy(linear)), sensor_sites([camera, CAMERA]))
    assert packed.dtype == torch.float32
    for image, planes, law in zip(linear.astype(np.float64), packed.numpy(), (camera, CAMERA), strict=True):
        np.testing.assert_allclose(planes, exposed(image, law), atol=2e-6)


def test_green_saturates_at_one_and_red_and_blue_at_their_gains() -> None:
    camera = {**CAMERA, "cam_from_srgb": np.eye(3).tolist(), "rgb_gain": 1.0}
    for level, wanted in [(1.0, [0.5, 1, 1, 2 / 3]), (1.5, [0.75, 1, 1, 1]), (2.0, [1] * 4), (9.0, [1] * 4)]:
        grey = torch.full((1, 3, 4, 1, 1), level)
        assert sample_sensor(grey, sensor_sites([camera])).flatten().tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_the_method_is_its_network_and_the_sensor(cfa: str, method: RstIspNetSmall) -> None:
    srgb = photographs(3, 46, 62)
    with torch.no_grad():
        linear = method.network(srgb / 255.0).double().numpy()
    assert linear.std() > 0.05
    packed = run(method, srgb, cfa=cfa).numpy()
    assert packed.shape == (3, 4, 23, 31) and packed.dtype == np.float32
    for planes, image in zip(packed, linear, strict=True):
        np.testing.assert_allclose(planes, exposed(image, {**CAMERA, "cfa": cfa}), atol=1e-5)


def test_each_image_of_a_batch_has_its_own_camera(method: RstIspNetSmall) -> None:
    srgb = photographs(2)
    cameras = [CAMERA, {"cam_from_srgb": np.eye(3).tolist(), "white_balance": [1, 3], "rgb_gain": 2, "cfa": "GBRG"}]
    together = method(srgb, method.tensors(cameras, srgb.device))
    for k, camera in enumerate(cameras):
        assert (together[k] - run(method, srgb[k : k + 1], **camera)[0]).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
def test_float_is_uint8(dtype: torch.dtype, method: RstIspNetSmall) -> None:
    srgb = photographs(2)
    tolerance = 0.02 if dtype == torch.float16 else 1e-5
    assert (run(method, (srgb.double() / 255.0).to(dtype)) - run(method, srgb)).abs().max() < tolerance


def test_a_batch_is_its_images(packaged: RstIspNetSmall) -> None:
    srgb = photographs(4)
    together = run(packaged, srgb)
    for k in range(4):
        assert (run(packaged, srgb[k : k + 1])[0] - together[k]).abs().max() < 1e-6


# ---- frames and tiles ----

# Inner parts that end within the stride, at it, and one pixel pair beyond it; tiles smaller and larger than the halo.
FRAMES = [((200, 300), 64), ((202, 258), 64), ((200, 262), 96), ((130, 66), 16), ((258, 300), 128)]


@pytest.mark.parametrize(("size", "tile"), FRAMES, ids=str)
def test_tiles_are_the_frame(size: tuple[int, int], tile: int, method: RstIspNetSmall) -> None:
    frame = frame_of(*size)
    whole = run(method, frame)
    method.tiling = Tiling(whole_pixels=1, tile=tile)
    with Sides() as sides:
        tiled = run(method, frame)
    assert sides.longest <= (tile + 2 * method.network.halo + method.network.stride) // 2
    assert (tiled - whole).abs().max() < 1e-5 and whole.std() > 0.05


def test_a_halo_that_is_too_small_would_show(method: RstIspNetSmall) -> None:
    frame = frame_of()
    whole = run(method, frame)
    method.tiling = Tiling(whole_pixels=1, tile=64)
    method.network.halo = 8
    assert (run(method, frame) - whole).abs().max() > 1e-4


def test_tiles_of_packaged_weights_are_the_frame(packaged: RstIspNetSmall) -> None:
    frame = frame_of(250, 330)
    whole = run(packaged, frame)
    tiled = copy.deepcopy(packaged)
    tiled.tiling = Tiling(whole_pixels=1, tile=112)
    assert (run(tiled, frame) - whole).abs().max() < 1e-4


def test_tiles_of_linear_light_by_hand(method: RstIspNetSmall) -> None:
    """At full resolution, as a user's own code would do it; the frame's sides are odd."""
    frame = frame_of(201, 299) / 255.0
    network = method.network
    with torch.no_grad():
        style = network.encode_style(frame)
        whole = network.decode(frame, style)
        for halo in (network.halo, network.halo + network.stride):
            tiled = apply_tiled(lambda tile: network.decode(tile, style), frame, tile=80, halo=halo, shrink=1)
            assert tiled.shape == frame.shape and (tiled - whole).abs().max() < 1e-5
        by_hand = network.decode(frame[..., : 96 + network.halo, : 104 + network.halo], style)[..., :96, :104]
    assert (by_hand - whole[..., :96, :104]).abs().max() < 1e-5


def test_a_batch_of_large_images_is_its_images(method: RstIspNetSmall) -> None:
    frames = torch.cat([frame_of(120, 160), frame_of(120, 160).flip(-1), 255 - frame_of(120, 160)])
    whole = run(method, frames)
    method.tiling = Tiling(whole_pixels=1, tile=64)
    assert (run(method, frames) - whole).abs().max() < 1e-5


class Sides(TorchDispatchMode):
    """Records the longest side of what convolutions give."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.longest = max(self.longest, *result.shape[-2:])
        return result


_HUNDRED_MPX = """
import resource, torch
torch.set_num_threads(1)
from rawsynth import ReverseISP
to_raw, small = ReverseISP(seed=0), torch.zeros(1, 3, 1500, 1500, dtype=torch.uint8)
params = to_raw.make_params(1, keys=["a"])
to_raw.apply_params(small, params)
frame = torch.randint(0, 256, (1, 3, 8000, 12000), dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
raw = to_raw.apply_params(frame, params).packed
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, raw.numel() * 4 // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in other units elsewhere")
def test_a_hundred_megapixels_take_little_more_than_their_raw() -> None:
    done = subprocess.run([sys.executable, "-c", _HUNDRED_MPX], capture_output=True, text=True, check=True)
    before_kib, peak_kib, raw_kib = map(int, done.stdout.split())
    assert resource.getpagesize() and peak_kib - before_kib < raw_kib + 600_000


def test_the_style_is_that_of_the_frame(method: RstIspNetSmall) -> None:
    """Crops of one photograph fit together if they are told the photograph, and else they do not."""
    frame = frame_of(256, 320)
    with torch.no_grad():
        whole = run(method, frame)
    halo = method.network.halo
    crop = frame[..., : 64 + halo, : 96 + halo]
    told, alone = (run(method, crop, frame=told)[..., :32, :48] for told in (frame, None))
    assert (told - whole[..., :32, :48]).abs().max() < 1e-5
    assert (alone - whole[..., :32, :48]).abs().max() > 1e-3
    assert torch.equal(run(method, crop, frame=frame / 255.0)[..., :32, :48], told)


# ---- fitted styles ----


def fitted(method: RstIspNetSmall, frame: Tensor, **changes: Any) -> FittedStyle:
    values = {"exposure": "fixed", "weights_digest": method.digest, "card": StyleCard(), **changes}
    with torch.no_grad():
        return FittedStyle(method.network.encode_style(frame / 255.0), **values)


def test_a_fitted_style_stands_in_for_the_frames(tmp_path: Path) -> None:
    weights = save_small_network(tmp_path)
    plain = RstIspNetSmall.create(weights)
    coffee, others = photographs(2)[1:], photographs(4)
    url = str(tmp_path / "mycam.safetensors")
    digest = save_style(url, fitted(plain, coffee))
    styled = RstIspNetSmall.create(weights, style=url)
    assert styled.version == f"{plain.version}+{digest[:12]}"
    wanted = run(plain, others, frame=coffee.expand(4, -1, -1, -1))
    assert (run(styled, others) - wanted).abs().max() < 1e-6
    assert (run(styled, others, frame=others) - wanted).abs().max() < 1e-6
    assert (run(plain, others) - wanted).abs().amax(dim=(1, 2, 3))[[0, 2, 3]].min() > 1e-3
    styled.tiling = Tiling(whole_pixels=1, tile=16)
    assert (run(styled, others) - wanted).abs().max() < 1e-5


def test_a_style_may_leave_exposure_to_the_frame(tmp_path: Path, method: RstIspNetSmall) -> None:
    style = fitted(method, photographs(1), exposure="frame")
    styled = RstIspNetSmall.create(save_small_network(tmp_path))
    styled.use_style(style)
    with torch.no_grad():
        bright, dark = (style.for_frame(method.network, photographs(1) / factor).numbers for factor in (255.0, 700.0))
        wanted = method.network.decode(photographs(1) / 700.0, style.for_frame(method.network, photographs(1) / 700.0))
    assert bright[0, 0] != dark[0, 0]
    packed = run(styled, photographs(1) / 700.0)
    np.testing.assert_allclose(packed[0].numpy(), exposed(wanted[0].double().numpy(), CAMERA), atol=1e-5)


def test_a_style_of_other_weights_is_refused(tmp_path: Path, method: RstIspNetSmall) -> None:
    url = str(tmp_path / "mycam.safetensors")
    save_style(url, fitted(method, photographs(1), weights_digest="f" * 64))
    message = f"{url}: fitted for weights {'f' * 12}, these are {method.digest[:12]}; give the weights"
    with pytest.raises(UsageError, match=re.escape(message)):
        RstIspNetSmall.create(save_small_network(tmp_path), style=url)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"rst_isp_net_small"}))
def test_other_methods_take_no_style(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"method '{name}' takes no style; leave style=None, or use rst_isp_net_small"):
        METHODS[name].create(None, style=tmp_path / "mycam.safetensors")


def test_what_is_no_style_file_is_refused(tmp_path: Path) -> None:
    weights = save_small_network(tmp_path)
    with pytest.raises(UsageError, match="no style"):
        RstIspNetSmall.create(weights, style=weights)
    with pytest.raises(UsageError, match=r"missing\.safetensors"):
        RstIspNetSmall.create(weights, style=tmp_path / "missing.safetensors")


# ---- weights ----


def test_weights_come_with_the_package(packaged: RstIspNetSmall, tmp_path: Path) -> None:
    assert METHODS[DEFAULT_METHOD] is RstIspNetSmall
    by_name = RstIspNetSmall.create("rst_isp_net_small")
    packaged.save(str(tmp_path / "again.safetensors"))
    again = RstIspNetSmall.create(tmp_path / "again.safetensors")
    assert packaged.version == by_name.version == again.version
    assert re.fullmatch(r"1\+[0-9a-f]{12}", packaged.version)
    assert sum(parameter.numel() for parameter in packaged.parameters()) <= 3_500_000
    assert (tmp_path / "again.safetensors").stat().st_size <= 16_000_000


def test_they_make_raw_that_looks_like_the_light(packaged: RstIspNetSmall) -> None:
    """Against plain sRGB decoding (IEC 61966-2-1), up to exposure: the same scene, nearly in proportion."""
    srgb = photographs(4, 96, 128)
    encoded = srgb.double().numpy() / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    green = light[:, 1, ::2, 1::2]
    for image, planes in zip(green, run(packaged, srgb, cam_from_srgb=np.eye(3).tolist(), rgb_gain=1), strict=True):
        assert np.corrcoef(image.ravel(), planes[1].numpy().ravel())[0, 1] > 0.95


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architecture": "rst_isp_net"}, "weights of 'rst_isp_net', not of 'rst_isp_net_small'"),
    "wider": ({"config": {**CONFIG, "hidden": 9}}, r"has shape \("),
    "shallower": ({"config": {**CONFIG, "local": False}}, "unknown, such as 'locally"),
    "unknown option": ({"config": {**CONFIG, "wings": 3}}, "wings"),
    "preset": ({"config": {"preset": "p20"}}, "unknown preset of rst_isp_net_small 'p20'"),
    "no tensors": ({"tensors": {}}, "missing, such as "),
    "nan": (
        {"tensors": {**state(), "locally.head.bias": torch.full((12,), float("nan"))}},
        "1 tensors hold NaN or infinity, such as 'locally.head.bias'",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_weights_that_do_not_fit_say_what_does_not(kind: str, tmp_path: Path) -> None:
    changes, message = MISFITS[kind]
    url = save_small_network(tmp_path, **changes)
    with pytest.raises(UsageError, match=message) as error:
        RstIspNetSmall.create(url)
    assert str(error.value).startswith(f"{url}: ")


def test_the_version_names_the_weights(tmp_path: Path) -> None:
    versions = [
        RstIspNetSmall.create(save_small_network(tmp_path, name=f"{k}.safetensors", seed=seed)).version
        for k, seed in enumerate((0, 0, 1))
    ]
    assert versions[0] == versions[1] != versions[2]


# ---- what is drawn ----


def test_every_built_in_camera_with_colour_may_be_drawn(packaged: RstIspNetSmall) -> None:
    known = cameras_with(color=True)
    draws = [packaged.draw(scalar_rng(seed)) for seed in range(1500)]
    names = {draw["camera"] for draw in draws}
    # 1500 draws among some 300 leave out exp(-5) of them, 2 of 300; 10 would be beyond five sigma.
    assert names <= set(known) and len(names) > len(known) - 10
    for draw in draws[:20]:
        matrix, gains = load_camera(draw["camera"]).color(draw["cct"])
        assert 2850 <= draw["cct"] <= 7500 and draw["rgb_gain"] == 1.0
        np.testing.assert_allclose(draw["cam_from_srgb"], matrix)
        np.testing.assert_allclose(draw["white_balance"], gains)


@pytest.mark.parametrize("cct", [2850.0, 4300.0, 7500.0])
def test_every_camera_has_a_colour_under_every_light_that_is_drawn(cct: float) -> None:
    for camera in cameras_with(color=True).values():
        matrix, gains = camera.color(cct)
        assert np.isfinite(matrix).all() and min(gains) > 0


# ---- a module among others ----


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casting_a_model_around_it_keeps_the_precision(cast: str, method: RstIspNetSmall) -> None:
    wanted = run(method, photographs(1))
    getattr(nn.Sequential(method, nn.Linear(2, 2)), cast)()
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}
    assert torch.equal(run(method.train(), photographs(1)), wanted)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_do_the_same(clone: Callable[[Any], Any], method: RstIspNetSmall) -> None:
    method.use_style(fitted(method, photographs(1)))
    other = clone(method)
    assert (other.version, other.card, other.tiling) == (method.version, CARD, method.tiling)
    assert torch.equal(run(other, photographs(2)), run(method, photographs(2)))


@pytest.mark.parametrize(("dtype", "least_db"), [(torch.bfloat16, 40.0), (torch.float16, 50.0)], ids=str)
def test_autocast_stays_close(dtype: torch.dtype, least_db: float, packaged: RstIspNetSmall) -> None:
    exact = run(packaged, photographs(4))
    with torch.autocast("cpu", dtype):
        rounded = run(packaged, photographs(4))
        styles = [packaged.style_of(photographs(1)) for _ in range(1)]
    assert rounded.dtype == torch.float32 and styles[0].numbers.dtype == torch.float32
    assert torch.equal(styles[0].numbers, packaged.style_of(photographs(1)).numbers)
    mse = float((rounded - exact).square().mean())
    assert 0 <= mse < 10 ** (-least_db / 10)


@pytest.mark.slow
def test_compiled_kernels(tmp_path: Path) -> None:
    """Two sizes and types, each compiled for itself; then sizes that vary, and tiles."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    url = save_small_network(tmp_path)
    plain, compiled = RstIspNetSmall.create(url), RstIspNetSmall.create(url)
    compiled.compile_kernels()
    graphs: list[int] = []
    for _ in range(2):
        for srgb in (photographs(2), photographs(1, 46, 62) / 255.0):
            assert (run(compiled, srgb) - run(plain, srgb)).abs().max() < 1e-4
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert 0 < graphs[0] == graphs[1], "what is compiled is kept"
    compiled.compile_kernels(dynamic=True)
    for height in (32, 34, 48):
        assert (run(compiled, photographs(2, height)) - run(plain, photographs(2, height))).abs().max() < 1e-4
    compiled.tiling = Tiling(whole_pixels=1, tile=64)
    assert (run(compiled, frame_of(160, 160)) - run(plain, frame_of(160, 160))).abs().max() < 1e-4
    torch._dynamo.reset()
