"""Learned methods: weights that fit or are refused, modules that stay what they are, images of any size in tiles."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.learned import StyledNetwork
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.tiling import Tiling, decode_tiled, thumbnail
from rawsynth.methods.weights import ModelCard, save_weights
from rawsynth.raw.cfa import BAYER_LAYOUTS

REPO = Path(__file__).parents[2]
GOLDEN = REPO.parent / "shared" / "golden"
PRESETS = ("s7", "p20", "text", "tiny")
CARD = ModelCard(camera="Pinhole", white_balance=[2.0, 1.5])


@cache
def state(preset: str = "p20", seed: int = 3) -> dict[str, Tensor]:
    """Weights of a narrow network with RAW between black and white, as far as it is not under black."""
    torch.manual_seed(seed)
    network = RstIspNet.build({"preset": preset, "width": 2, "style_width": 8})
    with torch.no_grad():
        spread = network(photograph() / 255.0).std()
        list(network.tail.parameters())[-1].mul_(0.3 / spread)
    return network.state_dict()


def config(preset: str = "p20", **options: Any) -> dict[str, Any]:
    return {"preset": preset, "width": 2, "style_width": 8, **options}


def saved(folder: Path, preset: str = "p20", **changes: Any) -> str:
    url = str(folder / "net.safetensors")
    values = {
        "architecture": "rst_isp_net", "config": config(preset), "tensors": state(preset), "card": CARD, **changes,
    }  # fmt: skip
    save_weights(url, **values)
    return url


@pytest.fixture
def method(tmp_path: Path) -> RstIspNet:
    return RstIspNet.create(saved(tmp_path))


@cache
def photograph() -> Tensor:
    """Piece of a real photograph, (1, 3, 160, 192) uint8."""
    return full_photograph()[..., 20:180, 130:322].contiguous()


@cache
def full_photograph() -> Tensor:
    """All of it, (1, 3, 512, 512) uint8."""
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]


def run(method: LearnedMethod, srgb: Tensor, cfa: str = "RGGB") -> Tensor:
    return method(srgb, {"cfa": [cfa] * len(srgb)})


def test_the_weights_used_here_tell_results_apart(method: RstIspNet) -> None:
    packed = run(method, photograph())
    assert packed.std() > 0.1 and 0.2 < ((packed > 0) & (packed < 1)).float().mean()


# ---- weights that fit, and that do not ----


@pytest.mark.parametrize("preset", PRESETS)
def test_what_was_saved_computes_the_same(preset: str, tmp_path: Path) -> None:
    network = RstIspNet.build(config(preset))
    network.load_state_dict(state(preset))
    wanted = network(photograph()[..., :96, :128].float() / 255.0).clamp(0, 1)
    loaded = RstIspNet.create(saved(tmp_path, preset))
    result = run(loaded, photograph()[..., :96, :128])
    torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-5)
    loaded.save(str(tmp_path / "again.safetensors"))
    again = RstIspNet.create(str(tmp_path / "again.safetensors"))
    assert torch.equal(run(again, photograph()[..., :96, :128]), result)
    assert (again.version, again.card, again.config) == (loaded.version, CARD, config(preset))


def test_no_weights_at_all() -> None:
    for name in (name for name, kind in METHODS.items() if issubclass(kind, LearnedMethod)):
        with pytest.raises(UsageError, match=rf"'{name}' needs weights=..., a .safetensors file"):
            METHODS[name].create(None)


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architecture": "other_net"}, "weights of 'other_net', not of 'rst_isp_net'"),
    "wider": ({"config": config(width=4)}, r"'encoder.blocks.0.conv_a.weight' has shape \(2, 3, 5, 5\), not \(4, 3,"),
    "other preset": ({"config": config("text")}, "missing, such as '.*unknown, such as '"),
    "unknown preset": ({"config": config("p21")}, "unknown preset of rst_isp_net 'p21'; did you mean 'p20'"),
    "unknown variant": ({"config": {"variant": "p21", "width": 2}}, "unknown variant of rst_isp_net 'p21'"),
    "unknown option": ({"config": config(wings=3)}, "wings"),
    "no width": ({"config": config(width=0)}, "width is a positive integer; got 0"),
    "word for a width": ({"config": config(width="2")}, "width is a positive integer; got '2'"),
    "no layers": ({"config": config(style_layers=0)}, "style_layers is a positive integer; got 0"),
    "infinite width": ({"config": config(width=10**12)}, "do not fit"),
    "negative epsilon": ({"config": config(epsilon=-1.0)}, "epsilon is a number from 0; got -1.0"),
    "word for epsilon": ({"config": config(epsilon="small")}, "epsilon is a number from 0; got 'small'"),
    "preset is a list": ({"config": config() | {"preset": ["p20"]}}, "preset"),
    "no tensors": ({"tensors": {}}, "missing, such as 'decoder.0.conv_a.bias'"),
    "one tensor more": ({"tensors": state() | {"extra": torch.ones(1)}}, "1 unknown, such as 'extra'"),
    "a scalar": ({"tensors": state() | {"tail.weight": torch.ones(())}}, r"'tail.weight' has shape \(\), not \(4, 2"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_weights_that_do_not_fit_say_what_does_not(kind: str, tmp_path: Path) -> None:
    changes, message = MISFITS[kind]
    url = saved(tmp_path, **changes)
    with pytest.raises(UsageError, match=message) as error:
        RstIspNet.create(url)
    text = str(error.value)
    assert text.startswith(f"{url}: ") and "\n" not in text and len(text) < len(url) + 500


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("name", ["encoder.blocks.0.conv_a.weight", "encoder.blocks.5.style.layers.1.bias"])
def test_weights_of_a_diverged_training_are_refused(name: str, value: float, tmp_path: Path) -> None:
    broken = state()[name].double()
    broken.view(-1)[-1] = value
    with pytest.raises(UsageError, match=f"1 tensors hold NaN or infinity, such as '{name}'; take weights from before"):
        RstIspNet.create(saved(tmp_path, tensors=state() | {name: broken}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_of_another_precision_are_taken_at_their_values(dtype: torch.dtype, tmp_path: Path) -> None:
    rounded = {name: tensor.to(dtype) for name, tensor in state().items()}
    typed = run(RstIspNet.create(saved(tmp_path, tensors=rounded)), photograph())
    plain = run(RstIspNet.create(saved(tmp_path, tensors={n: t.float() for n, t in rounded.items()})), photograph())
    assert torch.equal(typed, plain)


def test_the_version_names_the_weights(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c", "d", "e")]
    changes: list[dict[str, Any]] = [
        {},
        {},
        {"tensors": state() | {"tail.weight": state()["tail.weight"] * 1.001}},
        {"config": config(epsilon=0.0)},
        {"config": config() | {"width": 2, "style_layers": 2}},  # the same network, in other words
    ]
    methods = [RstIspNet.create(saved(folder, **change)) for folder, change in zip(folders, changes, strict=True)]
    versions = [method.version for method in methods]
    assert versions[0] == versions[1] and len(set(versions)) == 4
    assert all(re.fullmatch(r"1\+[0-9a-f]{12}", version) for version in versions)
    small = photograph()[..., :32, :32] // 64
    assert not torch.equal(run(methods[0], small), run(methods[3], small))
    assert torch.equal(run(methods[0], small), run(methods[4], small))


def test_loading_leaves_grad_mode_dtype_and_training_alone(method: RstIspNet) -> None:
    assert not method.network.training
    assert not any(parameter.requires_grad for parameter in method.parameters())
    before = run(method, photograph())
    assert torch.equal(run(method.train(), photograph()), before)


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.exists(), reason="the reference weights (../shared/golden) are not here")
def test_imported_weights_keep_their_version_in_a_file(tmp_path: Path) -> None:
    """Parameters that were drawn before saving replay with the file."""
    import importlib.util

    from rawsynth.methods.importing import import_state

    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    filled = fill.fill(GOLDEN / "rst_isp_net_p20.tsv").items()
    tensors = {key: torch.from_numpy(value) for key, value in filled}
    imported = import_state("rst_isp_net", tensors, preset="p20", source="p20.pth")
    imported.save(str(tmp_path / "p20.safetensors"))
    loaded = RstIspNet.create(str(tmp_path / "p20.safetensors"))
    assert loaded.version == imported.version and loaded.card == imported.card
    assert loaded.card.camera == "Huawei P20" and loaded.config == {"preset": "p20", "epsilon": 0.0}
    piece = photograph()[..., :64, :64]
    assert torch.equal(run(loaded, piece), run(imported, piece))


# ---- a module among others ----


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double", "float"])
def test_casting_a_model_around_it_keeps_the_precision(cast: str, method: RstIspNet) -> None:
    wanted = run(method, photograph())
    around = getattr(nn.Sequential(method, nn.Linear(2, 2)), cast)()
    assert around[1].weight.dtype == getattr(torch.zeros(()), cast)().dtype
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}
    result = run(method, photograph())
    assert result.dtype == torch.float32 and torch.equal(result, wanted)


@pytest.mark.parametrize("to", [("cpu",), (torch.float16,), ("cpu", torch.float64)], ids=repr)
def test_moving_it_keeps_the_precision(to: tuple[Any, ...], method: RstIspNet) -> None:
    wanted = run(method, photograph())
    assert method.to(*to) is method
    assert torch.equal(run(method, photograph()), wanted)


def test_it_moves_to_another_device(method: RstIspNet) -> None:
    method.to("meta")
    assert {tensor.device.type for tensor in [*method.parameters(), *method.buffers()]} == {"meta"}


def test_another_default_type_changes_nothing(method: RstIspNet, tmp_path: Path) -> None:
    wanted = run(method, photograph())
    torch.set_default_dtype(torch.float64)
    try:
        result = run(RstIspNet.create(saved(tmp_path)), photograph())
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.dtype == torch.float32 and torch.equal(result, wanted)


def test_every_tensor_is_once_in_the_state(method: RstIspNet, tmp_path: Path) -> None:
    assert {name.removeprefix("network.") for name in method.state_dict()} == state().keys()
    other = RstIspNet.create(saved(tmp_path, tensors=state(seed=4)))
    assert not torch.equal(run(other, photograph()), run(method, photograph()))
    other.load_state_dict(method.state_dict())
    assert torch.equal(run(other, photograph()), run(method, photograph()))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_are_independent_and_do_the_same(clone: Callable[[RstIspNet], RstIspNet], method: RstIspNet) -> None:
    method.tiling = Tiling(tile=512)
    wanted, other = run(method, photograph()), clone(method)
    assert (other.version, other.card, other.tiling) == (method.version, method.card, method.tiling)
    assert torch.equal(run(other, photograph()), wanted)
    with torch.no_grad():
        other.network.tail.weight.zero_()
    assert run(other, photograph()).max() == 0
    assert torch.equal(run(method, photograph()), wanted)


def test_an_unknown_layout_is_refused(method: RstIspNet) -> None:
    with pytest.raises(UnknownNameError, match="CFA layout 'RGBG'.*BGGR, GBRG, GRBG, RGGB"):
        run(method, photograph(), "RGBG")


# ---- compiled ----


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [None, True])
def test_images_of_many_sizes_share_few_graphs(
    dynamic: bool | None, method: RstIspNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch gives up after eight."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    compiled = copy.deepcopy(method)
    compiled.compile_kernels(dynamic)
    sizes = [(1, 32, 32), (3, 32, 32), (1, 48, 64), (3, 34, 62), (5, 66, 34), (1, 2, 90), (2, 80, 78), (1, 96, 96)]
    with torch.no_grad():
        for count, height, width in sizes:
            srgb = photograph().expand(count, -1, -1, -1)[..., 40 : 40 + height, 50 : 50 + width]
            for cfa in ("RGGB", "BGGR"):
                assert (run(compiled, srgb, cfa) - run(method, srgb, cfa)).abs().max() < 1e-5
    assert not counters["graph_break"]
    assert 1 <= counters["stats"]["unique_graphs"] <= 7
    assert compiled.state_dict().keys() == method.state_dict().keys()
    assert torch.equal(run(pickle.loads(pickle.dumps(compiled)), srgb), run(method, srgb))
    torch._dynamo.reset()


# ---- tiles ----


@pytest.mark.parametrize("values", [{"tile": 0}, {"tile": -16}, {"tile": 100}, {"tile": 24}, {"thumbnail": 1}])
def test_tiles_off_the_stride_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="multiple of 16"):
        Tiling(**values)


# Sides below what the strides need: the padding is a reflection of a reflection.
@pytest.mark.parametrize("size", [(2, 90), (90, 2), (4, 4), (16, 130), (18, 40), (30, 34), (130, 22)], ids=str)
@pytest.mark.parametrize("preset", ["s7", "p20"])
def test_narrow_images_are_tiled_as_they_are_padded(preset: str, size: tuple[int, int]) -> None:
    network = RstIspNet.build(config(preset)).eval()
    network.load_state_dict(state(preset))
    image = photograph()[..., 20 : 20 + size[0], 30 : 30 + size[1]].float() / 255.0
    rows, columns = network.padded_size(*size)
    padded = np.pad(image[0].numpy(), ((0, 0), (0, rows - size[0]), (0, columns - size[1])), mode="reflect")
    with torch.no_grad():
        style = network.encode_style(image)
        whole = network.decode(torch.from_numpy(padded)[None], style)[..., : size[0] // 2, : size[1] // 2]
        tiled = decode_tiled(network, image, style, 32)
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))


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


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_large_images_take_bounded_memory(cfa: str, method: RstIspNet) -> None:
    """No feature map is larger than a tile with its halo, whatever the frame."""
    method.tiling = Tiling(whole_pixels=1 << 16, tile=112, thumbnail=128)
    bound = 112 + 2 * method.network.halo + 16
    frame = full_photograph()[..., :430, :506]
    with torch.no_grad(), Sides() as sides:
        tiled = run(method, frame, cfa)
    assert 128 < sides.longest <= bound < 430
    row, column = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}[cfa]
    moved = np.pad(frame[0].numpy() / np.float32(255), ((0, 0), (row, row), (column, column)), mode="reflect")
    moved = torch.from_numpy(moved)[None]
    with torch.no_grad():
        whole = method.network.decode(moved, method.network.encode_style(thumbnail(moved, 128))).clamp(0, 1)[0].numpy()
    mosaic = np.zeros((2 * whole.shape[1], 2 * whole.shape[2]), np.float32)
    for plane in range(4):
        mosaic[plane // 2 :: 2, plane % 2 :: 2] = whole[plane]
    mosaic = mosaic[row : row + 430, column : column + 506]
    wanted = np.stack([mosaic[plane // 2 :: 2, plane % 2 :: 2] for plane in range(4)])
    assert tiled.shape == (1, 4, 215, 253)
    np.testing.assert_allclose(tiled[0].numpy(), wanted, atol=1e-4)


def test_a_batch_of_large_images_is_its_images(method: RstIspNet) -> None:
    method.tiling = Tiling(whole_pixels=1 << 14, tile=64, thumbnail=96)
    frames = torch.cat([photograph(), photograph().flip(-2), 255 - photograph()])[..., :, :150]
    together = run(method, frames)
    for frame, packed in zip(frames, together, strict=True):
        assert (run(method, frame[None])[0] - packed).abs().max() < 1e-5


def test_the_limit_between_whole_and_tiled(method: RstIspNet) -> None:
    srgb = photograph()[..., :128, :128]
    for pixels, whole in ((128 * 128, True), (128 * 128 - 1, False)):
        method.tiling = Tiling(whole_pixels=pixels, tile=16, thumbnail=32)
        direct = method.network(srgb.float() / 255.0).clamp(0, 1)
        off = (run(method, srgb) - direct).abs().max()
        assert off < 1e-5 if whole else off > 1e-2


# ---- what the documentation says ----


def test_the_documented_presets_are_the_presets() -> None:
    text = (REPO / "docs/rst-isp-net.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d,]+) \|$", text, flags=re.MULTILINE))
    assert rows.keys() == RstIspNet.presets.keys()
    networks: dict[str, StyledNetwork] = {}
    with torch.device("meta"):
        for name in rows:
            networks[name] = RstIspNet.build({"preset": name})
    counts = {name: sum(t.numel() for t in network.parameters()) for name, network in networks.items()}
    assert {name: f"{count:,}" for name, count in counts.items()} == rows
    styles = sum(t.numel() for name, t in networks["s7"].named_parameters() if ".style." in name)
    assert "hold 91 % of all parameters" in text and round(100 * styles / counts["s7"]) == 91
