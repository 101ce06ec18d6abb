"""The part of an inverse ISP that sees a neighbourhood: a small U-Net that corrects the global estimate.

Sharpening, noise reduction, chroma subsampling, JPEG blocks and local tone mapping are undone here, and blown
highlights are guessed from what surrounds them. Every operation is local, and the style only scales and shifts features
(FiLM without instance normalisation, which would erase the level that RAW is about), so tiles with a halo are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.methods.global_inverse import network_dtype

_CLIPPED_FROM = 0.94
_INPUTS = 4 * (3 + 3 + 1)
_OUTPUTS = 4 * 3


def split_sites(image: Tensor) -> Tensor:
    """Arrange ``(B, C, H, W)`` by the sites of a mosaic: ``(B, C, 4, H/2, W/2)``, in reading order.

    So packed RAW lies, and so the network works: what is packed once is not moved again.
    """
    batch, channels, height, width = image.shape
    if image.requires_grad or torch.compiler.is_compiling():
        return F.pixel_unshuffle(image, 2).view(batch, channels, 4, height // 2, width // 2)
    # Several times as fast as pixel_unshuffle on a CPU.
    sites = image.new_empty(batch, channels, 4, height // 2, width // 2)
    for site in range(4):
        sites[:, :, site] = image[:, :, site // 2 :: 2, site % 2 :: 2]
    return sites


def join_sites(sites: Tensor) -> Tensor:
    """Invert :func:`split_sites`."""
    if sites.requires_grad or torch.compiler.is_compiling():
        return F.pixel_shuffle(sites.flatten(1, 2), 2)
    batch, channels, _, height, width = sites.shape
    image = sites.new_empty(batch, channels, 2 * height, 2 * width)
    for site in range(4):
        image[:, :, site // 2 :: 2, site % 2 :: 2] = sites[:, :, site]
    return image


class StyledBlock(nn.Module):
    """``x + conv(silu(film(conv(x))))``."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(code, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.normal_(self.second.weight, std=0.02)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Return ``(B, channels, h, w)``."""
        with torch.autocast(code.device.type, enabled=False):
            scale, shift = self.film(code.float())[:, :, None, None].chunk(2, dim=1)
        infers = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if infers and len(x) == 1:
            weight, bias = self.first.weight * (1 + scale[0, :, None]), self.first.bias
            features = F.conv2d(x, weight, bias * (1 + scale.flatten()) + shift.flatten(), padding=1)
        else:
            y = self.first(x)
            features = torch.addcmul(shift.to(y.dtype), y, (1 + scale).to(y.dtype))
        corrected: Tensor = self.second(F.silu(features, inplace=infers))
        return corrected.add_(x) if infers else x + corrected


class LocalResidual(nn.Module):
    """Predicts what to add to the companded global estimate.

    Args:
        code: length of the style code.
        widths: channels at half, a quarter, ... of the resolution.
        blocks: styled blocks on the way down at each of them; one each on the way up.
    """

    def __init__(
        self, code: int = 128, widths: Sequence[int] = (24, 48, 96), blocks: Sequence[int] = (1, 1, 3)
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(_INPUTS, widths[0], 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths)])
        self.before = nn.ModuleList(
            nn.ModuleList(StyledBlock(width, code) for _ in range(n)) for width, n in zip(widths, blocks, strict=True)
        )
        self.after = nn.ModuleList([StyledBlock(width, code) for width in widths[:-1]])
        self.head = nn.Conv2d(widths[0], _OUTPUTS, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))
        self.stride = 2 ** len(widths)
        self.halo = _halo(blocks)

    def forward(self, srgb: Tensor, estimate: Tensor, code: Tensor) -> Tensor:
        """Return the correction ``(B, 3, 4, h, w)`` of a companded estimate, by sites as :func:`split_sites` arranges.

        Args:
            srgb: ``(B, 3, 4, h, w)`` in [0, 1]; h and w are multiples of half the ``stride``.
            estimate: ``(B, 3, 4, h, w)``, companded.
            code: ``(B, code)``.
        """
        brightest = srgb.amax(dim=1)
        clipped = ((brightest - _CLIPPED_FROM) * (1 / (1 - _CLIPPED_FROM))).clamp(0.0, 1.0)
        x = torch.cat([srgb.flatten(1, 2), estimate.flatten(1, 2), clipped], dim=1).to(network_dtype(srgb.device))
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, blocks in enumerate(self.before):
            if level:
                skips.append(x)
                x = self.down[level - 1](x)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, code)
        for level in reversed(range(len(skips))):
            x = self.after[level](skips[level] + _enlarge(x, cast(nn.Conv2d, self.up[level])), code)
        corrected: Tensor = self.head(x)
        return corrected.view(srgb.shape)


def _enlarge(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return ``pixel_shuffle(layer(x), 2)``, in channels-last order throughout."""
    assert layer.bias is not None
    # With a pixel's channels side by side, enlarging moves runs of them and not single values.
    weight, bias = (t.view(-1, 4, *t.shape[1:]).transpose(0, 1).flatten(0, 1) for t in (layer.weight, layer.bias))
    quads = F.conv2d(x, weight, bias).permute(0, 2, 3, 1)
    batch, height, width, _ = quads.shape
    rows = quads.reshape(batch, height, width, 2, 2, -1).transpose(2, 3)
    return rows.reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def _halo(blocks: Sequence[int]) -> int:
    """Return how many pixels away an output looks at most, rounded up to the stride."""
    stride = 2 ** len(blocks)
    reach = 2 + 2  # stem and head, at half the resolution
    for level, count in enumerate(blocks):
        on_the_way_up = 1 if level < len(blocks) - 1 else 0
        reach += 2 ** (level + 1) * 2 * (count + on_the_way_up)
    return int(-(-(reach + stride) // stride) * stride)
