"""Stages of a forward ISP: pure functions of one image, each with the numbers that it is given."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from rawsynth.raw.cfa import color_indices

LUMA = (0.2126, 0.7152, 0.0722)


def demosaic(image: Tensor, cfa: str, share: float) -> Tensor:
    """Keep a CFA's sites of ``(3, H, W)``, interpolate them bilinearly, and blend by ``share`` with the full image.

    A share of 1 is bilinear demosaicing, lower ones stand in for better algorithms.
    """
    if share <= 0:
        return image
    colors = torch.tensor(color_indices(cfa)).view(2, 2)
    height, width = image.shape[-2:]
    sites = colors.repeat(-(-height // 2), -(-width // 2))[:height, :width]
    masks = torch.stack([sites == c for c in range(3)]).float()
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])[None, None]
    sums = F.conv2d(F.pad((image * masks)[:, None], (1, 1, 1, 1), mode="reflect"), kernel)
    weights = F.conv2d(F.pad(masks[:, None], (1, 1, 1, 1), mode="reflect"), kernel)
    return torch.lerp(image, torch.where(masks > 0, image, (sums / weights)[:, 0]), share)


def highlights(balanced: Tensor, clipped: Tensor, mode: str, amount: float) -> Tensor:
    """Treat what the sensor clipped.

    Args:
        balanced: ``(3, H, W)`` camera RGB after white balance, 1 where green saturates.
        clipped: ``(3, H, W)``, 0 to 1: how far each site is into saturation.
        mode: ``clip`` cuts at 1; ``neutral`` takes colour out where a channel is lost; ``keep`` leaves it.
        amount: of ``neutral``.
    """
    if mode == "clip":
        return balanced.clamp(max=1.0)
    if mode == "neutral":
        gray = balanced.amax(dim=0, keepdim=True)
        return torch.lerp(balanced, gray.expand_as(balanced), amount * clipped.amax(dim=0, keepdim=True))
    return balanced


def transfer(linear: Tensor, kind: str, gamma: float) -> Tensor:
    """Encode linear light: ``srgb`` (IEC 61966-2-1), ``bt709`` (ITU-R BT.709), or ``power`` by 1 / gamma."""
    x = linear.clamp(min=0.0)
    if kind == "srgb":
        return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    if kind == "bt709":
        return torch.where(x < 0.018, 4.5 * x, 1.099 * x.clamp(min=0.018) ** 0.45 - 0.099)
    return x.clamp(min=1e-8) ** (1 / gamma)


def tone(linear: Tensor, kind: str, strength: float, contrast: float) -> Tensor:
    """Bend linear light so that 0 stays 0 and 1 stays 1.

    ``none``; ``reinhard`` (Reinhard et al. 2002, eq. 4): light is gained by ``strength``, which is white;
    ``exponential``: ``1 - exp(-strength x)``; ``sigmoid``: log-logistic of slope ``contrast``, 0.18 to about
    ``1 / (1 + strength)``.
    """
    x = linear.clamp(min=0.0)
    if kind == "reinhard":
        return x * (strength + x) / (1 + strength * x)
    if kind == "exponential":
        return (1 - torch.exp(-strength * x)) / (1 - float(np.exp(-strength)))
    if kind == "sigmoid":
        half = strength * float(0.18**contrast)
        power = x.clamp(min=1e-8) ** contrast
        return power * (1 + half) / (power + half)
    return x


def s_curve(encoded: Tensor, amount: float) -> Tensor:
    """Blend an encoded image with the smoothstep of itself; negative amounts flatten."""
    x = encoded.clamp(0.0, 1.0)
    return x + amount * ((3 - 2 * x) * x * x - x)


def free_curve(encoded: Tensor, bends: Any) -> Tensor:
    """Apply a rising curve through 0 and 1 whose log slopes are ``bends``, at equal distances, piecewise linear."""
    slopes = torch.exp(torch.as_tensor(bends, dtype=torch.float32))
    heights = torch.cat([torch.zeros(1), slopes.cumsum(0)]) / slopes.sum()
    count = len(slopes)
    position = encoded.clamp(0.0, 1.0) * count
    below = position.floor().clamp(max=count - 1)
    index = below.long()
    return heights[index] + (position - below) * (heights[index + 1] - heights[index])


def saturate(image: Tensor, saturation: float, hue: float) -> Tensor:
    """Scale the colour differences of ``(3, H, W)`` from its luma, and turn it about the grey axis by radians."""
    luma = (torch.tensor(LUMA)[:, None, None] * image).sum(dim=0, keepdim=True)
    c, s = float(np.cos(hue)), float(np.sin(hue)) / np.sqrt(3)
    base = (1 - c) / 3
    turn = torch.tensor(
        [[c + base, base - s, base + s], [base + s, c + base, base - s], [base - s, base + s, c + base]],
        dtype=torch.float32,
    )
    return luma + saturation * torch.einsum("ij,jhw->ihw", turn, image - luma)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Convolve ``(C, H, W)`` with a Gaussian."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float32) / sigma) ** 2)
    taps = taps / taps.sum()
    x = F.pad(image[:, None], (radius, radius, radius, radius), mode="replicate")
    x = F.conv2d(F.conv2d(x, taps[None, None, :, None]), taps[None, None, None, :])
    return x[:, 0]


def sharpen(encoded: Tensor, amount: float, sigma: float) -> Tensor:
    """Unsharp masking."""
    return encoded + amount * (encoded - blur(encoded, sigma))


def to_bytes(encoded: Tensor, jpeg: Mapping[str, Any] | None) -> Tensor:
    """Round ``(3, H, W)`` to uint8, through a JPEG of a ``quality`` and a ``subsampling`` (0, 1, 2) if given."""
    pixels = (encoded.clamp(0.0, 1.0) * 255).round().to(torch.uint8)
    if jpeg is None:
        return pixels
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    image.save(buffer, "JPEG", quality=int(jpeg["quality"]), subsampling=int(jpeg["subsampling"]))
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).contiguous()
