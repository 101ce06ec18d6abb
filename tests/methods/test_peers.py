"""Published reverse ISPs: equal to their references, any size, exact in tiles, one method among others."""

from __future__ import annotations

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

from rawsynth.errors import UsageError
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.channel_attention import ChannelGate
from rawsynth.methods.importing import import_state
from rawsynth.methods.learned import NetworkMethod, StyledNetwork
from rawsynth.methods.local_network import LocalNetwork
from rawsynth.methods.tiling import Tiling, decode_tiled, run_tiled, thumbnail
from rawsynth.methods.weights import ModelCard
from rawsynth.transforms import ReverseISP

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the reference outputs (../shared/golden) are not here")
REFERENCES = {
    "aim22_0noise": "aim22_0noise",
    "aim22_unet": "aim22_unet_baseline",
    "cycleisp": "cycleisp_rgb2raw",
    "liteispnet_s": "liteispnet_s_mialgo",
}
PEERS = (*REFERENCES, "invisp")
LEARNED = sorted(name for name, kind in METHODS.items() if issubclass(kind, LearnedMethod))
# Each network's "tiny" preset, with options that make it smaller still.
SMALLER: dict[str, dict[str, Any]] = {"rst_isp_net": {"width": 2}}


def kind_of(name: str) -> type[LearnedMethod]:
    kind = METHODS[name]
    assert issubclass(kind, LearnedMethod)
    return kind


@cache
def tiny(name: str, seed: int = 7) -> StyledNetwork:
    """A network of few channels with weights that the seed decides, and attention that is far from even."""
    torch.manual_seed(seed)
    network = kind_of(name).build({"preset": "tiny", **SMALLER.get(name, {})})
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.7 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    for module in network.modules():
        if isinstance(module, ChannelGate):
            nn.init.constant_(module.squeeze.bias, 1.0)  # type: ignore[arg-type]
            nn.init.normal_(module.excite.weight, std=1.0)
            nn.init.normal_(module.squeeze.weight, std=1.0)
    return network.eval().requires_grad_(False)


@cache
def photograph() -> Tensor:
    """A real photograph, (1, 3, 512, 512) uint8."""
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]


def golden_state(name: str) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return {key: torch.from_numpy(value) for key, value in fill.fill(GOLDEN / f"{name}.tsv").items()}


# ---- the published networks ----


@needs_golden
@pytest.mark.parametrize("name", REFERENCES)
def test_equals_the_reference_output(name: str) -> None:
    network = import_state(name, golden_state(REFERENCES[name])).network
    reference = np.load(GOLDEN / f"{REFERENCES[name]}.npz")
    result = network(torch.from_numpy(reference["x"])).numpy()
    if name.startswith("aim22"):  # by the authors in the network, here by the method
        result = result.clip(0, 1)
    assert np.abs(result - reference["y"]).max() <= 1e-4 * np.abs(reference["y"]).max()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("aim22_0noise", 171_112),
        ("aim22_unet", 1_861_764),
        ("cycleisp", 3_143_109),
        ("invisp", 1_413_760),
        ("liteispnet_s", 4_537_202 - 4_096),  # the published figure counts the fixed values of Haar filters
        ("rst_isp_net", 86_307_852),
    ],
)
def test_published_sizes(name: str, parameters: int) -> None:
    assert kind_of(name).parameter_count() == parameters


def test_sizes_without_presets_and_of_unknown_ones() -> None:
    small = METHODS["rst_isp_net_small"]
    assert issubclass(small, NetworkMethod) and 1e6 < small.parameter_count() < 2e6
    assert kind_of("cycleisp").parameter_count("tiny") < 10_000
    with pytest.raises(UsageError, match="unknown preset of cycleisp 'tinny'; did you mean 'tiny'"):
        kind_of("cycleisp").parameter_count("tinny")


