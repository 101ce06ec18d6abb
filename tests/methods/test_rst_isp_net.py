"""RST-ISP-Net: equal to the authors' outputs, any size, exact in tiles, ready for compilers."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.methods.importing import import_checkpoint, import_state
from rawsynth.methods.learned import StyledNetwork, reflect_pad
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.tiling import Tiling, decode_tiled, run_tiled, thumbnail

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the reference outputs (../shared/golden) are not here")
VARIANTS = ("s7", "p20", "text")


@cache
def narrow(preset: str, width: int = 2) -> StyledNetwork:
    """A network of few channels with weights that the seed decides and styles that are far from neutral."""
    torch.manual_seed(7)
    network = RstIspNet.build({"preset": preset, "width": width, "style_width": 16})
    for name, parameter in network.named_parameters():
        if ".layers." in name or ".heads." in name:
            nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A real photograph, (1, 3, 512, 512) float in [0, 1]."""
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255.0


def golden_state(name: str) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return {key: torch.from_numpy(value) for key, value in fill.fill(GOLDEN / f"{name}.tsv").items()}


@needs_golden
@pytest.mark.slow
@pytest.mark.parametrize(("preset", "parameters"), [("s7", 86_317_068), ("p20", 86_307_852)])
def test_equals_the_authors_outputs(preset: str, parameters: int) -> None:
    method = import_state("rst_isp_net", golden_state(f"rst_isp_net_{preset}"), preset=preset)
    assert sum(p.numel() for p in method.network.parameters()) == parameters
    reference = np.load(GOLDEN / f"rst_isp_net_{preset}.npz")
    result = method.network(torch.from_numpy(reference["x"])).numpy()
    assert np.abs(result - reference["y"]).max() <= 1e-4 * np.abs(reference["y"]).max()


