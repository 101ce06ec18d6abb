"""Channel attention whose gates can be frozen: the one part of these networks that looks at a whole image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

GateValues = tuple[Tensor, ...]
"""The gates of a network in the order of use, ``(B, C)`` each: what stands for its style."""


class ChannelGate(nn.Module):
    """Gate in (0, 1) for each channel, from the channels' means through two pointwise layers (squeeze, excite)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, C)`` gates of ``(B, C, H, W)`` features."""
        # In float32: half types lose digits in a mean over many pixels.
        means = features.float().mean(dim=(2, 3), keepdim=True)
        gate: Tensor = self.excite(F.relu(self.squeeze(means))).sigmoid()
        return gate[:, :, 0, 0]


class Gates:
    """One pass's gates: measured on the way, or those of a frame that was read before.

    Args:
        frozen: the frame's, in the order of use; ``None`` to measure.

    Attributes:
        used: what was applied so far.
    """

    def __init__(self, frozen: GateValues | None) -> None:
        self.frozen = frozen
        self.used: GateValues = ()

    def __call__(self, attention: ChannelGate, features: Tensor) -> Tensor:
        """Return the features times their gates."""
        gate: Tensor = attention(features) if self.frozen is None else self.frozen[len(self.used)]
        self.used = (*self.used, gate)
        return features * gate[:, :, None, None].to(features.dtype)
