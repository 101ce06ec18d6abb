"""A picture of a corpus: a row a sample, source sRGB, clean RAW and noisy RAW rendered, with captions."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image
from torch import Tensor

from rawsynth import storage
from rawsynth.corpus.reading import list_parts, sample_stages, unit_scale
from rawsynth.errors import UsageError
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.pictures import Panel, compose, encode_png, fit, picture
from rawsynth.raw.rendering import render
from rawsynth.transforms import ReverseISP

BROOKS_GAIN = 1.25
"""The centre of the law of exposures in Brooks et al. 2019."""


def write_preview(
    corpus: str, target: str, *, rows: int = 8, height: int = 260, beside_unprocess: bool = False
) -> str:
    """Draw the first samples of a corpus as a PNG.

    Args:
        corpus: folder or URL.
        target: path or URL of the PNG.
        rows: at most this many samples.
        height: of a picture, in pixels.
        beside_unprocess: show what ``unprocess`` makes of the sources too, where the corpus holds them.

    Returns:
        ``target``.

    Raises:
        UsageError: the corpus holds no sample.
    """
    samples = wds.DataPipeline(*sample_stages(list_parts([corpus], None)))
    drawn = [sample_panels(sample, height, beside_unprocess=beside_unprocess) for sample in islice(samples, rows)]
    if not drawn:
        raise UsageError(f"{corpus} holds no sample to draw.")
    storage.write_atomic(target, encode_png(compose(drawn, height)))
    return target


def sample_panels(sample: Mapping[str, Any], height: int, *, beside_unprocess: bool = False) -> list[Panel]:
    """Render one sample: its source where the corpus holds it, its clean RAW, its first noisy RAW."""
    meta = json.loads(sample["json"])
    raw = RawMetadata.from_json(meta["raw"])
    clean = RawImage(unit_scale(sample["clean.npy"], meta["clean"]["levels"]), raw)
    panels = list(_source_panels(sample, meta, height, beside_unprocess))
    panels.append(Panel(picture(render(clean), height), f"clean RAW by {raw.method}", _clean_detail(meta["raw"])))
    for entry in meta["noisy"][:1]:
        noisy = RawImage(unit_scale(sample[entry["member"]], entry["levels"]), raw)
        detail = _noise_detail(entry, clean.packed, noisy.packed)
        panels.append(Panel(picture(render(noisy), height), "noisy RAW", detail))
    return panels


def _source_panels(
    sample: Mapping[str, Any], meta: Mapping[str, Any], height: int, beside_unprocess: bool
) -> Iterator[Panel]:
    if "srgb.jpg" not in sample:
        return
    source = Image.open(io.BytesIO(sample["srgb.jpg"]))
    yield Panel(fit(source, height), f"sRGB: {meta['source']['key']}", f"{source.width} x {source.height}")
    if beside_unprocess:
        raw = unprocessed(source, meta["raw"])
        # So a rendering that looks like the source says nothing for it.
        detail = f"same camera, exposure 1/{BROOKS_GAIN}; the rendering is its inverse"
        yield Panel(picture(render(raw), height), f"clean RAW by {raw.metadata.method}", detail)


def unprocessed(source: Image.Image, raw: Mapping[str, Any]) -> RawImage:
    """Unprocess a source image with the colour of a sample's RAW and the central exposure of Brooks' law."""
    color = {name: raw[name] for name in ("cfa", "cam_from_srgb", "white_balance")}
    srgb = torch.from_numpy(np.array(source.convert("RGB"))).permute(2, 0, 1)
    made: RawImage = ReverseISP("unprocess", rgb_gain=BROOKS_GAIN, **color)(srgb)
    return made


def _clean_detail(raw: Mapping[str, Any]) -> str:
    red, blue = raw["white_balance"]
    light = f"{raw['camera']} at {raw['cct']:.0f} K, " if raw.get("camera") and raw.get("cct") else ""
    exposure = "" if raw["rgb_gain"] == 1 else f", exposure 1/{raw['rgb_gain']:.2f}"
    return f"{light}{raw['cfa']}, gains R {red:.2f} B {blue:.2f}{exposure}"


def _noise_detail(entry: Mapping[str, Any], clean: Tensor, noisy: Tensor) -> str:
    mse = float(((noisy - clean) ** 2).mean())
    psnr = f", PSNR {-10 * math.log10(mse):.1f} dB" if mse else ""
    iso = f" at ISO {entry['noise']['iso']:.0f}" if entry["noise"].get("iso") else ""
    return f"{entry['noise']['model']}{iso}, S {entry['shot'][0]:.1e}, O {entry['read'][0]:.1e}{psnr}"
