"""Structural similarity as a loss, plane by plane: SSIM, and MS-SSIM with Gaussians in place of a pyramid.

Both are written in the difference ``d`` of the two images. With local means ``m`` and variances ``v``::

    1 - luminance = m(d)**2 / (m(x)**2 + m(y)**2 + C1)
    1 - contrast  = v(d)    / (v(x)    + v(y)    + C2)

the same quantities as Wang et al., IEEE TIP 2004, eqs. 6 and 12 with C3 = C2 / 2. The loss and its gradient are then
exactly 0 at the target, and no digits are lost near it, where ``2 cov(x, y)`` and ``v(x) + v(y)`` would cancel. Only
windows inside the image count, as in that paper: padding would let what lies outside vote.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rawsynth.errors import UsageError

C1 = 0.01**2
C2 = 0.03**2
SSIM_SIGMA, SSIM_TAPS = 1.5, 11
# Zhao et al., IEEE TCI 2017, without their largest; the window reaches two sigma of the widest.
MS_SSIM_SIGMAS, MS_SSIM_TAPS = (0.5, 1.0, 2.0, 4.0), 17


def ssim_loss(result: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - SSIM``, Wang et al., IEEE TIP 2004: Gaussian of sigma 1.5 on 11 taps, data range 1.

    Args:
        result: ``(B, C, h, w)`` float32 or float64, unit scale; sides of 11 and more.
        target: same shape.

    Returns:
        Mean over batch, planes and windows, a scalar in [0, 2]; 0 where the two are equal.

    Raises:
        UsageError: a side shorter than the window.
    """
    luminance, contrast = deviations(result, target, sigmas=(SSIM_SIGMA,), taps=SSIM_TAPS)
    return either(luminance, contrast).mean()


def ms_ssim_loss(result: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - MS-SSIM``, Zhao et al., "Loss Functions for Image Restoration with Neural Networks", IEEE TCI 2017.

    Their variant: one Gaussian a scale (sigma 0.5, 1, 2, 4; 17 taps) at full resolution, the luminance of the widest
    times the contrast of all. Each plane meets every scale. A caution: contrast is negative where structure is
    inverted, and in the product two inverted scales pass for agreement.

    Args:
        result: ``(B, C, h, w)`` float32 or float64, unit scale; sides of 17 and more.
        target: same shape.

    Returns:
        Mean over batch, planes and windows, a scalar; 0 where the two are equal.

    Raises:
        UsageError: a side shorter than the window.
    """
    luminance, contrast = deviations(result, target, sigmas=MS_SSIM_SIGMAS, taps=MS_SSIM_TAPS)
    loss = luminance[:, :, -1]
    for scale in range(len(MS_SSIM_SIGMAS)):
        loss = either(loss, contrast[:, :, scale])
    return loss.mean()


def either(first: Tensor, second: Tensor) -> Tensor:
    """Compute ``1 - (1 - first)(1 - second)`` without rounding small values away."""
    return first + second - first * second


def deviations(result: Tensor, target: Tensor, *, sigmas: Sequence[float], taps: int) -> tuple[Tensor, Tensor]:
    """Compute ``1 - luminance`` and ``1 - contrast`` in every window that lies inside the image.

    Returns:
        Two tensors ``(B, C, len(sigmas), h - taps + 1, w - taps + 1)``.

    Raises:
        UsageError: a side shorter than the window.
    """
    if min(result.shape[-2:]) < taps:
        height, width = result.shape[-2:]
        raise UsageError(
            f"similarity is measured in windows of {taps}x{taps}; planes are {height}x{width}. Train on larger crops, "
            "or set the weight of this term to 0."
        )
    difference = result - target
    maps = torch.cat([difference, target, difference * difference, result * result + target * target], dim=1)
    mean, target_mean, square, power = local_means(maps, sigmas, taps=taps).chunk(4, dim=1)
    result_mean = target_mean + mean
    mean_power = result_mean * result_mean + target_mean * target_mean
    luminance = mean * mean / (mean_power + C1)
    # v(d) <= 2 (v(x) + v(y)), but beside a large mean rounding knows neither that nor that a variance is positive.
    variance = (square - mean * mean).clamp(min=0)
    contrast = variance / (torch.maximum(power - mean_power, variance / 2) + C2)
    return luminance, contrast


def local_means(maps: Tensor, sigmas: Sequence[float], *, taps: int) -> Tensor:
    """Average ``(B, C, h, w)`` under Gaussian windows; ``(B, C, S, h - taps + 1, w - taps + 1)``."""
    channels, scales = maps.shape[1], len(sigmas)
    # Made on the device from scalars: neither a copy that waits nor a buffer that a cast to half would spoil.
    offsets = torch.arange(taps, device=maps.device, dtype=maps.dtype) - (taps - 1) / 2
    windows = torch.stack([torch.exp(offsets * offsets * (-0.5 / sigma**2)) for sigma in sigmas])
    windows = (windows / windows.sum(dim=1, keepdim=True)).repeat(channels, 1)
    columns = functional.conv2d(maps, windows[:, None, :, None], groups=channels)
    both = functional.conv2d(columns, windows[:, None, None, :], groups=channels * scales)
    return both.reshape(maps.shape[0], channels, scales, *both.shape[2:])
