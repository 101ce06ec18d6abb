"""What a frame's pixels say about the ISP that made them: low-rank Gram statistics and a look at a thumbnail.

RST-ISP-Net (Kinli et al., ECCVW 2022) reads its style from the full Gram matrix of every block's input, which costs
78.6 of its 86.3 million parameters. Here the Gram is of sixteen learned directions, its upper triangle has 136 entries,
and it is taken where an ISP shows most: of functions of single pixels' colours (a tone curve, a matrix and a clipping
point are laws about colours, not about textures), and of a small convolutional look at the frame. Histograms, and how
colour and contrast go with brightness, come along as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 96
"""The style is read from so many rows and columns of pixels, whatever the size of the frame."""
_LEVELS, _BRIGHTNESSES = 32, 16
_FEW = 8.0
COLOR_STATISTICS = 3 * _LEVELS + 3 * 3 * _BRIGHTNESSES + 12
"""How many numbers :func:`color_statistics` gives."""


def sample_grid(frame: Tensor, side: int = GRID) -> Tensor:
    """Take ``side`` x ``side`` pixels at equal distances; nothing is averaged, so that clipped pixels stay clipped.

    Args:
        frame: ``(B, 3, H, W)``, any size.
        side: rows and columns to take.

    Returns:
        ``(B, 3, side, side)``, single pixels of the frame; those of small frames repeat.
    """
    rows, columns = (grid_places(n, side, frame.device) for n in frame.shape[-2:])
    return frame[..., rows, :][..., columns]


def grid_places(extent: int, side: int = GRID, device: torch.device | None = None) -> Tensor:
    """Return which of ``extent`` rows or columns :func:`sample_grid` takes, int64 ``(side,)``."""
    return (torch.arange(side, device=device) * 2 + 1) * extent // (2 * side)


class LowRankGram(nn.Module):
    """Second moments of learned directions: ``(B, N, C)`` features to ``rank * (rank + 3) / 2`` statistics.

    The moments are means over N, in float32, not centred, as the paper's Gram; the directions' means come along.
    """

    upper: Tensor

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.directions = nn.Linear(channels, rank)
        self.register_buffer("upper", torch.triu_indices(rank, rank), persistent=False)
        self.features = rank * (rank + 3) // 2

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, features)`` statistics of ``(B, N, C)``."""
        x = self.directions(features).float()
        gram = x.transpose(1, 2) @ x / x.shape[1]
        return torch.cat([x.mean(dim=1), gram[:, self.upper[0], self.upper[1]]], dim=1)


class StyleEncoder(nn.Module):
    """Reads a style code from pixels of a frame.

    Args:
        width: of the features of single pixels.
        channels: of the thumbnail's convolutions, each of stride 2.
        rank: of every Gram.
        hidden: of the layers that join the statistics.
        code: length of the style code.
    """

    def __init__(
        self,
        width: int = 64,
        channels: Sequence[int] = (24, 48, 96),
        rank: int = 16,
        hidden: int = 384,
        code: int = 128,
    ) -> None:
        super().__init__()
        self.pixels = nn.Sequential(nn.Linear(6, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.pixel_gram = LowRankGram(width, rank)
        stages, before = [], 3
        for after in channels:
            stages.append(nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()))
            before = after
        self.stages = nn.ModuleList(stages)
        self.grams = nn.ModuleList([LowRankGram(after, rank) for after in channels])
        found = self.pixel_gram.features + width + sum(cast(LowRankGram, g).features for g in self.grams)
        self.norm = nn.LayerNorm(COLOR_STATISTICS)
        self.join = nn.Sequential(
            nn.Linear(found + COLOR_STATISTICS, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, code),
        )  # fmt: skip

    def forward(self, frame: Tensor) -> Tensor:
        """Return ``(B, code)`` of frames ``(B, 3, H, W)`` float sRGB in [0, 1]."""
        grid = sample_grid(frame)
        colors = grid[..., ::3, ::3].flatten(2).transpose(1, 2)
        # The squares let few units bend where curves bend most: in shadows and towards white.
        pixels = self.pixels(torch.cat([colors, colors * colors], dim=2) * 2 - 1)
        found = [self.pixel_gram(pixels), pixels.mean(dim=1).float(), self.norm(color_statistics(grid))]
        x = F.avg_pool2d(grid, 2) * 2 - 1
        for stage, gram in zip(self.stages, self.grams, strict=True):
            x = stage(x)
            found.append(gram(x.flatten(2).transpose(1, 2)))
        code: Tensor = self.join(torch.cat(found, dim=1))
        return code


def color_statistics(grid: Tensor) -> Tensor:
    """Return what tells of curves: ``(B, COLOR_STATISTICS)`` of ``(B, 3, H, W)`` float sRGB in [0, 1].

    Histograms by channel; by brightness, how many pixels there are, how colourful they are, how far red is from blue,
    and how much brightness and colour change to the next pixels: in linear light contrasts hardly depend on
    brightness, so that their course tells of the slope of a curve; shares at and near black and white.
    """
    thin = grid[..., ::2, ::2].flatten(2)
    found = [_hats(thin, _LEVELS).mean(dim=3).sqrt().flatten(1) * 2]
    brightness, pixels = grid.mean(dim=1), grid.flatten(2)
    spread = pixels.amax(dim=1) - pixels.amin(dim=1)
    found.append(_by_brightness(brightness.flatten(1), [spread, pixels[:, 0] - pixels[:, 2]], 4.0))
    for axis in (2, 3):
        ahead, here = grid.narrow(axis, 1, grid.shape[axis] - 1), grid.narrow(axis, 0, grid.shape[axis] - 1)
        step = (ahead - here).flatten(2)
        between = (ahead + here).mean(dim=1).flatten(1) / 2
        found.append(_by_brightness(between, [step.mean(dim=1).abs(), step.amax(dim=1) - step.amin(dim=1)], 10.0))
    return torch.cat([*found, clipping(grid)], dim=1)


def _hats(values: Tensor, count: int) -> Tensor:
    """Return ``(..., count, N)`` memberships of ``(..., N)`` values in [0, 1] in overlapping triangular bins."""
    levels = torch.arange(count, device=values.device, dtype=values.dtype)
    return (1 - (values.unsqueeze(-2) * (count - 1) - levels[:, None]).abs()).clamp(min=0.0)


def _by_brightness(brightness: Tensor, rows: Sequence[Tensor], factor: float) -> Tensor:
    """Return means of ``(B, N)`` rows by brightness ``(B, N)``, and how many pixels they are of, as square roots."""
    bins = _hats(brightness, _BRIGHTNESSES)
    sums = bins @ torch.stack([*rows, torch.ones_like(brightness)], dim=2)
    means, count = sums[..., :-1] / (sums[..., -1:] + _FEW), sums[..., -1] / brightness.shape[1]
    return torch.cat([means.flatten(1) * factor, count.sqrt()], dim=1)


def clipping(srgb: Tensor) -> Tensor:
    """Return for each channel the shares of pixels at and near white and black, as square roots: ``(B, 12)``."""
    near = [(srgb >= 254.5 / 255), (srgb >= 245 / 255), (srgb <= 0.5 / 255), (srgb <= 5 / 255)]
    return torch.cat([mask.float().mean(dim=(2, 3)).sqrt() for mask in near], dim=1)
