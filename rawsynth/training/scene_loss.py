"""What a scene-linear estimate is judged by: the RAW that a known camera makes of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAK = 0.05
_FLOOR = 1e-5
_SATURATED = 0.99


def sensor_response(linear: Tensor, cam_from_srgb: Tensor, white_balance: Tensor) -> Tensor:
    """Return camera RGB ``(B, 3, H, W)`` of scene-linear light, all three colours at each pixel, not clipped."""
    red, blue = white_balance.unbind(1)
    gains = torch.stack([1 / red, torch.ones_like(red), 1 / blue], dim=1)
    return torch.bmm(cam_from_srgb * gains[:, :, None], linear.flatten(2)).view_as(linear)


def leaky_clip(values: Tensor) -> Tensor:
    """Clip to [0, 1], leaving a twentieth of what is beyond: a clipped estimate can still learn to come back."""
    clipped = values.clamp(0.0, 1.0)
    return clipped + _LEAK * (values - clipped)


def scene_loss(estimate: Tensor, raw: Tensor, *, fitted: float = 0.5, companded: float = 2.0) -> dict[str, Tensor]:
    """Compare camera RGB with that of the truth.

    The logarithm of each image's mean square error is what PSNR averages, so no bright image outweighs the others.

    Args:
        estimate: ``(B, 3, H, W)`` camera RGB, not clipped.
        raw: the same of the truth, in [0, 1].
        fitted: weight of the error after the exposure that fits best.
        companded: weight of the mean absolute difference of square roots, for shadows.

    Returns:
        ``loss``; ``absolute_db`` and ``fitted_db``, the means of the PSNR.
    """
    clipped = leaky_clip(estimate)
    absolute = (clipped - raw).square().mean(dim=(1, 2, 3))
    valid = (raw.amax(dim=1, keepdim=True) < _SATURATED).float()
    power = (estimate.square() * valid).sum(dim=(1, 2, 3))
    scale = ((estimate * raw * valid).sum(dim=(1, 2, 3)) / power.clamp(min=1e-6)).clamp(0.05, 20.0)
    scaled = leaky_clip(estimate * scale[:, None, None, None])
    error = (scaled - raw).square().mean(dim=(1, 2, 3))
    roots = F.l1_loss((clipped.clamp(min=0.0) + 1e-4).sqrt(), (raw + 1e-4).sqrt())
    logs = [torch.log10(e + _FLOOR) for e in (absolute, error)]
    loss = logs[0].mean() + fitted * logs[1].mean() + companded * roots
    return {
        "loss": loss,
        "absolute_db": -10 * torch.log10(absolute.detach() + 1e-7).mean(),
        "fitted_db": -10 * torch.log10(error.detach() + 1e-7).mean(),
    }
