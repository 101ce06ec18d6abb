"""The scores of one batch, under the names that reports use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rawsynth.errors import SampleError
from rawsynth.evaluation.aim22 import SMALLEST_SIDE, aim22_psnr, aim22_ssim, reference_values, stored_values
from rawsynth.evaluation.metrics import angular_error, exposure_fitted_psnr, plane_psnr, psnr, tonal_psnr
from rawsynth.pairs import Pair, Scoring

METRICS: dict[str, str] = {
    "aim22_psnr": "AIM 2022 PSNR, dB",
    "aim22_ssim": "AIM 2022 SSIM",
    "psnr": "PSNR, dB",
    "exposure_fitted_psnr": "exposure-fitted PSNR, dB",
    "exposure": "exposure factor",
    "psnr_r": "PSNR of R, dB",
    "psnr_gr": "PSNR of Gr, dB",
    "psnr_gb": "PSNR of Gb, dB",
    "psnr_b": "PSNR of B, dB",
    "psnr_shadows": "PSNR of shadows, dB",
    "psnr_highlights": "PSNR of highlights, dB",
    "angular_error": "angular colour error, degrees",
    "shadow_sites": "sites in shadows",
    "highlight_sites": "sites in highlights",
    "color_cells": "cells with a colour",
}
"""What is scored, by the name in files, with the words for people."""

COUNTS = ("shadow_sites", "highlight_sites", "color_cells")
"""Names of :data:`METRICS` that are no scores, but what scores of parts rest on."""


def digits_of(metric: str) -> int:
    """Return how many decimals of a metric are shown."""
    return 0 if metric in COUNTS else 2 if "psnr" in metric or metric == "angular_error" else 4


def score_batch(result: Tensor, reference: Tensor, scoring: Scoring) -> list[dict[str, float]]:
    """Score images of one size.

    AIM 2022's scores are taken on the set's own scale, as a submission is stored; the others on the unit scale, with
    the result clipped to [0, 1].

    Args:
        result: ``(B, 4, h, w)`` float on the unit scale.
        reference: of the same shape.
        scoring: the scale of the official scores.

    Returns:
        The scores of each image by the names of :data:`METRICS`; without those of parts that it has too little of.

    Raises:
        UsageError, SampleError: as :func:`rawsynth.evaluation.metrics.psnr` and ``aim22_ssim``.
    """
    stored, official = stored_values(result, scoring), reference_values(reference, scoring)
    unit = result.clamp(0.0, 1.0)
    fitted, exposure = exposure_fitted_psnr(unit, reference)
    columns = [aim22_psnr(stored, official), aim22_ssim(stored, official), psnr(unit, reference), fitted, exposure]
    columns += plane_psnr(unit, reference).unbind(-1)
    shadows, highlights, dark, bright = tonal_psnr(unit, reference)
    angle, cells = angular_error(unit, reference)
    columns += [shadows, highlights, angle, dark, bright, cells]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [{n: v for n, v in zip(METRICS, row, strict=True) if not math.isnan(v)} for row in rows]


def check_pair(pair: Pair) -> None:
    """Raise SampleError unless a pair can be scored: images that fit each other and the window, and a sound scale."""
    height, width = pair.srgb.shape[-2:] if pair.srgb.dim() == 3 else (0, 0)
    fits = tuple(pair.srgb.shape) == (3, height, width) and tuple(pair.raw.shape) == (4, height / 2, width / 2)
    if not fits or pair.srgb.dtype != torch.uint8 or not pair.raw.is_floating_point():
        raise SampleError(
            f"a pair is uint8 sRGB (3, H, W) with float RAW (4, H/2, W/2); got {pair.srgb.dtype} "
            f"{tuple(pair.srgb.shape)} and {pair.raw.dtype} {tuple(pair.raw.shape)}."
        )
    if min(height, width) < 2 * SMALLEST_SIDE:
        raise SampleError(f"sRGB of {height}x{width} is too small to score; SSIM needs {2 * SMALLEST_SIDE} a side.")
    if not bool(pair.raw.isfinite().all()):
        raise SampleError("the reference RAW holds NaN or infinity.")
    scale = pair.scoring
    if not 0 <= scale.black_dn < scale.white_dn < math.inf or not 0 < scale.peak_dn < math.inf:
        raise SampleError(f"a scoring scale has 0 <= black < white and a positive peak; got {scale}.")


def check_result(result: Tensor, pair: Pair) -> None:
    """Raise SampleError where a result ``(4, h, w)`` cannot be scored: another size, or NaN or infinity in it."""
    if result.shape != pair.raw.shape:
        raise SampleError(f"the method made {tuple(result.shape)} where the reference is {tuple(pair.raw.shape)}.")
    if not bool(result.isfinite().all()):
        raise SampleError("the method's RAW holds NaN or infinity; run it in float32, or look at its weights.")
