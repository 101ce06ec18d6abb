"""The scores by which denoisers are compared on SIDD raw and on ELD, as the published evaluations take them.

SIDD: of each block, 256x256 values of the mosaic, PSNR for a peak of 1 and SSIM with Gaussian weights (sigma 1.5, 11
taps) and population covariance; means over all blocks. The benchmark's public scoring calls scikit-image without
naming the data range; it is 1 here, the range of the values.

ELD (github.com/Vandermode/ELD: models/ELD_model.py, util/index.py): the result is clipped to [0, 1] and multiplied by
the factor that fits it to the reference, least squares over values of the reference that are not 1; clipped again; PSNR
over all four planes, SSIM with even weights of 7x7 and sample covariance, of each plane, then their mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.evaluation.metrics import check_planes, decibel, psnr
from rawsynth.raw.cfa import unpack

_C1, _C2 = 0.01**2, 0.03**2
_GAUSSIAN_SIGMA, _GAUSSIAN_RADIUS = 1.5, 5
_EVEN_SIDE = 7


def sidd_scores(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Score SIDD raw blocks.

    Args:
        result: ``(..., 4, h, w)`` float on the unit scale, as packed; it is clipped to [0, 1].
        reference: of the same shape.

    Returns:
        PSNR in dB and SSIM, ``(...)`` float64 each.

    Raises:
        UsageError: other shapes or integers, or sides below the window.
        SampleError: a value that is not finite.

    >>> block = torch.rand(4, 16, 16)
    >>> [float(score) for score in sidd_scores(block, block)]
    [999.0, 1.0]
    """
    x, y = (unpack(planes) for planes in check_planes(result, reference))
    x = x.clamp(0.0, 1.0)
    offsets = torch.arange(-_GAUSSIAN_RADIUS, _GAUSSIAN_RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (offsets / _GAUSSIAN_SIGMA) ** 2)
    return decibel((x - y).square().mean(dim=(-2, -1))), _ssim(x, y, taps / taps.sum(), 1.0)


def correct_illuminance(result: Tensor, reference: Tensor) -> Tensor:
    """Return a result of ELD as it is scored: clipped, multiplied by its best factor, clipped again.

    Args:
        result: ``(4, h, w)`` float on the unit scale.
        reference: of the same shape; where it is 1 it is saturated, and left out of the fit.

    Returns:
        float64 of the same shape, in [0, 1].

    Raises:
        UsageError, SampleError: as :func:`rawsynth.evaluation.metrics.psnr`.

    >>> image = torch.full((4, 2, 2), 0.5)
    >>> correct_illuminance(image / 2, image).unique().tolist()
    [0.5]
    """
    x, y = check_planes(result, reference)
    if x.dim() != 3:
        raise UsageError(f"the factor is that of one image (4, h, w); got {tuple(x.shape)}.")
    x = x.clamp(0.0, 1.0)
    kept = y != 1
    power = x[kept].square().sum()
    return (x * ((x[kept] * y[kept]).sum() / power if power > 0 else 1.0)).clamp(0.0, 1.0)


def eld_scores(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Score one image of ELD; arguments as of :func:`correct_illuminance`.

    Returns:
        PSNR in dB and SSIM, scalars in float64.

    Raises:
        UsageError: other shapes or integers, or sides below the window.
        SampleError: a value that is not finite.
    """
    x, y = correct_illuminance(result, reference), reference.double()
    side = _EVEN_SIDE
    taps = torch.full((side,), 1.0 / side, dtype=torch.float64)
    planes = _ssim(x, y, taps, side**2 / (side**2 - 1))
    return psnr(x, y), planes.mean(dim=-1)


def _ssim(x: Tensor, y: Tensor, taps: Tensor, unbiased: float) -> Tensor:
    """Return the mean SSIM of images ``(..., h, w)``, over pixels whose window lies within; a data range of 1."""
    if min(x.shape[-2:]) < len(taps):
        raise UsageError(f"SSIM needs sides of {len(taps)} pixels or more; got {x.shape[-2]}x{x.shape[-1]}.")
    mean_x, mean_y = _filtered(x, taps), _filtered(y, taps)
    variance_x = unbiased * (_filtered(x * x, taps) - mean_x**2)
    variance_y = unbiased * (_filtered(y * y, taps) - mean_y**2)
    covariance = unbiased * (_filtered(x * y, taps) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * (2 * covariance + _C2) / (variance_x + variance_y + _C2)).mean(dim=(-2, -1))


def _filtered(image: Tensor, taps: Tensor) -> Tensor:
    for dim in (-2, -1):
        kept = image.shape[dim] - len(taps) + 1
        # Sums of shifted images take a fraction of the time of a float64 convolution on a CPU.
        total = image.narrow(dim, 0, kept) * taps[0]
        for shift in range(1, len(taps)):
            total.add_(image.narrow(dim, shift, kept), alpha=float(taps[shift]))
        image = total
    return image
