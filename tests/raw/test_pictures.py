"""Sheets of pictures: sizes, captions that hold anything, and colours in the order of their values."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from rawsynth.raw.pictures import Panel, compose, cubehelix, encode_png, fit, picture


def test_pictures_hold_the_pixels() -> None:
    srgb = torch.randint(0, 256, (3, 6, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for given in (srgb, srgb.float() / 255, srgb.double() / 255):
        assert (np.asarray(picture(given, 6)) == srgb.permute(1, 2, 0).numpy()).all()
    assert (np.asarray(Image.open(io.BytesIO(encode_png(picture(srgb, 6))))) == srgb.permute(1, 2, 0).numpy()).all()


def test_reduced_pictures_keep_single_pixels_or_average() -> None:
    checks = Image.fromarray((np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert set(np.unique(np.asarray(fit(checks, 4)))) <= {0, 255}
    assert set(np.unique(np.asarray(fit(checks, 4, smooth=True)))) <= {127, 128}
    assert fit(checks, 16).size == fit(checks, 16, smooth=True).size == (16, 16)


def test_a_sheet_has_room_for_every_panel() -> None:
    def panel(width: int, color: str) -> Panel:
        return Panel(Image.new("RGB", (width, 40), color), "title", "detail")

    sheet = compose([[panel(30, "red"), panel(50, "lime")], [panel(90, "blue")]], 40, min_width=60)
    pixels = np.asarray(sheet)
    for color, count in [((255, 0, 0), 30 * 40), ((0, 255, 0), 50 * 40), ((0, 0, 255), 90 * 40)]:
        assert (pixels == color).all(axis=-1).sum() == count
    assert sheet.width == 8 + 90 + 8 + 60 + 8


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 5000, "é 图像 🌄", "\0", "  "])
def test_captions_hold_anything_and_stay_in_their_column(text: str) -> None:
    row = [Panel(Image.new("RGB", (120, 40)), text, text), Panel(Image.new("RGB", (50, 40)), "", "")]
    pixels = np.asarray(compose([row], 40))
    paper = pixels[0, 0]
    assert (pixels[50:, 140:] == paper).all()


def test_larger_values_are_brighter() -> None:
    """The colours' luminance rises all the way, so that a map can be read without its colours."""
    red, green, blue = cubehelix(torch.linspace(0, 1, 1001)[None])[:, 0]
    luma = 0.30 * red + 0.59 * green + 0.11 * blue
    assert (luma.diff() > 0).all()
    assert cubehelix(torch.tensor([[-1.0, 2.0]])).flatten().tolist() == [0.0, 1.0] * 3
