"""Pictures that show where a method is wrong: input, reference, result, error map."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.evaluation.result import Evaluation, Row
from rawsynth.evaluation.running import Job, MethodRunner
from rawsynth.evaluation.viewing import view_of
from rawsynth.pairs import Pair, PairSet
from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import Panel, compose, cubehelix, encode_png, picture
from rawsynth.raw.rendering import render

_SMALLEST_PX, _LARGEST_PX, _OVERVIEW_PX = 384, 512, 400
_COLUMN_PX, _BAR_PX = 430, 10
_WIDEST = 4
_LONGEST_NAME = 120


def write_pictures(
    evaluation: Evaluation, pairs: PairSet, runner: MethodRunner, output: str, *, count: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Draw images of an evaluation: ``pictures/KEY.png`` each, and the worst, median and best in ``overview.png``.

    Args:
        evaluation: whose rows are drawn; the RAW is made again from their parameters.
        pairs: the set that was evaluated.
        runner: of the method that was evaluated.
        output: folder or URL; what an earlier evaluation drew there is removed.
        count: how many images; none for 0.

    Returns:
        The file of each image that was drawn, relative to ``output``, and what went wrong with others, by key.

    Raises:
        OutputError: a file cannot be written.
    """
    _remove_earlier(output)
    ranked = evaluation.ranked()
    places = {len(ranked) // 2: "median", len(ranked) - 1: "best", 0: "worst"}
    drawn: dict[str, str] = {}
    failed: dict[str, str] = {}
    overview: list[Sequence[Panel]] = []
    for rank in picked_ranks(len(ranked), count):
        row = ranked[rank]
        try:
            pair = pairs[row.index]
            result = runner([Job(row.index, pair, row.params, row.known)])[0].cpu()
            height = min(max(row.height, _SMALLEST_PX), _LARGEST_PX)
            sheet = compose([panels(pair, result, row, height)], height, min_width=_COLUMN_PX)
            if rank in places:
                overview.append(panels(pair, result, row, _OVERVIEW_PX, title=places[rank]))
        except Exception as error:  # noqa: BLE001 - the sample boundary: one picture costs no score
            failed[row.key] = str(error) or repr(error)
            continue
        drawn[row.key] = f"pictures/{file_name(row.key)}"
        storage.write_atomic(storage.join(output, drawn[row.key]), encode_png(sheet))
    if overview:
        sheet = compose(overview, _OVERVIEW_PX, min_width=_COLUMN_PX)
        storage.write_atomic(storage.join(output, "overview.png"), encode_png(sheet))
    return drawn, failed


def picked_ranks(images: int, count: int) -> list[int]:
    """Choose ranks: the worst, the median and the best first, then others spread evenly between them; in order.

    >>> picked_ranks(100, 5), picked_ranks(100, 3), picked_ranks(2, 8), picked_ranks(9, 0)
    ([0, 25, 50, 74, 99], [0, 50, 99], [0, 1], [])
    """
    spread = [round(k * (images - 1) / max(1, count - 1)) for k in range(count)]
    return sorted(list(dict.fromkeys([0, images // 2, images - 1, *spread]))[:count])


def file_name(key: str) -> str:
    """Name a key's picture: letters, digits, ``_``, ``-`` and ``.`` stand for themselves, others are ``=`` and hex.

    >>> file_name("cats/é 1.jpg")
    'cats=2F=C3=A9=201.jpg.png'
    """
    raw = key.encode("utf-8", "surrogatepass")
    escaped = re.sub(rb"^\.|[^A-Za-z0-9_.-]", lambda match: b"=%02X" % match[0][0], raw)
    name = escaped.decode("ascii")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}={hashlib.sha256(escaped).hexdigest()[:16]}"
    return f"{name}.png"


def _remove_earlier(output: str) -> None:
    """Remove the pictures that an earlier report in this folder lists, so that none is taken for one of this run's."""
    report = storage.join(output, "evaluation.json")
    if not storage.exists(report):
        return
    try:
        names = list(json.loads(storage.read_bytes(report))["pictures"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names = []
    # First of all, so that a report never lists what is no longer there.
    storage.remove(report)
    for name in ["overview.png", *names]:
        # The file may have been edited: nothing but pictures of ours is touched.
        if isinstance(name, str) and re.fullmatch(r"(overview|pictures/[A-Za-z0-9_.=-]+)\.png", name):
            storage.remove(storage.join(output, name))


def panels(pair: Pair, result: Tensor, row: Row, height: int, *, title: str = "sRGB") -> Sequence[Panel]:
    """Draw one image: sRGB input, reference RAW, the method's RAW, and the error between the two.

    Of an image more than four times as wide as high the middle is shown.
    """
    view, scores = view_of(pair), row.scores
    factor = max(1, pair.srgb.shape[-2] // (2 * height))
    shown = [shrink(_middle(image), factor) for image in (pair.srgb.float() / 255, pair.raw.float(), result)]
    srgb, reference, made = shown[0], *(render(RawImage(raw, view.metadata)) for raw in shown[1:])
    error, top = _error_map(shrink(_middle((result - pair.raw).abs().mean(dim=0)), factor), height)
    official = f"AIM 2022 {scores['aim22_psnr']:.2f} dB, SSIM {scores['aim22_ssim']:.4f}"
    size = f"{row.width} x {row.height}, scene {row.scene}"
    plain = f"PSNR {scores['psnr']:.2f} dB"
    fitted = f"exposure-fitted {scores['exposure_fitted_psnr']:.2f} dB (x {scores['exposure']:.3f})"
    planes = ", ".join(f"{name} {scores[f'psnr_{name.lower()}']:.2f}" for name in ("R", "Gr", "Gb", "B"))
    return [
        Panel(picture(srgb, height, smooth=True), f"{title}: {row.key}", size),
        Panel(picture(reference, height, smooth=True), "reference RAW, rendered", view.words),
        Panel(picture(made, height, smooth=True), f"{row.params['method']}: {official}", f"{plain}, {fitted}"),
        Panel(error, f"mean error of the planes: 0 (black) to {top:g} (white)", f"{planes} dB"),
    ]


def _middle(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    columns = min(width, _WIDEST * height)
    return image.narrow(-1, (width - columns) // 2, columns)


def shrink(image: Tensor, factor: int) -> Tensor:
    """Average squares of ``factor`` pixels of ``(..., h, w)``; what does not fill a square is cut off."""
    height, width = image.shape[-2:]
    rows, columns = height // factor, max(1, width // factor)
    across = min(factor, width)
    cut = image[..., : rows * factor, : columns * across]
    return cut.reshape(*image.shape[:-2], rows, factor, columns, across).mean(dim=(-3, -1))


def _error_map(error: Tensor, height: int) -> tuple[Any, float]:
    """Return the picture with a bar of the colours from 0 (bottom) to the top, and the value at the top."""
    top = round_up(float(np.quantile(error.numpy(), 0.99)))
    image = picture(cubehelix(error / top), height, smooth=True)
    bar = torch.linspace(1, 0, height)[:, None].expand(height, _BAR_PX)
    image.paste(picture(cubehelix(bar), height), (max(0, image.width - _BAR_PX), 0))
    return image, top


def round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten; at least 1e-4, so that rounding errors do not look like errors.

    >>> round_up(0.013), round_up(0.5), round_up(0.0)
    (0.02, 0.5, 0.0001)
    """
    value = max(value, 1e-4)
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return float(f"{next(step * power for step in (1, 2, 5, 10) if step * power >= 0.999 * value):.6g}")
