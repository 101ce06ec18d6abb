"""render undoes ReverseISP as far as a mosaic allows, with the right colour at each site of every layout."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data as photos
from torch import Tensor

from rawsynth.raw.cfa import BAYER_LAYOUTS, mosaic, unpack
from rawsynth.raw.image import RawImage
from rawsynth.raw.rendering import demosaic, render
from rawsynth.transforms import AddNoise, ReverseISP

CFAS = pytest.mark.parametrize("cfa", BAYER_LAYOUTS)


def photo(name: str) -> Tensor:
    """A photograph of even size as (3, H, W) in [0, 1]."""
    pixels = getattr(photos, name)()
    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255.0


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10.0 * torch.log10(((a - b) ** 2).mean()))


def bilinear(sensor: Tensor, cfa: str) -> Tensor:
    """Bilinear demosaicing by convolving each colour's sparse samples, in float64."""
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4.0
    square = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4.0
    planes = []
    for color, kernel in zip("RGB", (square, cross, square), strict=True):
        tile = np.array([site == color for site in cfa]).reshape(2, 2)
        mask = np.tile(tile, (sensor.shape[0] // 2, sensor.shape[1] // 2))
        planes.append(ndimage.convolve(sensor.double().numpy() * mask, kernel, mode="constant"))
    return torch.from_numpy(np.stack(planes)).float()


@CFAS
def test_demosaicing_is_bilinear(cfa: str) -> None:
    sensor = unpack(mosaic(photo("chelsea")[:, 100:160, 100:180], cfa))
    assert (demosaic(sensor, cfa) - bilinear(sensor, cfa))[:, 2:-2, 2:-2].abs().max() < 1e-6


@CFAS
def test_a_single_colour_comes_back(cfa: str) -> None:
    """Dull enough that no linear camera value is negative or near the highlights' protection."""
    colors = 0.2 + 0.5 * torch.rand(32, 3, generator=torch.Generator().manual_seed(1))
    srgb = colors[:, :, None, None].expand(-1, -1, 6, 8)
    raw = ReverseISP("unprocess", cfa=cfa, rgb_gain=1.25, seed=0)(srgb, keys=[str(k) for k in range(32)])
    assert (render(raw) - srgb).abs().max() < 1e-5


def test_white_comes_back() -> None:
    white = torch.full((4, 3, 4, 4), 255, dtype=torch.uint8)
    to_raw = ReverseISP("unprocess", rgb_gain=1.25, seed=0)
    raw = to_raw(white, keys=list("abcd"), overrides={"cfa": list(BAYER_LAYOUTS)})
    assert render(raw).min() > 1.0 - 1e-5


@CFAS
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_a_photograph_comes_back_but_for_interpolation(name: str, cfa: str) -> None:
    """Bilinear demosaicing alone leaves 29 to 34 dB; interpolating linear light costs 2.3 to 3.4 dB more."""
    srgb = photo(name)
    raw = ReverseISP("unprocess", cfa=cfa, rgb_gain=1.25, seed=0)(srgb, keys=[name])
    rendered = render(raw)
    assert rendered.shape == srgb.shape
    assert psnr(rendered, srgb) > psnr(bilinear(unpack(mosaic(srgb, cfa)), cfa), srgb) - 4.0


@pytest.mark.parametrize("told", BAYER_LAYOUTS[1:])
def test_a_wrong_layout_would_be_seen(told: str) -> None:
    srgb = photo("coffee")
    raw = ReverseISP("unprocess", cfa="RGGB", rgb_gain=1.25, seed=0)(srgb, keys=["coffee"])
    assert psnr(render(RawImage(raw.packed, replace(raw.metadata, cfa=told))), srgb) < 20.0


def test_a_batch_of_mixed_layouts_renders_as_its_images() -> None:
    srgb = photo("astronaut")[None, :, :64, :80].expand(4, -1, -1, -1)
    raw = ReverseISP("unprocess", seed=0)(srgb, keys=list("abcd"), overrides={"cfa": list(BAYER_LAYOUTS)})
    together = render(raw)
    assert together.shape == (4, 3, 64, 80)
    for k, image in enumerate(raw):
        assert torch.equal(render(image), together[k])


def test_exposure_undoes_the_rgb_gain() -> None:
    srgb = torch.full((1, 3, 4, 4), 0.5)
    raw = ReverseISP("unprocess", rgb_gain=2.0, seed=0)(srgb, keys=["a"])
    assert torch.allclose(render(raw), srgb, atol=1e-5)
    y = (0.5**2.2 / 2.0) ** (1 / 2.2)  # tone of 0.5 is 0.5; half the linear light
    assert torch.allclose(render(raw, exposure=False), torch.tensor(3 * y**2 - 2 * y**3), atol=1e-5)


def test_noise_under_black_renders_in_range() -> None:
    raw = AddNoise("heteroscedastic_gaussian", shot=0.1, read=0.1, seed=0)(
        RawImage.from_packed(torch.zeros(1, 4, 16, 16)), keys=["a"]
    )
    assert raw.packed.min() < -0.1
    rendered = render(raw)
    assert rendered.dtype == torch.float32
    assert 0.0 <= rendered.min() < 0.01 < 0.5 < rendered.max() <= 1.0


def test_half_precision_planes_render_in_float32() -> None:
    raw = ReverseISP("unprocess", rgb_gain=1.25, seed=0)(torch.full((1, 3, 4, 4), 0.5), keys=["a"]).to(torch.float16)
    assert render(raw).dtype == torch.float32
    assert (render(raw) - 0.5).abs().max() < 2e-3
