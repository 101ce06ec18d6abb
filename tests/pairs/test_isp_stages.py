"""Stages of the forward ISP against standards, closed forms and independent implementations."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.color import CFA, raw_to_rgb
from PIL import Image
from scipy import ndimage
from skimage import data
from torch import Tensor

from rawsynth.pairs import isp_stages as stages
from rawsynth.raw.cfa import BAYER_LAYOUTS

UNIT = torch.linspace(0, 1, 257)


def photograph(side: int = 96) -> Tensor:
    """A piece of a real photograph, (3, side, side) in [0, 1]."""
    pixels = data.astronaut()[40 : 40 + side, 180 : 180 + side]
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


# ---- demosaicing ----

# kornia names the layouts by the second row's ends.
KORNIA = {"RGGB": CFA.BG, "BGGR": CFA.RG, "GRBG": CFA.GB, "GBRG": CFA.GR}


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_demosaic_is_bilinear(cfa: str) -> None:
    image = photograph()
    mosaic = torch.empty(1, 1, 96, 96)
    for site, color in enumerate(cfa):
        top, left = divmod(site, 2)
        mosaic[0, 0, top::2, left::2] = image["RGB".index(color), top::2, left::2]
    # kornia's borders follow another rule.
    wanted = raw_to_rgb(mosaic, KORNIA[cfa])[0, :, 2:-2, 2:-2]
    torch.testing.assert_close(stages.demosaic(image, cfa, 1.0)[:, 2:-2, 2:-2], wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_demosaic_keeps_what_is_linear_and_what_was_sampled(cfa: str) -> None:
    ramp = torch.arange(30.0)[:, None] * 0.01 + torch.arange(40.0) * 0.02
    plane = torch.stack([ramp, 2 * ramp, 1 - ramp])
    torch.testing.assert_close(stages.demosaic(plane, cfa, 1.0)[:, 1:-1, 1:-1], plane[:, 1:-1, 1:-1])
    image = photograph(33)  # odd sides
    out = stages.demosaic(image, cfa, 1.0)
    for site, color in enumerate(cfa):
        top, left = divmod(site, 2)
        c = "RGB".index(color)
        assert torch.equal(out[c, top::2, left::2], image[c, top::2, left::2])
    half = stages.demosaic(image, cfa, 0.5)
    torch.testing.assert_close(half, (image + out) / 2)
    assert stages.demosaic(image, cfa, 0.0) is image


# ---- highlights ----


def test_highlights() -> None:
    balanced = torch.tensor([[2.0, 1.2], [1.0, 0.3], [1.5, 0.6]])[:, None, :]
    clipped = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])[:, None, :]
    assert stages.highlights(balanced, clipped, "clip", 1.0).max() == 1.0
    assert torch.equal(stages.highlights(balanced, clipped, "keep", 1.0), balanced)
    neutral = stages.highlights(balanced, clipped, "neutral", 1.0)
    assert neutral[:, 0, 0].tolist() == [2.0, 2.0, 2.0]  # one channel lost: no colour
    assert torch.equal(neutral[:, 0, 1], balanced[:, 0, 1])
    assert stages.highlights(balanced, clipped, "neutral", 0.5)[:, 0, 0].tolist() == [2.0, 1.5, 1.75]


# ---- curves ----


@pytest.mark.parametrize(
    ("kind", "linear", "encoded"),
    [
        # IEC 61966-2-1 and ITU-R BT.709-6, item 1.2, by hand.
        ("srgb", 0.0, 0.0),
        ("srgb", 0.0031308, 0.04045),
        ("srgb", 0.18, 0.461356),
        ("srgb", 0.5, 0.735357),
        ("srgb", 1.0, 1.0),
        ("bt709", 0.0, 0.0),
        ("bt709", 0.01, 0.045),
        ("bt709", 0.018, 0.081),
        ("bt709", 0.18, 0.409008),
        ("bt709", 0.5, 0.705515),
        ("bt709", 1.0, 1.0),
        ("power", 0.25, 0.5),
        ("power", 1.0, 1.0),
    ],
)
def test_transfer_by_the_standards(kind: str, linear: float, encoded: float) -> None:
    assert float(stages.transfer(torch.tensor([linear]), kind, 2.0)) == pytest.approx(encoded, abs=3e-4)


@given(st.sampled_from(["none", "reinhard", "exponential", "sigmoid"]), st.floats(0.3, 12), st.floats(1.0, 1.7))
def test_tones_rise_from_0_to_1(kind: str, strength: float, contrast: float) -> None:
    y = stages.tone(UNIT, kind, strength, contrast)
    assert float(y[0]) == pytest.approx(0, abs=1e-6) and float(y[-1]) == pytest.approx(1, abs=1e-5)
    assert bool((y[1:] - y[:-1] >= -1e-6).all())


def test_tones_are_what_they_are_called() -> None:
    x = torch.tensor([0.18], dtype=torch.float64)
    white = 4.0
    light = float(x) * white
    # Reinhard et al. 2002, equation 4, of light that is gained to where white is.
    assert float(stages.tone(x, "reinhard", white, 1)) == pytest.approx(light * (1 + light / white**2) / (1 + light))
    assert float(stages.tone(x, "exponential", 3.0, 1)) == pytest.approx(
        (1 - math.exp(-3 * 0.18)) / (1 - math.exp(-3))
    )
    half = 2.5 * 0.18**1.4
    assert float(stages.tone(x, "sigmoid", 2.5, 1.4)) == pytest.approx((1 + half) / (1 + 2.5))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=16))
def test_free_curves_rise_from_0_to_1(bends: list[float]) -> None:
    y = stages.free_curve(UNIT, bends)
    assert float(y[0]) == 0 and float(y[-1]) == pytest.approx(1, abs=1e-5)
    assert bool((y[1:] > y[:-1]).all())
    slopes = np.exp(bends)
    knots = np.concatenate([[0], np.cumsum(slopes)]) / slopes.sum()
    wanted = np.interp(UNIT.numpy(), np.linspace(0, 1, len(bends) + 1), knots)
    np.testing.assert_allclose(y.numpy(), wanted, atol=2e-6)


def test_s_curve() -> None:
    y = stages.s_curve(UNIT, 1.0)
    np.testing.assert_allclose(y.numpy(), (3 - 2 * UNIT.numpy()) * UNIT.numpy() ** 2, atol=1e-6)
    assert torch.equal(stages.s_curve(UNIT, 0.0), UNIT)
    for amount in (-0.5, 0.5):
        y = stages.s_curve(UNIT, amount)
        assert [float(y[k]) for k in (0, 128, 256)] == pytest.approx([0, 0.5, 1])
        assert bool((y[1:] > y[:-1]).all())


# ---- colour ----


@given(st.floats(0.0, 2.0), st.floats(-math.pi, math.pi), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_saturation_and_hue(saturation: float, hue: float, color: list[float]) -> None:
    """Greys stay; saturation keeps luma; hue keeps the mean and the distance from it, and turns by its angle."""
    x = torch.tensor(color)[:, None, None]
    luma = torch.tensor(stages.LUMA)[:, None, None]
    grey = torch.full((3, 1, 1), color[0])
    torch.testing.assert_close(stages.saturate(grey, saturation, hue), grey, atol=2e-6, rtol=0)
    scaled = stages.saturate(x, saturation, 0.0)
    torch.testing.assert_close((luma * scaled).sum(), (luma * x).sum(), atol=3e-6, rtol=0)
    turned = stages.saturate(x, 1.0, hue)
    torch.testing.assert_close(turned.mean(), x.mean(), atol=3e-6, rtol=0)
    before, after = ((y - y.mean()).flatten().double() for y in (x, turned))
    assert float(after.norm()) == pytest.approx(float(before.norm()), abs=3e-6)
    if float(before.norm()) > 0.05:
        cosine = float(before @ after / before.norm() / after.norm())
        assert cosine == pytest.approx(math.cos(hue), abs=1e-3)


def test_a_third_of_a_turn_swaps_channels() -> None:
    x = torch.tensor([0.7, 0.2, 0.4])[:, None, None]
    turned = stages.saturate(x, 1.0, 2 * math.pi / 3).flatten()
    torch.testing.assert_close(turned, torch.tensor([0.4, 0.7, 0.2]), atol=1e-6, rtol=0)


# ---- detail ----


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_blur_is_a_gaussian(sigma: float) -> None:
    image = photograph(48)
    radius = max(1, math.ceil(2.5 * sigma))
    wanted = ndimage.gaussian_filter(image.double().numpy(), (0, sigma, sigma), mode="nearest", radius=radius)
    np.testing.assert_allclose(stages.blur(image, sigma).numpy(), wanted, atol=1e-5)


def test_sharpening_adds_what_blur_takes() -> None:
    image = photograph(48)
    wanted = image + 0.7 * (image - stages.blur(image, 1.1))
    torch.testing.assert_close(stages.sharpen(image, 0.7, 1.1), wanted)
    flat = torch.full((3, 8, 8), 0.4)
    torch.testing.assert_close(stages.sharpen(flat, 1.0, 1.0), flat)


def test_bytes() -> None:
    image = photograph(40)
    wanted = (image * 255).round().to(torch.uint8)
    assert torch.equal(stages.to_bytes(image * 1.5 - 0.2, None), ((image * 1.5 - 0.2).clamp(0, 1) * 255).round().byte())
    assert torch.equal(stages.to_bytes(image, None), wanted)
    buffer = io.BytesIO()
    Image.fromarray(wanted.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=80, subsampling="4:2:0")
    jpeg = stages.to_bytes(image, {"quality": 80, "subsampling": 2})
    assert np.array_equal(jpeg.permute(1, 2, 0).numpy(), np.asarray(Image.open(buffer)))
