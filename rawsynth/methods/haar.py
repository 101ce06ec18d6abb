"""The orthonormal Haar transform of feature maps: half the resolution, four times the channels, nothing lost."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def haar(x: Tensor) -> Tensor:
    """Split ``(B, C, 2h, 2w)`` into ``(B, 4C, h, w)``: mean, then vertical, horizontal, diagonal detail of a channel.

    >>> haar(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).flatten().tolist()
    [5.0, -2.0, -1.0, 0.0]
    """
    return _butterfly(F.pixel_unshuffle(x, 2))


def unhaar(x: Tensor) -> Tensor:
    """Join ``(B, 4C, h, w)`` to ``(B, C, 2h, 2w)``; the inverse of :func:`haar`."""
    return F.pixel_shuffle(_butterfly(x), 2)


def _butterfly(x: Tensor) -> Tensor:
    """Combine each channel's four values; symmetric and orthogonal, so its own inverse."""
    a, b, c, d = x.reshape(x.shape[0], -1, 4, *x.shape[2:]).unbind(dim=2)
    parts = [a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d]
    return 0.5 * torch.stack(parts, dim=2).flatten(1, 2)
