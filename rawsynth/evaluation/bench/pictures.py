"""Crops side by side: sRGB, every method's RAW and the reference, rendered alike, and every method's error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rawsynth.evaluation.bench.entries import Entry
from rawsynth.evaluation.bench.result import SetResult
from rawsynth.evaluation.pictures import picked_ranks, round_up
from rawsynth.evaluation.result import Row
from rawsynth.evaluation.running import Job
from rawsynth.evaluation.viewing import View, view_of
from rawsynth.pairs import Pair
from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import Panel, compose, cubehelix, encode_png, picture
from rawsynth.raw.rendering import render

_CROP_PX, _HEIGHT_PX, _COLUMN_PX = 256, 256, 260


def draw_pictures(
    scored: SetResult, entries: Sequence[Entry], baseline: str, *, count: int
) -> dict[str, tuple[bytes, str]]:
    """Draw pairs of a set, the worst and the median of the baseline first.

    Returns:
        PNG and caption by key; a pair that cannot be drawn is left out: it costs no score.
    """
    chosen = scored.evaluations.get(baseline) or next(iter(scored.evaluations.values()), None)
    if chosen is None:
        return {}
    ranked, drawn = chosen.ranked(), {}
    for rank in picked_ranks(len(ranked), count):
        row = ranked[rank]
        try:
            drawn[row.key] = _sheet(scored, entries, row)
        except Exception:  # noqa: BLE001, S112 - the sample boundary: what fails was said where it was scored
            continue
    return drawn


def _sheet(scored: SetResult, entries: Sequence[Entry], row: Row) -> tuple[bytes, str]:
    pair = scored.source.pairs[row.index]
    view = view_of(pair)
    made = _made(scored, entries, pair, row.key)
    errors = {name: (result - pair.raw).abs().mean(dim=0) for name, (_, result) in made.items()}
    top = round_up(float(np.quantile(torch.stack([_middle(e, 1) for e in errors.values()]).numpy(), 0.99)))
    upper = [Panel(picture(_middle(pair.srgb, 2), _HEIGHT_PX), "sRGB", row.key)]
    lower = [_scale(top)]
    for name, (own, result) in made.items():
        score = own.scores
        words = f"{score['psnr']:.2f} dB, fitted {score['exposure_fitted_psnr']:.2f}"
        upper.append(_developed(result, view, name, words))
        angle = f"{score['angular_error']:.2f} degrees" if "angular_error" in score else "too dark for an angle"
        error = picture(cubehelix(_middle(errors[name], 1) / top), _HEIGHT_PX)
        lower.append(Panel(error, f"error of {name}", f"SSIM {score['aim22_ssim']:.4f}, {angle}"))
    upper.append(_developed(pair.raw, view, "reference RAW", view.words))
    sheet = compose([upper, lower], _HEIGHT_PX, min_width=_COLUMN_PX)
    caption = (
        f"Middle of {row.key}, scene {row.scene}. RAW is rendered alike: {view.words}. Errors are means of |result - "
        f"reference| over the four planes, from 0 (black) to {top:g} (white) for all methods alike. Scores are of the "
        "whole image."
    )
    return encode_png(sheet), caption


def _made(
    scored: SetResult, entries: Sequence[Entry], pair: Pair, key: str
) -> dict[str, tuple[Row, Tensor]]:
    """Make the RAW of every method that has scored this pair again, as it was."""
    made = {}
    for entry in entries:
        rows = scored.evaluations[entry.name].rows if entry.name in scored.evaluations else ()
        for row in rows:
            if row.key == key:
                with entry.runner.evaluation_mode():
                    result = entry.runner([Job(row.index, pair, row.params, row.known)])[0].cpu()
                made[entry.name] = (row, result)
    return made


def _developed(raw: Tensor, view: View, title: str, words: str) -> Panel:
    return Panel(picture(render(RawImage(_middle(raw.float(), 1), view.metadata)), _HEIGHT_PX), title, words)


def _middle(image: Tensor, pixels_per_cell: int) -> Tensor:
    """Cut the middle square out of ``(..., h, w)``: as many cells of sRGB as of RAW."""
    height, width = image.shape[-2:]
    side = min(height, width, _CROP_PX // 2 * pixels_per_cell)
    top, left = ((full - side) // 2 // pixels_per_cell * pixels_per_cell for full in (height, width))
    return image[..., top : top + side, left : left + side]


def _scale(top: float) -> Panel:
    """The colours of errors, as a picture."""
    ramp = torch.linspace(1, 0, _HEIGHT_PX)[:, None].expand(_HEIGHT_PX, 24)
    return Panel(picture(cubehelix(ramp), _HEIGHT_PX), f"error: 0 (bottom) to {top:g} (top)", "")
