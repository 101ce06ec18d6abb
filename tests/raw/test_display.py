"""display: what a notebook shows of a RawImage."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from rawsynth import AddNoise, RawImage, ReverseISP
from rawsynth.raw.display import shrink_packed


def picture(raw: RawImage) -> Image.Image:
    content = raw._repr_png_()
    assert content is not None
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == "PNG"
        return image


def gradient(count: int = 1, height: int = 64, width: int = 96) -> RawImage:
    """Red rises from left to right, the others stay."""
    srgb = torch.full((count, 3, height, width), 0.2)
    srgb[:, 0] = torch.linspace(0.1, 0.9, width)
    return ReverseISP("unprocess", seed=0)(srgb, keys=[str(k) for k in range(count)])


def test_one_image_is_shown_rendered() -> None:
    pixels = np.asarray(picture(gradient()[0]), float)[20:350]
    left, right = pixels[:, 30:100].mean(axis=(0, 1)), pixels[:, -100:-30].mean(axis=(0, 1))
    assert right[0] > left[0] + 80 and right[0] > right[1] + 80 and abs(left[0] - left[1]) < 40


@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_a_batch_is_a_strip_of_bounded_width(count: int) -> None:
    image = picture(gradient(count))
    shown = min(count, 8)
    assert image.height < 260 and shown * 280 < image.width < shown * 310


@pytest.mark.parametrize(
    "shape", [(4, 1, 1), (4, 1, 3000), (4, 2500, 1), (2, 3, 4, 8, 8), (4, 900, 1300)], ids=str
)
def test_any_shape_gives_a_picture_of_bounded_size(shape: tuple[int, ...]) -> None:
    image = picture(RawImage.from_packed(torch.rand(shape)))
    assert image.height < 450 and image.width < 1700


@pytest.mark.parametrize("raw", [torch.zeros(0, 4, 8, 8), torch.zeros(4, 8, 8, device="meta")], ids=["empty", "meta"])
def test_nothing_to_show(raw: torch.Tensor) -> None:
    assert RawImage.from_packed(raw)._repr_png_() is None


def test_values_that_no_picture_has_do_no_harm() -> None:
    packed = torch.rand(4, 16, 16)
    packed[:, :4], packed[:, 4:8], packed[:, 8:12] = float("nan"), float("inf"), -3.0
    assert picture(RawImage.from_packed(packed.half())).width > 300


def test_noise_changes_the_picture_and_not_the_image() -> None:
    clean = gradient()[0]
    noisy = AddNoise("heteroscedastic_gaussian", shot=0.02, read=0.001)(clean)
    before = noisy.packed.clone()
    assert clean._repr_png_() != noisy._repr_png_()
    assert torch.equal(noisy.packed, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    assert picture(gradient(2).to("cuda")).size == picture(gradient(2)).size


def test_shrinking_keeps_each_plane_to_itself() -> None:
    planes = torch.arange(4.0)[:, None, None].expand(4, 10, 30)
    small = shrink_packed(planes, 8)
    assert small.shape[-1] <= 8 and torch.equal(small, planes[:, : small.shape[1], : small.shape[2]])
