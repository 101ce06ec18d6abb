"""The network of team 0noise in the AIM 2022 challenge: three learned gains around two residual blocks.

Described in Conde et al., "AIM 2022 Challenge Report on Reversed ISP", ECCV Workshops 2022. At the resolution of the
sRGB: features are multiplied by gains from a pointwise network (tone), a residual block, by gains from 3x3 kernels
(colour shift), a residual block, by gains in (0, 1) from 3x3 kernels (lens shading); a 2x2 convolution of stride 2
makes packed RAW of them. Convolutions see the image mirrored at its borders.

Nothing looks at the whole image: tiles are exact.

Layers, shapes and parameters are the original's; which activations stand between them is not in what is public, and the
rectifiers here do not reproduce its reference output. So it is trained from scratch, and its authors' checkpoints are
not read: they would compute something else.

Deviation: the authors clamp in the network, which stops the gradient of every pixel outside [0, 1]; here the method
clamps, after training too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.local_network import LocalNetwork
from rawsynth.methods.options import check_counts


def _conv(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """Two convolutions, twice the channels between them, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_a, self.conv_b = _conv(width, 2 * width, 3), _conv(2 * width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        result: Tensor = x + self.conv_b(F.relu(self.conv_a(x)))
        return result


class Gains(nn.Module):
    """Features times what three convolutions with rectifiers, and perhaps a pointwise one, make of them."""

    def __init__(self, width: int, kernel: int, *, shading: bool = False) -> None:
        super().__init__()
        self.shading = shading
        self.layers = nn.ModuleList(_conv(width, width, kernel) for _ in range(3))
        if not shading:
            self.layers.append(_conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        gains = x
        for index, layer in enumerate(self.layers):
            gains = layer(gains)
            if index < 3:
                gains = F.relu(gains)
        return x * (gains.sigmoid() if self.shading else gains)


class ThreeGains(LocalNetwork):
    """Network of :class:`Aim220Noise`.

    Args:
        width: channels; 36 as published.
    """

    stride: int = 2
    # Ten 3x3 kernels one after the other.
    halo: int = 10

    def __init__(self, width: int = 36) -> None:
        super().__init__()
        check_counts("aim22_0noise", width=width)
        self.head = _conv(3, width, 1)
        self.tone, self.residual_a = Gains(width, 1), ResidualBlock(width)
        self.color, self.residual_b = Gains(width, 3), ResidualBlock(width)
        self.shading = Gains(width, 3, shading=True)
        self.tail = nn.Conv2d(width, 4, 2, stride=2)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides as they are: any will do."""
        return height, width

    def _decode(self, features: Tensor) -> Tensor:
        x = self.residual_a(self.tone(self.head(features)))
        x = self.shading(self.residual_b(self.color(x)))
        packed: Tensor = self.tail(x)
        return packed


class Aim220Noise(LearnedMethod):
    """The network of team 0noise as a reverse ISP."""

    name: ClassVar[str] = "aim22_0noise"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="three learned gains (tone, colour, shading) around two residual blocks, at full resolution",
        source="team 0noise in Conde et al., AIM 2022 Challenge Report on Reversed ISP, ECCV Workshops 2022",
        licence="none stated",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {}, "tiny": {"width": 8}}
    network_class: ClassVar[type[StyledNetwork]] = ThreeGains
