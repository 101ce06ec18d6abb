"""The small network: its size, what it does before training, that tiles equal frames, that everything can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rawsynth.methods.global_inverse import GlobalInverse, compand, expand, rows_to_one, srgb_decoding
from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_encoder import (
    COLOR_STATISTICS,
    LowRankGram,
    StyleEncoder,
    clipping,
    color_statistics,
    sample_grid,
)

SMALL = {"code": 16, "knots": 12, "hidden": 8, "widths": (8, 8), "blocks": (1, 2)}


def photograph(height: int, width: int) -> Tensor:
    """A piece of a real photograph, (1, 3, height, width) in [0, 1]."""
    pixels = np.ascontiguousarray(data.astronaut()[:height, 60 : 60 + width])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def shaken(seed: int = 0, **options: object) -> SceneLinearNet:
    """A network whose every parameter does something, as after a training."""
    torch.manual_seed(seed)
    network = SceneLinearNet(**{**SMALL, **options})  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.02 if "locally.head" in name or "leave" in name else 0.05
            parameter.add_(torch.randn_like(parameter) * scale)
    return network.eval()


# ---- what it is allowed to cost ----


def test_parameters_and_operations() -> None:
    """At most 3.5M parameters and 10 GMAC at 512x512, as PyTorch counts them."""
    network = SceneLinearNet()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 3_500_000
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 512, 512))
    assert 1e9 < counter.get_total_flops() / 2 <= 10e9


# ---- before training ----


def test_an_untrained_network_decodes_srgb() -> None:
    """IEC 61966-2-1 to within the knots' interpolation; the style's head is close to zero but not zero."""
    torch.manual_seed(0)
    network = SceneLinearNet()
    torch.nn.init.zeros_(network.globally.head.weight)
    srgb = photograph(64, 96)
    with torch.no_grad():
        linear = network(srgb)
    x = srgb.double().numpy()
    wanted = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear.double().numpy(), wanted, atol=1.5e-3)
    assert float(np.abs(linear.double().numpy() - wanted).mean()) < 5e-4


def test_companding_inverts_and_decoding_is_the_standard() -> None:
    light = torch.cat([torch.zeros(1), torch.logspace(-6, 1, 200)])
    torch.testing.assert_close(expand(compand(light)), light, atol=2e-6, rtol=2e-5)
    # IEC 61966-2-1, by hand.
    codes = torch.tensor([0.0, 0.04045, 0.5, 1.0])
    torch.testing.assert_close(srgb_decoding(codes), torch.tensor([0.0, 0.0031308, 0.2140411, 1.0]))


# ---- the global part ----


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6))
def test_rows_to_one(entries: list[float]) -> None:
    matrix = rows_to_one(torch.tensor([entries], dtype=torch.float64))[0].numpy()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(matrix[[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]], entries)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.0, 6.0))
def test_curves_rise_whatever_the_numbers(seed: int, scale: float) -> None:
    """With only the curves' numbers set, greys come out in order and black stays black."""
    torch.manual_seed(0)
    part = GlobalInverse(code=8, knots=12, hidden=4)
    numbers = torch.zeros(1, part.length)
    start, count = part.sizes["exposure"], part.sizes["curves"]
    generator = torch.Generator().manual_seed(seed)
    numbers[:, start : start + count] = scale * torch.randn(1, count, generator=generator)
    ramp = torch.linspace(0, 1, 301).expand(1, 3, 1, 301)
    with torch.no_grad():
        light = expand(part(ramp, numbers))
    assert bool((light.diff(dim=3) >= -1e-6).all()) and float(light[..., 0].max()) < 1e-5
    # Each channel has its own curve.
    assert scale < 0.1 or not torch.allclose(light[0, 0], light[0, 1])


def test_exposure_is_in_stops_and_matrices_keep_greys() -> None:
    part = GlobalInverse(code=8, knots=12, hidden=4)
    plain, up, mixed = (torch.zeros(1, part.length) for _ in range(3))
    up[:, 0] = 1.0
    first = sum(part.sizes[name] for name in ("exposure", "curves"))
    mixed[:, first : first + 12] = torch.linspace(-1, 1, 12)
    srgb = photograph(16, 16)
    grey = srgb[:, :1].expand(-1, 3, -1, -1).contiguous()
    with torch.no_grad():
        torch.testing.assert_close(expand(part(srgb, up)), 2 * expand(part(srgb, plain)), atol=5e-5, rtol=1e-3)
        torch.testing.assert_close(expand(part(grey, mixed)), expand(part(grey, plain)), atol=2e-5, rtol=1e-3)
        assert not torch.allclose(part(srgb, mixed), part(srgb, plain), atol=1e-2)


