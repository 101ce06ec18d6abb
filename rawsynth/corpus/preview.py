"""A picture of a corpus: a row a sample, source sRGB, clean RAW and noisy RAW rendered, with captions."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rawsynth import storage
from rawsynth.corpus.reading import list_parts, sample_stages, unit_scale
from rawsynth.errors import UsageError
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.rendering import render

_CAPTION_PX, _GAP_PX, _FONT_PX = 40, 8, 13
_PAPER, _INK = (250, 250, 250), (40, 40, 40)


@dataclass(frozen=True)
class Panel:
    """One picture with two lines under it."""

    image: Image.Image
    title: str
    detail: str


def write_preview(corpus: str, target: str, *, rows: int = 8, height: int = 260) -> str:
    """Draw the first samples of a corpus as a PNG.

    Args:
        corpus: folder or URL.
        target: path or URL of the PNG.
        rows: at most this many samples.
        height: of a picture, in pixels.

    Returns:
        ``target``.

    Raises:
        UsageError: the corpus holds no sample.
    """
    samples = wds.DataPipeline(*sample_stages(list_parts([corpus], None)))
    drawn = [sample_panels(sample, height) for sample in islice(samples, rows)]
    if not drawn:
        raise UsageError(f"{corpus} holds no sample to draw.")
    buffer = io.BytesIO()
    _compose(drawn, height).save(buffer, "PNG", optimize=True)
    storage.write_atomic(target, buffer.getvalue())
    return target


def sample_panels(sample: Mapping[str, Any], height: int) -> list[Panel]:
    """Render one sample: its source where the corpus holds it, its clean RAW, its first noisy RAW."""
    meta = json.loads(sample["json"])
    raw = RawMetadata.from_json(meta["raw"])
    entry = meta["noisy"][0]
    clean = RawImage(unit_scale(sample["clean.npy"], meta["clean"]["levels"]), raw)
    noisy = RawImage(unit_scale(sample[entry["member"]], entry["levels"]), raw)
    return [
        *_source_panel(sample, meta, height),
        Panel(_picture(render(clean), height), "clean RAW, rendered", _clean_detail(meta["raw"])),
        Panel(_picture(render(noisy), height), "noisy RAW, rendered", _noise_detail(entry, clean.packed, noisy.packed)),
    ]


def _source_panel(sample: Mapping[str, Any], meta: Mapping[str, Any], height: int) -> Iterator[Panel]:
    if "srgb.jpg" in sample:
        source = Image.open(io.BytesIO(sample["srgb.jpg"]))
        yield Panel(_fit(source, height), f"sRGB: {meta['source']['key']}", f"{source.width} x {source.height}")


def _clean_detail(raw: Mapping[str, Any]) -> str:
    red, blue = raw["white_balance"]
    return f"{raw['method']}, {raw['cfa']}, gains R {red:.2f} B {blue:.2f}, exposure 1/{raw['rgb_gain']:.2f}"


def _noise_detail(entry: Mapping[str, Any], clean: Tensor, noisy: Tensor) -> str:
    mse = float(((noisy - clean) ** 2).mean())
    psnr = f", PSNR {-10 * math.log10(mse):.1f} dB" if mse else ""
    return f"{entry['noise']['model']}, S {entry['shot'][0]:.1e}, O {entry['read'][0]:.1e}{psnr}"


def _picture(srgb: Tensor, height: int) -> Image.Image:
    pixels = (srgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return _fit(Image.fromarray(np.ascontiguousarray(pixels)), height)


def _fit(image: Image.Image, height: int) -> Image.Image:
    width = max(1, round(image.width * height / image.height))
    # Nearest keeps single noisy pixels visible where a picture is enlarged; area averaging would hide the noise.
    return image.convert("RGB").resize((width, height), Image.Resampling.NEAREST)


def _compose(rows: list[list[Panel]], height: int) -> Image.Image:
    columns = max(len(row) for row in rows)
    widths = [max(row[c].image.width for row in rows if c < len(row)) for c in range(columns)]
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
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