def test_gates_of_the_size_of_their_style() -> None:
    """Every attention of the published networks takes part in the style: one gate a block, and the gains."""
    image = photograph()[..., :32, :32].float() / 255
    for name, options, gates in [
        ("cycleisp", {"width": 8}, 3 * 5),
        ("liteispnet_s", {"widths": [4, 4, 4, 4]}, 8 * 4 + 1),
    ]:
        style = kind_of(name).build({"preset": "published", **options}).encode_style(image)
        assert len(style) == gates and all(gate.shape[0] == 1 and gate.dim() == 2 for gate in style)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cycleisp", {"width": 0}, "cycleisp: width is a positive integer; got 0"),
        ("cycleisp", {"blocks": "5"}, "cycleisp: blocks is a positive integer; got '5'"),
        ("aim22_unet", {"widths": [8]}, "widths are those of two to four levels"),
        ("aim22_unet", {"widths": "888"}, "widths are those of two to four levels"),
        ("aim22_unet", {"widths": [8, -1]}, r"widths\[1\] is a positive integer; got -1"),
        ("liteispnet_s", {"widths": [8, 8]}, "widths are four numbers of channels"),
        ("aim22_0noise", {"width": True}, "aim22_0noise: width is a positive integer; got True"),
        ("invisp", {"gamma": 0.5}, "invisp: gamma is a number from 1; got 0.5"),
        ("invisp", {"wings": 2}, "invisp: .*wings"),
    ],
)
def test_options_that_make_no_network(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kind_of(name).build(options)


# ---- any size, tiles ----


@settings(max_examples=12)
@given(st.integers(1, 30), st.integers(1, 30))
@pytest.mark.parametrize("name", PEERS)
def test_any_even_size(name: str, half_height: int, half_width: int) -> None:
    image = torch.rand(2, 3, 2 * half_height, 2 * half_width, generator=torch.Generator().manual_seed(0))
    result = tiny(name)(image)
    assert result.shape == (2, 4, half_height, half_width)
    assert torch.isfinite(result).all()
    torch.testing.assert_close(tiny(name)(image[1:]), result[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_tiles_equal_the_whole_with_one_style(name: str) -> None:
    network = tiny(name)
    strip = photograph()[..., 200:266, :].float() / 255
    frame = torch.cat([strip, strip.flip(-1), strip], dim=-1)[..., :1142]
    style = network.encode_style(thumbnail(frame, 128))
    whole = network.decode(frame, style)
    tiled = decode_tiled(network, frame, style, 48)
    assert network.halo + 96 < frame.shape[-1] / 2, "no tile would be far from another one's border"
    assert tiled.shape == whole.shape
    assert float((tiled - whole).abs().max()) < 1e-4 * float(whole.abs().max())
    if isinstance(network, LocalNetwork):
        assert style is None
        tiling = Tiling(whole_pixels=1 << 12, tile=128)
        torch.testing.assert_close(run_tiled(network, network, frame, tiling), network(frame), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(PEERS) - {"liteispnet_s"}))
def test_a_halo_is_no_wider_than_the_kernels_reach(name: str) -> None:
    """A change just within the reach is seen, one beyond the halo is not; so the halo is neither short nor idle."""
    network = tiny(name)
    frame = photograph()[..., :256, :256].float() / 255
    style = network.encode_style(frame)
    before = network.decode(frame, style)[..., 64, 64]
    changed = frame.clone()
    changed[..., 128 + 2 + network.halo + network.stride :, :] = 0.5
    assert torch.equal(network.decode(changed, style)[..., 64, 64], before) or torch.allclose(
        network.decode(changed, style)[..., 64, 64], before, rtol=1e-5, atol=1e-6
    )
    changed[..., 128 + network.halo // 4 :, :] = 0.5
    assert not torch.allclose(network.decode(changed, style)[..., 64, 64], before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PEERS)
def test_style_and_decode_make_up_the_forward_pass(name: str) -> None:
    network = tiny(name)
    both = torch.cat([photograph(), photograph().flip(-2)])[..., :52, :70].float() / 255
    torch.testing.assert_close(network.decode(both, network.encode_style(both)), network(both))


@pytest.mark.parametrize("name", ["cycleisp", "liteispnet_s"])
def test_a_style_of_another_frame_changes_the_result(name: str) -> None:
    network, image = tiny(name), photograph()[..., :64, :64].float() / 255
    other = network.encode_style(0 * image)
    assert float((network.decode(image, other) - network(image)).abs().max()) > 1e-4


@pytest.mark.parametrize("name", PEERS)
def test_runs_in_bfloat16_and_as_one_graph(name: str) -> None:
    network, image = tiny(name), photograph()[..., 100:148, 100:164].float() / 255
    wanted = network(image)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(image).float()
    assert float((half - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
    torch._dynamo.reset()
    compiled: Callable[[Tensor], Tensor] = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image), wanted, rtol=1e-3, atol=1e-4)


# ---- every learned method, from weights to RAW ----


@pytest.mark.parametrize("name", LEARNED)
def test_from_weights_to_raw(name: str, tmp_path: Path) -> None:
    kind, network = kind_of(name), tiny(name)
    config = {"preset": "tiny", **SMALLER.get(name, {})}
    url = str(tmp_path / "net.safetensors")
    kind(network, config, ModelCard(camera="Pinhole"), "fresh").save(url)
    image = photograph()[..., 20:84, 130:202]
    batch = torch.cat([image, image.flip(-1)])
    raw = ReverseISP(name, weights=url)(batch)
    assert raw.packed.shape == (2, 4, 32, 36) and raw.packed.dtype == torch.float32
    wanted = network(batch.float() / 255).clamp(0, 1)
    torch.testing.assert_close(raw.packed, wanted, rtol=1e-4, atol=1e-5)
    # Float sRGB gives the same, and so does another layout, read at the sites where the two agree.
    torch.testing.assert_close(ReverseISP(name, weights=url)(batch.float() / 255).packed, raw.packed)
    moved = ReverseISP(name, weights=url, cfa="BGGR")(batch).packed
    assert moved.shape == raw.packed.shape and bool(((moved >= 0) & (moved <= 1)).all())


@pytest.mark.parametrize("name", PEERS)
def test_fresh_weights_are_trainable(name: str) -> None:
    torch.manual_seed(0)
    network = kind_of(name).build({"preset": "tiny"})
    result = network(photograph()[..., :64, :64].float() / 255)
    assert result.std() > 1e-3
    result.square().mean().backward()
    trained = [(key, p) for key, p in network.named_parameters() if p.requires_grad]
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for _, p in trained)
    # A gate of one inner channel that is rectified away has none.
    idle = [key for key, p in trained if p.grad is not None and not p.grad.any()]
    assert not [key for key in idle if "squeeze" not in key and "excite" not in key]