@needs_golden
def test_every_listed_key_has_a_place() -> None:
    for preset in ("s7", "p20"):
        with open(GOLDEN / f"rst_isp_net_{preset}.tsv", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        with torch.device("meta"):
            shapes = {key: tuple(t.shape) for key, t in RstIspNet.build({"preset": preset}).state_dict().items()}
        rename = RstIspNet.published[preset].rename
        listed = {rename(row["key"]): row["shape"] for row in rows if "running_" not in row["key"]}
        assert {key: "x".join(map(str, shape)) for key, shape in shapes.items()} == listed


def test_published_sizes() -> None:
    with torch.device("meta"):
        sizes = {p: sum(t.numel() for t in RstIspNet.build({"preset": p}).parameters()) for p in VARIANTS}
    assert sizes["s7"] == 86_317_068 and sizes["p20"] == 86_307_852
    assert abs(sizes["text"] / 86.3e6 - 1) < 0.005


def _conv(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    return F.conv2d(x, weight / weight[0].numel() ** 0.5, **options)


def _lrelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias[None, :, None, None], 0.2) * 2**0.5


def _blur(x: Tensor) -> Tensor:
    kernel = torch.tensor([[i * j for j in (1.0, 3.0, 3.0, 1.0)] for i in (1.0, 3.0, 3.0, 1.0)]) / 64.0
    padded = F.pad(x, (2, 2, 2, 2))
    return torch.cat([F.conv2d(padded[:, c : c + 1], kernel[None, None]) for c in range(x.shape[1])], dim=1)


def plain_forward(state: dict[str, Tensor], x: Tensor, preset: str, epsilon: float) -> Tensor:
    """The submitted network written out a second time, one image, as its description goes."""
    strides, kernels = (1, 2, 1, 2, 2, 2), (5, 3, 3, 3, 3, 3)
    for i, (stride, kernel) in enumerate(zip(strides, kernels, strict=True)):
        s = {k.removeprefix(f"encoder.blocks.{i}."): v for k, v in state.items() if f"blocks.{i}." in k}
        flat = x[0].flatten(1)
        style = (flat @ flat.T / flat.shape[1]).flatten()
        for layer in ("0", "1"):
            style = s[f"style.layers.{layer}.weight"] @ style + s[f"style.layers.{layer}.bias"]
        y = _lrelu(_conv(x, s["conv_a.weight"], padding=kernel // 2), s["conv_a.bias"])
        if stride == 2:
            y = _conv(_blur(y), s["conv_b.weight"], stride=2, padding=1 if preset == "s7" and i == 5 else 0)
        else:
            y = _conv(y, s["conv_b.weight"], padding=kernel // 2)
        y = _lrelu(y, s["conv_b.bias"])
        sigma, mu = style.chunk(2)
        mean, std = y.mean((2, 3), keepdim=True), (y.var((2, 3), keepdim=True) + epsilon).sqrt()
        y = sigma[None, :, None, None] * (y - mean) / std + mu[None, :, None, None]
        if i >= 4:
            squeeze, excite = s["channel_attention.squeeze.weight"], s["channel_attention.excite.weight"]
            pools = y.mean((2, 3), keepdim=True), y.amax((2, 3), keepdim=True)
            gate = sum(F.conv2d(F.relu(F.conv2d(pool, squeeze)), excite) for pool in pools)
            y = y * torch.sigmoid(torch.as_tensor(gate))
            pooled = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
            y = y * torch.sigmoid(F.conv2d(pooled, s["spatial_attention.conv.weight"], padding=3))
        if "projection.weight" in s:
            x = F.conv2d(x, s["projection.weight"], s["projection.bias"], stride=stride)
        x = _lrelu(y + x, s["act_out.bias"])
    for i in range(3):
        s = {k.removeprefix(f"decoder.{i}."): v for k, v in state.items() if f"decoder.{i}." in k}
        y = F.conv2d(F.conv2d(x, s["conv_a.weight"], s["conv_a.bias"]), s["conv_b.weight"], s["conv_b.bias"])
        skip = F.conv2d(x, s["projection.weight"], s["projection.bias"]) if "projection.weight" in s else x
        x = F.pixel_shuffle(F.leaky_relu(y + skip, 0.2), 2)
    if preset == "s7":
        return _conv(_conv(x, state["tail.0.weight"]), state["tail.1.weight"])
    return _conv(x, state["tail.weight"], padding=1)


@pytest.mark.parametrize(("preset", "height", "width"), [("s7", 88, 120), ("p20", 64, 112)])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_equals_a_second_transcription(photo: Tensor, preset: str, height: int, width: int, epsilon: float) -> None:
    network = narrow.__wrapped__(preset, 4)
    for block in network.encoder.blocks:
        block.epsilon = epsilon
    image = photo[..., 100 : 100 + height, 150 : 150 + width]
    wanted = plain_forward(network.state_dict(), image, preset, epsilon)
    torch.testing.assert_close(network(image), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


@settings(max_examples=30)
@given(st.sampled_from(VARIANTS), st.integers(1, 40), st.integers(1, 40))
def test_any_even_size(preset: str, half_height: int, half_width: int) -> None:
    image = torch.rand(2, 3, 2 * half_height, 2 * half_width, generator=torch.Generator().manual_seed(0))
    result = narrow(preset)(image)
    assert result.shape == (2, 4, half_height, half_width)
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("preset", VARIANTS)
def test_constant_images_stay_finite(preset: str) -> None:
    network = narrow.__wrapped__(preset)
    for module in network.modules():
        if hasattr(module, "epsilon"):
            module.epsilon = 0.0  # as in the authors' weights
    for value in (0.0, 0.5, 1.0):
        assert torch.isfinite(network(torch.full((1, 3, 64, 64), value))).all()


@pytest.mark.parametrize("preset", VARIANTS)
def test_fresh_weights_are_trainable(photo: Tensor, preset: str) -> None:
    torch.manual_seed(0)
    network = RstIspNet.build({"preset": preset, "width": 8, "style_width": 32})
    result = network(photo[..., :128, :128])
    assert result.std() > 1e-2
    result.square().mean().backward()
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) and bool(p.grad.any()) for _, p in trained)


@pytest.mark.parametrize("preset", VARIANTS)
def test_tiles_equal_the_whole_with_one_style(photo: Tensor, preset: str) -> None:
    network = narrow(preset)
    frame = torch.cat([photo, photo.flip(-1)], dim=-1)[..., :378, :714]
    style = network.encode_style(thumbnail(frame, 256))
    whole = network.decode(frame, style)
    tiled = decode_tiled(network, frame, style, 192)
    assert tiled.shape == whole.shape
    assert float((tiled - whole).abs().max()) < 1e-4 * float(whole.abs().max())


def test_the_halo_is_needed(photo: Tensor) -> None:
    class Shy(RstIspNet.network_class):  # type: ignore[name-defined, misc]
        halo = 32

    network, shy = narrow("p20"), Shy("p20", width=2).eval().requires_grad_(False)
    shy.load_state_dict(network.state_dict())
    style = network.encode_style(photo)
    whole = network.decode(photo, style)
    assert float((decode_tiled(shy, photo, style, 256) - whole).abs().max()) > 1e-4 * float(whole.abs().max())


def test_style_and_decode_make_up_the_forward_pass(photo: Tensor) -> None:
    for preset in VARIANTS:
        network = narrow(preset)
        both = torch.cat([photo, photo.flip(-2)])[..., :104, :136]
        torch.testing.assert_close(network.decode(both, network.encode_style(both)), network(both))


def test_large_images_take_the_tiled_way(photo: Tensor) -> None:
    network = narrow("p20")
    tiling = Tiling(whole_pixels=1 << 16, tile=256, thumbnail=128)
    result = run_tiled(network, network, photo, tiling)
    wanted = network.decode(photo, network.encode_style(thumbnail(photo, 128)))
    torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-4)
    direct = run_tiled(network, network, photo, Tiling())
    torch.testing.assert_close(direct, network(photo))


@pytest.mark.parametrize("size", [(2, 3), (5, 5), (8, 2), (1, 7)])
def test_reflection_beyond_the_image(size: tuple[int, int]) -> None:
    image = torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, 1, *size)
    padded = reflect_pad(image, 3, 9, 4, 11)
    wanted = np.pad(image.numpy()[0, 0], ((3, 9), (4, 11)), mode="reflect")
    np.testing.assert_array_equal(padded[0, 0].numpy(), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["s7", "text"])
def test_compiles_in_one_graph_and_exports(photo: Tensor, preset: str) -> None:
    network, image = narrow(preset), photo[..., :96, :120]
    wanted = network(image)
    torch._dynamo.reset()
    compiled: Callable[[Tensor], Tensor] = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image), wanted, rtol=1e-3, atol=1e-4)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), wanted)


def test_pickles_need_trust(tmp_path: Path) -> None:
    state = narrow("p20").state_dict()
    url = str(tmp_path / "net.pth")
    torch.save({"state_dict": state}, url)
    with pytest.raises(UsageError, match="trust_pickle=True"):
        import_checkpoint("rst_isp_net", url, preset="p20")
    with pytest.raises(UsageError, match=r"\(2, 3, 5, 5\), not \(32, 3, 5, 5\)"):  # trusted, but too narrow
        import_checkpoint("rst_isp_net", url, preset="p20", trust_pickle=True)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


def test_trusted_pickles_run_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UsageError, match="tensors alone"):
        import_checkpoint("rst_isp_net", str(tmp_path / "evil.pth"), preset="s7", trust_pickle=True)
    assert "ran" not in capsys.readouterr().out


def test_wrong_names_are_answered() -> None:
    with pytest.raises(UsageError, match="s7"):
        RstIspNet.build({"preset": "s8"})
    with pytest.raises(UsageError, match="depth"):
        RstIspNet.build({"preset": "s7", "depth": 3})
    with pytest.raises(UsageError, match="Choose from: p20, s7"):
        import_state("rst_isp_net", {}, preset="text")
