"""The official scores of the AIM 2022 Reversed ISP Challenge (Conde et al., ECCV Workshops 2022).

PSNR is taken over the whole packed patch. SSIM is that of Wang et al. (IEEE TIP 2004) as older scikit-image computed it
with Gaussian weights: sigma 1.5 cut at 4 sigma, which makes 13 taps where newer releases take 11, borders mirrored,
population covariance, K = (0.01, 0.03), a data range of 1, and 5 pixels of border left out; for each plane, then the
mean of the four. Both run in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.evaluation.metrics import check_planes, psnr
from rawsynth.pairs import Scoring

SMALLEST_SIDE = 11
"""Sides of packed RAW, in pixels, below which this SSIM is not defined: the window that is checked for, 11 pixels."""

_SIGMA, _RADIUS = 1.5, 6
_C1, _C2 = 0.01**2, 0.03**2
# Values in the maps that are worked on at once: several maps of float64 each.
_CHUNK = 4_000_000


def stored_values(unit: Tensor, scoring: Scoring) -> Tensor:
    """Return a result as it would be stored and read back for scoring.

    Args:
        unit: ``(..., 4, h, w)`` float, black 0 and white 1.
        scoring: the scale; with ``floor``, values are rounded down to whole DN, as submissions are.

    Returns:
        float64 of the same shape in [0, 1]: ``(unit * (white - black) + black) / peak``.

    >>> stored_values(torch.tensor([0.0, 0.5, 1.0]), Scoring(60, 1020, 1024, floor=True)) * 1024
    tensor([  60.,  540., 1020.], dtype=torch.float64)
    """
    dn = _digital_numbers(unit, scoring)
    # What float32 cannot tell from a whole DN is that DN: a perfect result must not be rounded down below it.
    return (torch.floor(dn + _resolution(scoring)) if scoring.floor else dn) / scoring.peak_dn


def reference_values(unit: Tensor, scoring: Scoring) -> Tensor:
    """Return a reference on the scale of :func:`stored_values`; with ``floor``, back to the whole DN that it was."""
    dn = _digital_numbers(unit, scoring)
    return (torch.round(dn) if scoring.floor else dn) / scoring.peak_dn


def _digital_numbers(unit: Tensor, scoring: Scoring) -> Tensor:
    dn = unit.double() * (scoring.white_dn - scoring.black_dn) + scoring.black_dn
    return dn.clamp(0.0, scoring.peak_dn)


def _resolution(scoring: Scoring) -> float:
    return abs(scoring.white_dn - scoring.black_dn) * 2.0**-23


def aim22_psnr(result: Tensor, reference: Tensor) -> Tensor:
    """Return the official PSNR.

    Args:
        result: ``(..., 4, h, w)`` float in [0, 1]; the challenge's own are DN / 1024 in float64.
        reference: of the same shape.

    Returns:
        ``(...)`` float64 in dB; 999 where nothing differs.

    Raises:
        UsageError, SampleError: as :func:`rawsynth.evaluation.metrics.psnr`.
    """
    return psnr(result, reference)


def aim22_ssim(result: Tensor, reference: Tensor) -> Tensor:
    """Return the official SSIM.

    Args:
        result: ``(..., 4, h, w)`` float in [0, 1], sides of 11 or more.
        reference: of the same shape.

    Returns:
        ``(...)`` float64, at most 1.

    Raises:
        UsageError: other shapes or integers, or images smaller than the window.
        SampleError: a value that is not finite.
    """
    x, y = check_planes(result, reference)
    if min(x.shape[-2:]) < SMALLEST_SIDE:
        raise UsageError(
            f"SSIM needs packed sides of {SMALLEST_SIDE} pixels or more ({2 * SMALLEST_SIDE} of sRGB); "
            f"got {x.shape[-2]}x{x.shape[-1]}."
        )
    at_once = max(1, _CHUNK // x.shape[-2:].numel())
    planes = zip(*(torch.split(image.flatten(0, -3), at_once) for image in (x, y)), strict=True)
    return torch.cat([_mean_ssim(one, other) for one, other in planes]).reshape(x.shape[:-2]).mean(dim=-1)


def _mean_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the SSIM of planes ``(N, h, w)``."""
    mean_x, mean_y, square_x, square_y, product = _blur(torch.stack([x, y, x * x, y * y, x * y]))
    covariance = product - mean_x * mean_y
    variances = square_x - mean_x**2 + square_y - mean_y**2
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    ssim: Tensor = luminance * (2 * covariance + _C2) / (variances + _C2)
    return ssim.mean(dim=(-2, -1))


def _blur(maps: Tensor) -> Tensor:
    """Weight ``(..., h, w)`` by the Gaussian, and leave 5 pixels of border out."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights = (taps / taps.sum()).tolist()
    for dim in (-2, -1):
        kept = maps.shape[dim] - 2 * (_RADIUS - 1)
        # Of the mirrored border only the first pixel reaches past the 5 that are left out, and it repeats the edge.
        first, last = maps.narrow(dim, 0, 1), maps.narrow(dim, -1, 1)
        padded = torch.cat([first, maps, last], dim=dim)
        # Sums of shifted maps take a ninth of the time of a float64 convolution on a CPU.
        maps = padded.narrow(dim, 0, kept) * weights[0]
        for shift, weight in enumerate(weights[1:], start=1):
            maps.add_(padded.narrow(dim, shift, kept), alpha=weight)
    return maps