def test_the_global_part_sees_one_pixel_at_a_time() -> None:
    part = GlobalInverse(code=8, knots=12, hidden=8)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        numbers = torch.randn(1, part.length) * 0.5
        srgb = photograph(40, 48)
        whole = part(srgb, numbers)
        torch.testing.assert_close(part(srgb[:, :, 7:30, 11:], numbers), whole[:, :, 7:30, 11:], atol=1e-6, rtol=0)
        order = torch.randperm(40 * 48)
        mixed = part(srgb.flatten(2)[:, :, order].unsqueeze(3), numbers)
        torch.testing.assert_close(mixed[..., 0], whole.flatten(2)[:, :, order], atol=1e-6, rtol=0)


def test_bytes_and_floats_are_the_same() -> None:
    network = shaken()
    pixels = torch.from_numpy(data.coffee()[:32, :48].copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        style = network.encode_style(pixels.float() / 255)
        torch.testing.assert_close(
            network.decode(pixels, style), network.decode(pixels.float() / 255, style), atol=2e-5, rtol=1e-4
        )


# ---- tiles ----


@pytest.mark.parametrize(("top", "left"), [(0, 0), (24, 40), (64, 16)])
def test_a_tile_with_its_halo_equals_the_frame(top: int, left: int) -> None:
    network = shaken(widths=(8, 8, 8), blocks=(1, 1, 2))
    halo, stride = network.halo, network.stride
    assert halo % stride == 0
    frame = photograph(64 + 3 * halo, 64 + 3 * halo)
    top, left = (top // stride * stride, left // stride * stride)
    height = width = 64 + 2 * halo
    with torch.no_grad():
        style = network.encode_style(frame)
        whole = network.decode(frame, style)
        tile = network.decode(frame[:, :, top : top + height, left : left + width], style)
    inner = slice(halo, halo + 64)
    wanted = whole[:, :, top + halo : top + halo + 64, left + halo : left + halo + 64]
    torch.testing.assert_close(tile[:, :, inner, inner], wanted, atol=1e-5, rtol=1e-4)
    # And the halo is needed: at the border the tile does not know what lies beyond.
    assert not torch.allclose(tile[:, :, -1], whole[:, :, top + height - 1, left : left + width], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 64), (33, 47), (64, 65)])
def test_any_size(height: int, width: int) -> None:
    network = shaken()
    srgb = photograph(height, width)
    with torch.no_grad():
        linear = network(srgb)
    assert linear.shape == srgb.shape and linear.dtype == torch.float32
    assert bool(linear.isfinite().all()) and float(linear.min()) >= 0


