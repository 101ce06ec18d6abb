"""A picture of a rejected file: its sRGB beside its RAW as it was laid on it, with the reason under them."""

from __future__ import annotations

import io
import textwrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rawsynth.pairs.camera import Match
from rawsynth.pairs.correlation import Window
from rawsynth.raw.files import RawFile
from rawsynth.raw.orientation import upright

_HEIGHT, _GAP, _FONT, _LINE, _COLUMNS, _QUALITY = 400, 8, 14, 19, 110, 85
# Side of the detail in sensor pixels; it is drawn as high as the pictures are.
_DETAIL = 200
_PAPER, _INK = (250, 250, 250), (40, 40, 40)


def draw_rejected(match: Match, reason: str, *, at: tuple[int, int] | None = None) -> bytes:
    """Draw what both images show, upright, and under it a detail.

    Args:
        match: the file; without an alignment, each of its images is drawn as a whole and without a detail.
        reason: the caption.
        at: row and column on the mosaic of the detail's middle; that of the picture by default.

    Returns:
        A JPEG file.
    """
    developed = _half_size(match.raw)
    srgb = None if match.srgb is None else match.srgb.transpose(1, 2, 0)
    if match.alignment is None or srgb is None:
        rows = [[_picture(image, match.raw) for image in (srgb, developed) if image is not None]]
    else:
        shift = match.alignment.dy, match.alignment.dx
        common = _common(shift, srgb.shape, match.raw.mosaic.shape)
        detail = _detail(common, at)
        rows = [
            [_picture(_cut(srgb, window, shift), match.raw), _picture(_cut_half(developed, window), match.raw)]
            for window in (common, detail)
        ]
    shown = f"{match.rendition.source} on the left, RAW on the right" if match.rendition is not None else "RAW only"
    caption = [f"{match.source.path}: {shown}", *textwrap.wrap(reason, _COLUMNS)]
    buffer = io.BytesIO()
    _compose(rows, caption).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _common(shift: tuple[int, int], srgb: tuple[int, ...], sensor: tuple[int, ...]) -> Window:
    """Return what both images show, on the mosaic."""
    first = [max(0, shift[axis]) for axis in (0, 1)]
    last = [min(sensor[axis], srgb[axis] + shift[axis]) for axis in (0, 1)]
    return first[0], first[1], last[0] - first[0], last[1] - first[1]


def _detail(common: Window, at: tuple[int, int] | None) -> Window:
    middle = at or (common[0] + common[2] // 2, common[1] + common[3] // 2)
    size = [min(_DETAIL, common[2 + axis]) for axis in (0, 1)]
    first = [
        min(max(middle[axis] - size[axis] // 2, common[axis]), common[axis] + common[2 + axis] - size[axis])
        for axis in (0, 1)
    ]
    return first[0], first[1], size[0], size[1]


def _cut(srgb: NDArray[np.uint8], window: Window, shift: tuple[int, int]) -> NDArray[np.uint8]:
    top, left = window[0] - shift[0], window[1] - shift[1]
    return srgb[top : top + window[2], left : left + window[3]]


def _cut_half(developed: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    top, left, height, width = (value // 2 for value in window)
    return developed[top : top + max(height, 1), left : left + max(width, 1)]


def _half_size(raw: RawFile) -> NDArray[np.uint8]:
    """Develop a RAW for eyes, a pixel for each 2x2 sites: white balance, matrix, exposure, the sRGB curve."""
    rows, columns = (side // 2 * 2 for side in raw.mosaic.shape)
    red, blue = raw.white_balance or (1.0, 1.0)
    rgb = np.zeros((rows // 2, columns // 2, 3), np.float32)
    for k, color in enumerate(raw.cfa):
        plane = raw.mosaic[k // 2 : rows : 2, k % 2 : columns : 2].astype(np.float32) - raw.black[k]
        gain = {"R": red, "G": 0.5, "B": blue}[color] / (raw.white - raw.black[k])
        rgb[..., "RGB".index(color)] += plane * gain
    # Clipped at once, or what saturates in green would turn magenta.
    rgb = rgb.clip(0, 1)
    if raw.cam_from_srgb is not None:
        rgb = rgb @ np.linalg.inv(raw.cam_from_srgb).T.astype(np.float32)
    linear = (rgb / max(float(np.quantile(rgb[::4, ::4], 0.99)), 1e-3)).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(curved * 255 + 0.5, np.uint8)


def _picture(pixels: NDArray[np.uint8], raw: RawFile) -> Image.Image:
    turned = upright(pixels.transpose(2, 0, 1), raw.orientation).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(turned))
    return image.resize((max(1, round(image.width * _HEIGHT / image.height)), _HEIGHT), Image.Resampling.LANCZOS)


def _compose(rows: list[list[Image.Image]], caption: list[str]) -> Image.Image:
    font = ImageFont.load_default(size=_FONT)
    text_width = int(max(font.getlength(line) for line in caption))
    width = max(text_width, *(sum(image.width + _GAP for image in row) - _GAP for row in rows)) + 2 * _GAP
    height = len(rows) * (_HEIGHT + _GAP) + len(caption) * _LINE + 2 * _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    for r, row in enumerate(rows):
        x = _GAP
        for image in row:
            sheet.paste(image, (x, _GAP + r * (_HEIGHT + _GAP)))
            x += image.width + _GAP
    draw = ImageDraw.Draw(sheet)
    for k, line in enumerate(caption):
        draw.text((_GAP, len(rows) * (_HEIGHT + _GAP) + _GAP + k * _LINE), line, _INK, font)
    return sheet
