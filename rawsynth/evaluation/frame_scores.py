"""How near a method's RAW comes to the real one: absolute and exposure-fitted PSNR of a frame, over fixed crops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.pairs.rendered import Crop, RenderedPair
from rawsynth.raw.cfa import mosaic

Planes = NDArray[np.float32]

# The exposure is fitted without sites that saturate in either RAW or whose sRGB is clipped: those know no exposure.
_SATURATED, _CLIPPED_CODE = 0.98, 250
_SMALLEST_MSE = 1e-12


@dataclass(frozen=True)
class FrameScore:
    """One method on one frame.

    Attributes:
        method: its name.
        file, software, style, coding: of the pair.
        absolute_db: PSNR of packed RAW in [0, 1], the mean over the crops.
        fitted_db: the same after one factor a frame, fitted where nothing is saturated.
        exposure_ev: that factor, as log2: how much darker than the real RAW the result was.
        crop_fitted_db: the same with a factor a crop, fitted over all of its sites.
        unsaturated_db, saturated_db: PSNR over the crops' sites that are below 0.98 in the real RAW, and the others.
        saturated: share of the latter.
    """

    method: str
    file: str
    software: str
    style: str
    coding: str
    absolute_db: float
    fitted_db: float
    exposure_ev: float
    crop_fitted_db: float
    unsaturated_db: float
    saturated_db: float | None
    saturated: float


def expose_sensor(linear: NDArray[np.floating], pair: RenderedPair) -> Planes:
    """Take scene-linear RGB through the pair's own camera: matrix, white balance, saturation, RGGB mosaic.

    Args:
        linear: ``(3, h, w)``; linear sRGB primaries, white-balanced, 1 where green saturates.
        pair: whose matrix and gains are used.

    Returns:
        ``(4, h/2, w/2)`` in [0, 1].
    """
    red, blue = pair.white_balance
    rows = torch.from_numpy(pair.cam_from_srgb / np.array([[red], [1.0], [blue]])).float()
    camera = torch.einsum("ij,jhw->ihw", rows, torch.from_numpy(np.asarray(linear, np.float32)))
    packed: Planes = mosaic(camera.clamp(0.0, 1.0), "RGGB").numpy()
    return packed


def score_frame(method: str, pair: RenderedPair, results: Sequence[Planes], crops: Sequence[Crop]) -> FrameScore:
    """Score the crops of one frame.

    Args:
        method: name for the table.
        pair: what they are of.
        results: ``(4, h, w)`` each, in [0, 1].
        crops: where they lie.
    """
    reals = [pair.planes(crop) for crop in crops]
    free = [_unsaturated(x, y, pair, crop) for x, y, crop in zip(results, reals, crops, strict=True)]
    factor = _exposure(*([plane[f] for plane, f in zip(planes, free, strict=True)] for planes in (results, reals)))
    own = [_exposure([x], [y]) for x, y in zip(results, reals, strict=True)]
    errors = np.concatenate([np.square(x - y).ravel() for x, y in zip(results, reals, strict=True)])
    clipped = np.concatenate([real.ravel() for real in reals]) >= _SATURATED
    return FrameScore(
        method, pair.file, pair.software, pair.style, pair.coding,
        absolute_db=_mean_psnr(results, reals, [1.0] * len(reals)),
        fitted_db=_mean_psnr(results, reals, [factor] * len(reals)),
        exposure_ev=float(np.log2(factor)),
        crop_fitted_db=_mean_psnr(results, reals, own),
        unsaturated_db=_decibel(errors[~clipped]),
        saturated_db=_decibel(errors[clipped]) if clipped.any() else None,
        saturated=float(clipped.mean()),
    )  # fmt: skip


def _unsaturated(result: Planes, real: Planes, pair: RenderedPair, crop: Crop) -> NDArray[np.bool_]:
    y, x, h, w = crop
    bright = pair.srgb[:, y : y + h, x : x + w].max(axis=0) >= _CLIPPED_CODE
    sites = np.stack([bright[k // 2 :: 2, k % 2 :: 2] for k in range(4)])
    free: NDArray[np.bool_] = (real < _SATURATED) & (result < _SATURATED) & ~sites
    return free


def _exposure(results: Sequence[Planes], reals: Sequence[Planes]) -> float:
    """Return the least-squares factor; 1 where there is nothing to fit."""
    cross = sum(float(np.sum(x * y, dtype=np.float64)) for x, y in zip(results, reals, strict=True))
    power = sum(float(np.sum(np.square(x), dtype=np.float64)) for x in results)
    return cross / power if cross > 0 and power > 0 else 1.0


def _mean_psnr(results: Sequence[Planes], reals: Sequence[Planes], factors: Sequence[float]) -> float:
    frames = zip(results, reals, factors, strict=True)
    return float(np.mean([_decibel(np.square((x * factor).clip(0, 1) - y)) for x, y, factor in frames]))


def _decibel(squares: Planes) -> float:
    return float(-10 * np.log10(max(float(np.mean(squares, dtype=np.float64)), _SMALLEST_MSE)))


def markdown(scores: Sequence[FrameScore], *, by_style: bool = True) -> str:
    """Return a table: a row a software and style, a column a method, in dB averaged over frames.

    A cell says ``absolute / fitted / fitted by crop``.
    """
    methods = list(dict.fromkeys(score.method for score in scores))
    lines = [f"| rendering | frames | {' | '.join(methods)} |", "| --- | --- |" + " --- |" * len(methods)]
    families = list(dict.fromkeys(score.software for score in scores))
    for family in families:
        of_family = [score for score in scores if score.software == family]
        styles = list(dict.fromkeys(score.style for score in of_family))
        for style in styles if by_style else []:
            lines.append(_row(f"{family}, {style}", methods, [s for s in of_family if s.style == style]))
        lines.append(_row(f"**{family}**", methods, of_family))
    return "\n".join([*lines, _row("**all**", methods, scores)])


def _row(label: str, methods: Iterable[str], scores: Sequence[FrameScore]) -> str:
    cells, frames = [], 0
    for method in methods:
        own = [score for score in scores if score.method == method]
        frames = max(frames, len(own))
        figures = [(score.absolute_db, score.fitted_db, score.crop_fitted_db) for score in own]
        cells.append(" / ".join(f"{mean:.1f}" for mean in np.mean(figures, axis=0)) if own else "-")
    return f"| {label} | {frames} | {' | '.join(cells)} |"
