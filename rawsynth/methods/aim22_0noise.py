"""The network of team 0noise in the AIM 2022 challenge: three learned gains around two residual blocks.

Conde et al., "AIM 2022 Challenge Report on Reversed ISP", ECCV Workshops 2022. At the resolution of the sRGB: a
pointwise projection makes features, and three networks read gains from those, each on its own: pointwise ones (tone),
3x3 ones (colour shift), and 3x3 ones in (0, 1) (lens shading). The features are multiplied by the first, pass a
residual block, are multiplied by the second, pass a residual block, are multiplied by the third; a 2x2 convolution of
stride 2 makes packed RAW of them. All activations are SiLU; convolutions see the image mirrored at its borders.

Nothing looks at the whole image: tiles are exact.

Deviation: the authors clamp in the network, which stops the gradient of every pixel outside [0, 1]; here the method
clamps, after training too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.local_network import LocalNetwork
from rawsynth.methods.options import check_counts
from rawsynth.methods.published import Published


def _conv(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """Two convolutions, twice the channels between them, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_a, self.conv_b = _conv(width, 2 * width, 3), _conv(2 * width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        return F.silu(x + self.conv_b(F.silu(self.conv_a(x))))


class Gains(nn.Module):
    """Gains from features: convolutions with activations between, the last one pointwise or followed by a sigmoid."""

    def __init__(self, width: int, kernel: int, *, shading: bool = False) -> None:
        super().__init__()
        self.shading = shading
        self.layers = nn.ModuleList(_conv(width, width, kernel) for _ in range(3))
        if not shading:
            self.layers.append(_conv(width, width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` gains of as many features."""
        *inner, last = self.layers
        for layer in inner:
            features = F.silu(layer(features))
        gains: Tensor = last(features)
        return gains.sigmoid() if self.shading else gains


class ThreeGains(LocalNetwork):
    """Network of :class:`Aim220Noise`.

    Args:
        width: channels; 36 as published.
    """

    stride: int = 2
    # The longest way is through five 3x3 kernels, three of gains and two of a residual block; in whole cells.
    halo: int = 6

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
        projected = F.silu(self.head(features))
        x = self.residual_a(projected * self.tone(projected))
        x = self.residual_b(x * self.color(projected))
        packed: Tensor = self.tail(x * self.shading(projected))
        return packed


_GAINS = {"tm": "tone", "cstb": "color", "lsb": "shading"}


def _gains_key(found: re.Match[str]) -> str:
    return f"{_GAINS[found[1]]}.layers.{found[2]}."


class Aim220Noise(LearnedMethod):
    """The network of team 0noise as a reverse ISP."""

    name: ClassVar[str] = "aim22_0noise"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="three learned gains (tone, colour, shading) around two residual blocks, at full resolution",
        source="team 0noise in Conde et al., AIM 2022 Challenge Report on Reversed ISP, ECCV Workshops 2022",
        licence="none stated",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {}, "tiny": {"width": 8}}
    published: ClassVar[Mapping[str, Published]] = {
        "published": Published(
            rules=(
                (r"^p\.conv\.", "head."),
                (r"^(tm|cstb|lsb)\.block\.(\d)\.(?:conv\.)?", _gains_key),
                (r"^r1\.", "residual_a."),
                (r"^r2\.", "residual_b."),
                (r"\.conv1\.", ".conv_a."),
                (r"\.conv2\.", ".conv_b."),
                (r"^cout\.", "tail."),
            ),
            data="AIM 2022 Reversed ISP, Samsung S7 or Huawei P20",
        )
    }
    network_class: ClassVar[type[StyledNetwork]] = ThreeGains
