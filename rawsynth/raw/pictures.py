"""Sheets of pictures with captions under them, for eyes."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_CAPTION_PX, _GAP_PX, _FONT_PX = 40, 8, 13
_PAPER, _INK = (250, 250, 250), (40, 40, 40)


@dataclass(frozen=True)
class Panel:
    """One picture with two lines under it."""

    image: Image.Image
    title: str
    detail: str


def picture(srgb: Tensor, height: int, *, smooth: bool = False) -> Image.Image:
    """Turn ``(3, H, W)`` sRGB, uint8 or float in [0, 1], into a picture of that height; see :func:`fit`."""
    pixels = srgb if srgb.dtype == torch.uint8 else (srgb.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return fit(Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())), height, smooth=smooth)


def fit(image: Image.Image, height: int, *, smooth: bool = False) -> Image.Image:
    """Resize to a height and keep the shape; ``smooth`` averages areas where a picture is reduced."""
    width = max(1, round(image.width * height / image.height))
    # Nearest keeps single noisy pixels visible where a picture is enlarged; area averaging would hide the noise.
    resample = Image.Resampling.BOX if smooth else Image.Resampling.NEAREST
    return image.convert("RGB").resize((width, height), resample)


def compose(rows: Sequence[Sequence[Panel]], height: int, *, min_width: int = 0) -> Image.Image:
    """Draw rows of panels on one sheet.

    Args:
        rows: panels from left to right, rows from top to bottom; the pictures are ``height`` high.
        height: of the pictures, in pixels.
        min_width: of a column; captions are cut to their column's width.
    """
    columns = max(len(row) for row in rows)
    widths = [max(min_width, *(row[c].image.width for row in rows if c < len(row))) for c in range(columns)]
    row_height = height + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (sum(widths) + _GAP_PX * (columns + 1), row_height * len(rows) + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_FONT_PX)
    for r, row in enumerate(rows):
        for c, panel in enumerate(row):
            x, y = _GAP_PX + sum(widths[:c]) + c * _GAP_PX, _GAP_PX + r * row_height
            sheet.paste(panel.image, (x, y))
            for line, text in enumerate((panel.title, panel.detail)):
                draw.text((x, y + height + 3 + line * (_FONT_PX + 4)), _shorten(text, widths[c], font), _INK, font)
    return sheet


def _shorten(text: str, width: int, font: Any) -> str:
    # A key may hold anything; a line break has no length.
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    # A key may be very long: measuring it once a letter would take minutes.
    kept = bisect_right(range(len(text)), width, key=lambda length: font.getlength(text[:length] + "..."))
    return text[: max(0, kept - 1)] + "..."


def encode_png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def cubehelix(values: Tensor) -> Tensor:
    """Colour values from black through blue, green and pink to white; a larger value is always brighter.

    Green, "A colour scheme for the display of astronomical intensity images", Bull. Astr. Soc. India 39 (2011) 289,
    with its default start 0.5, rotations -1.5, hue 1 and gamma 1.

    Args:
        values: ``(H, W)``, clipped to [0, 1].

    Returns:
        ``(3, H, W)`` float32 in [0, 1].

    >>> cubehelix(torch.tensor([[0.0, 1.0]])).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    """
    level = values.float().clamp(0.0, 1.0)
    angle = 2 * torch.pi * (0.5 / 3 + 1 - 1.5 * level)
    amplitude = level * (1 - level) / 2
    around = torch.tensor([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]], device=level.device)
    turned = torch.einsum("ck,khw->chw", around, torch.stack([angle.cos(), angle.sin()]))
    return (level + amplitude * turned).clamp(0.0, 1.0)
