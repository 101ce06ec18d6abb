"""A picture of a corpus: a row a sample, source sRGB, clean RAW and noisy RAW rendered, with captions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth import storage
from rawsynth.corpus.decoded import DecodedPair, decode_pair
from rawsynth.corpus.picking import Damaged, Picked, pick_first
from rawsynth.errors import CorpusError, UsageError
from rawsynth.evaluation.pictures import round_up
from rawsynth.raw.cfa import unpack
from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import Panel, compose, encode_png, picture
from rawsynth.raw.rendering import render
from rawsynth.transforms import ReverseISP

BROOKS_GAIN = 1.25
"""The centre of the law of exposures in Brooks et al. 2019."""

# So many sigmas of an image's noise fit between black and white of its residual.
_SHOWN_SIGMAS = 8.0


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
        CorpusError, SampleError: a sample is damaged.
    """
    drawn = []
    for sample in pick_first(corpus, rows):
        if isinstance(sample, Damaged):
            raise CorpusError(f"{sample.name}: {sample.cause}. Run rawsynth verify {corpus}.")
        drawn.append(pair_panels(decode_pair(sample), height, beside_unprocess=beside_unprocess))
    if not drawn:
        raise UsageError(f"{corpus} holds no sample to draw.")
    storage.write_atomic(target, encode_png(compose(drawn, height)))
    return target


def sample_panels(sample: Mapping[str, Any], height: int, *, beside_unprocess: bool = False) -> list[Panel]:
    """Render one sample of WebDataset's: its source where it has one, its clean RAW, its first noisy RAW."""
    picked = Picked(sample["__key__"], 0, sample["__url__"], sample)
    return pair_panels(decode_pair(picked), height, beside_unprocess=beside_unprocess)


def pair_panels(
    pair: DecodedPair, height: int, *, beside_unprocess: bool = False, gain: float | None = None
) -> list[Panel]:
    """Render one pair: its source where the corpus holds it, its clean RAW, its noisy RAW, and what was added.

    Args:
        pair: what is drawn.
        height: of the pictures, in pixels.
        beside_unprocess: show what ``unprocess`` makes of the source too.
        gain: of the residual, see :func:`residual_mosaic`; none is drawn without.
    """
    raw = pair.clean.metadata
    panels = list(_source_panels(pair, height, beside_unprocess))
    panels.append(Panel(picture(render(pair.clean), height), f"clean RAW by {raw.method}", clean_detail(pair.meta)))
    if pair.noisy is None or pair.entry is None:
        return panels
    detail = noise_detail(pair.entry, pair.clean.packed, pair.noisy.packed)
    panels.append(Panel(picture(render(pair.noisy), height), "noisy RAW", detail))
    if gain is not None:
        residual = residual_mosaic(pair.clean.packed, pair.noisy.packed, gain)
        panels.append(Panel(picture(residual, height), f"noisy - clean, x {gain:g}", "the mosaic; gray is no noise"))
    return panels


def residual_mosaic(clean: Tensor, noisy: Tensor, gain: float) -> Tensor:
    """Return ``0.5 + gain (noisy - clean)`` at the sensor's sites, ``(3, H, W)`` gray for the eye, not clipped."""
    gray = 0.5 + gain * unpack(noisy - clean)
    return gray.expand(3, *gray.shape)


def residual_gain(clean: Tensor, noisy: Tensor) -> float:
    """Choose a gain at which the noise of a pair just fits between black and white: 1, 2 or 5 times a power of ten."""
    return 1.0 / round_up(_SHOWN_SIGMAS * float((noisy - clean).std(correction=0)))


def _source_panels(pair: DecodedPair, height: int, beside_unprocess: bool) -> Iterator[Panel]:
    if pair.srgb is None:
        return
    _, rows, columns = pair.srgb.shape
    title = f"sRGB: {pair.meta['source']['key']}"
    yield Panel(picture(torch.from_numpy(pair.srgb), height), title, f"{columns} x {rows}")
    if beside_unprocess:
        raw = unprocessed(pair.srgb, pair.meta["raw"])
        # So a rendering that looks like the source says nothing for it.
        detail = f"same camera, exposure 1/{BROOKS_GAIN}; the rendering is its inverse"
        yield Panel(picture(render(raw), height), f"clean RAW by {raw.metadata.method}", detail)


def unprocessed(srgb: NDArray[Any], raw: Mapping[str, Any]) -> RawImage:
    """Unprocess ``(3, H, W)`` sRGB with the colour of a sample's RAW and the central exposure of Brooks' law."""
    color = {name: raw[name] for name in ("cfa", "cam_from_srgb", "white_balance")}
    made: RawImage = ReverseISP("unprocess", rgb_gain=BROOKS_GAIN, **color)(torch.from_numpy(srgb))
    return made


def clean_detail(meta: Mapping[str, Any]) -> str:
    """Say in a line how the clean RAW of a sample was made: camera, light, layout, gains, exposure."""
    raw = meta["raw"]
    red, blue = raw["white_balance"]
    light = f"{raw['camera']} at {raw['cct']:.0f} K, " if raw.get("camera") and raw.get("cct") else ""
    exposure = "" if raw["rgb_gain"] == 1 else f", exposure 1/{raw['rgb_gain']:.2f}"
    return f"{light}{raw['cfa']}, gains R {red:.2f} B {blue:.2f}{exposure}"


def noise_detail(entry: Mapping[str, Any], clean: Tensor, noisy: Tensor) -> str:
    """Say in a line what noise was added: model, ISO, S and O of the first plane, PSNR of all."""
    mse = float(((noisy - clean) ** 2).mean())
    psnr = f", PSNR {-10 * math.log10(mse):.1f} dB" if mse else ""
    iso = f" at ISO {entry['noise']['iso']:.0f}" if entry["noise"].get("iso") else ""
    return f"{entry['noise']['model']}{iso}, S {entry['shot'][0]:.1e}, O {entry['read'][0]:.1e}{psnr}"
