"""What a frame's pixels say about the ISP that made them: low-rank Gram statistics and a look at a thumbnail.

RST-ISP-Net (Zoetgnande et al., AIM 2022) reads its style from the full Gram matrix of every block's input, which costs
78.6 of its 86.3 million parameters. Here the Gram is of sixteen learned directions, its upper triangle has 136 entries,
and it is taken where an ISP shows most: of functions of single pixels' colours (a tone curve, a matrix and a clipping
point are laws about colours, not about textures), and of a small convolutional look at the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 96
"""The style is read from so many rows and columns of pixels, whatever the size of the frame."""


def sample_grid(frame: Tensor, side: int = GRID) -> Tensor:
    """Take ``side`` x ``side`` pixels at equal distances; nothing is averaged, so that clipped pixels stay clipped.

    Args:
        frame: ``(B, 3, H, W)``, any size.
        side: rows and columns to take.

    Returns:
        ``(B, 3, side, side)``, single pixels of the frame; those of small frames repeat.
    """
    rows, columns = ((torch.arange(side, device=frame.device) * 2 + 1) * n // (2 * side) for n in frame.shape[-2:])
    return frame[..., rows, :][..., columns]


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
        hidden: int = 320,
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
        found = self.pixel_gram.features + width + 12 + sum(cast(LowRankGram, g).features for g in self.grams)
        self.join = nn.Sequential(
            nn.Linear(found, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, code)
        )

    def forward(self, frame: Tensor) -> Tensor:
        """Return ``(B, code)`` of frames ``(B, 3, H, W)`` float sRGB in [0, 1]."""
        grid = sample_grid(frame)
        colors = grid[..., ::2, ::2].flatten(2).transpose(1, 2)
        # The squares let few units bend where curves bend most: in shadows and towards white.
        pixels = self.pixels(torch.cat([colors, colors * colors], dim=2) * 2 - 1)
        found = [self.pixel_gram(pixels), pixels.mean(dim=1).float(), clipping(grid)]
        x = F.avg_pool2d(grid, 2) * 2 - 1
        for stage, gram in zip(self.stages, self.grams, strict=True):
            x = stage(x)
            found.append(gram(x.flatten(2).transpose(1, 2)))
        code: Tensor = self.join(torch.cat(found, dim=1))
        return code


def clipping(srgb: Tensor) -> Tensor:
    """Return for each channel the shares of pixels at and near white and black, as square roots: ``(B, 12)``."""
    near = [(srgb >= 254.5 / 255), (srgb >= 245 / 255), (srgb <= 0.5 / 255), (srgb <= 5 / 255)]
    return torch.cat([mask.float().mean(dim=(2, 3)).sqrt() for mask in near], dim=1)