def test_a_batch_is_its_images() -> None:
    """With and without gradients, which take different ways."""
    network = shaken()
    frames = torch.cat([photograph(32, 40), photograph(32, 40).flip(3), 1 - photograph(32, 40)])
    with torch.no_grad():
        alone = torch.cat([network(frame[None]) for frame in frames])
        torch.testing.assert_close(network(frames), alone, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(network(frames).detach(), alone, atol=1e-5, rtol=1e-4)


# ---- learning ----


def test_every_parameter_learns() -> None:
    network = shaken().train()
    frames = torch.cat([photograph(32, 40), torch.zeros(1, 3, 32, 40), torch.ones(1, 3, 32, 40)])
    linear = network(frames)
    (linear - 0.3).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert float(parameter.grad.abs().max()) > 0, name


def test_gradients_are_those_of_finite_differences() -> None:
    """Of the exposure, a knot and a matrix entry, through all of the global part."""
    torch.manual_seed(2)
    part = GlobalInverse(code=8, knots=8, hidden=4)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    srgb = photograph(12, 12) * 0.9 + 0.05
    numbers = (0.3 * torch.randn(1, part.length)).requires_grad_()

    def loss(x: Tensor) -> Tensor:
        return expand(part(srgb, x)).mean()

    loss(numbers).backward()  # type: ignore[no-untyped-call]
    assert numbers.grad is not None
    for k in (0, 9, 1 + 3 * 7 + 2):
        step = torch.zeros_like(numbers)
        step[0, k] = 0.02
        with torch.no_grad():
            slope = (loss(numbers + step) - loss(numbers - step)) / 0.04
        torch.testing.assert_close(numbers.grad[0, k], slope, atol=2e-5, rtol=0.03)


# ---- the style ----


def test_the_grid_takes_single_pixels_at_equal_distances() -> None:
    frame = torch.arange(256.0 * 512).view(1, 1, 256, 512)
    grid = sample_grid(frame, 128)
    assert torch.equal(grid[0, 0], frame[0, 0, 1::2, 2::4])
    assert set(sample_grid(frame[..., :2, :3], 8).flatten().tolist()) == set(frame[0, 0, :2, :3].flatten().tolist())


def test_low_rank_grams_are_second_moments() -> None:
    torch.manual_seed(3)
    gram = LowRankGram(5, 3)
    features = torch.randn(2, 50, 5)
    with torch.no_grad():
        found = gram(features)
        directions = gram.directions(features).double().numpy()
    for k in range(2):
        moments = directions[k].T @ directions[k] / 50
        wanted = np.concatenate([directions[k].mean(axis=0), moments[np.triu_indices(3)]])
        np.testing.assert_allclose(found[k].numpy(), wanted, atol=1e-5)


def test_clipping_counts_pixels() -> None:
    srgb = torch.full((1, 3, 10, 10), 0.5)
    srgb[:, 0, :2] = 1.0  # a fifth of red is white
    srgb[:, 2, :, 0] = 3 / 255  # a tenth of blue is almost black
    shares = clipping(srgb)[0].square()
    torch.testing.assert_close(shares, torch.tensor([0.2, 0, 0, 0.2, 0, 0, 0, 0, 0, 0, 0, 0.1]))


def test_color_statistics_by_hand() -> None:
    """Two flat halves, dark red above bright grey, counted as the eye would."""
    grid = torch.full((1, 3, 16, 16), 12 / 15)
    grid[:, :, :8] = torch.tensor([9 / 31, 0, 0])[None, :, None, None]
    found = color_statistics(grid)
    assert found.shape == (1, COLOR_STATISTICS)
    histograms = (found[0, :96].view(3, 32) / 2).square()
    torch.testing.assert_close(histograms.sum(dim=1), torch.ones(3))
    assert float(histograms[0, 9]) == pytest.approx(0.5, abs=1e-5) == pytest.approx(float(histograms[1, 0]), abs=1e-5)
    spread_and_balance = found[0, 96 : 96 + 32].view(16, 2) / 4
    share = found[0, 96 + 32 : 96 + 48].square()
    torch.testing.assert_close(spread_and_balance[12], torch.zeros(2), atol=1e-6, rtol=0)
    assert float(share[12]) == pytest.approx(0.5, abs=1e-5)
    # The red half, of brightness 3/31, lies between the levels 1 and 2 of 15; a mean over few counts for less.
    fraction = 3 / 31 * 15 - 1
    assert float(share[2]) == pytest.approx(0.5 * fraction, abs=1e-5)
    weight = 128 * fraction
    assert spread_and_balance[2].tolist() == pytest.approx([9 / 31 * weight / (weight + 8)] * 2, rel=1e-4)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_the_course_of_contrasts_tells_a_curve(gamma: float) -> None:
    """Stripes that differ by the same factor at any brightness: steps grow with brightness, less with a curve."""
    light = torch.linspace(0.1, 0.97, 96)[:, None] ** gamma * torch.tensor([1.0, 1.1] * 48)
    steps = color_statistics((light ** (1 / gamma)).clamp(max=1.0).expand(1, 3, 96, 96))[0, 96 + 48 :]
    across = steps[48:96].view(48)[:32].view(16, 2)[:, 0] / 10
    wanted = torch.arange(16) / 15 * (1.1 ** (1 / gamma) - 1) / ((1 + 1.1 ** (1 / gamma)) / 2)
    # A mean over few pixels counts for less.
    torch.testing.assert_close(across[3:14], wanted[3:14], rtol=0.03, atol=0.0)


def test_styles_tell_frames_apart_but_not_where_things_are() -> None:
    torch.manual_seed(4)
    encoder = StyleEncoder(code=16).eval()
    frame = photograph(256, 256)
    with torch.no_grad():
        code = encoder(frame)
        assert not torch.allclose(encoder(frame**1.3), code, atol=1e-4, rtol=0)
        torch.testing.assert_close(encoder(torch.cat([frame, frame.flip(3)]))[:1], code, atol=1e-5, rtol=1e-4)


def test_a_style_can_be_given() -> None:
    network = shaken()
    first, second = photograph(48, 48), photograph(48, 48).flip(2) ** 0.7
    with torch.no_grad():
        style = network.encode_style(first)
        assert isinstance(style, Style) and style.code.shape == (1, 16)
        torch.testing.assert_close(network.decode(first, style), network(first))
        assert not torch.allclose(network.decode(second, style), network(second), atol=1e-4)
