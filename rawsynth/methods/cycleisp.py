"""CycleISP's RGB2RAW: residual groups of dual attention blocks, then the mosaic.

Zamir et al., "CycleISP: Real Image Restoration via Improved Data Synthesis", CVPR 2020. It predicts three colours at
every pixel and samples them at the sites of the CFA. The authors trained it on RAW files of MIT-Adobe FiveK that LibRaw
rendered.

Channel attention looks at the whole image; its gates are the style here, read once and frozen over tiles. Everything
else is local: a pixel's result depends on those within 51 pixels.

Deviation: the authors' script blurs the sRGB (Gaussian, sigma 1) before the network, to take its noise away, and
clamps after it; here the picture goes in as it is, and the clamp is the method's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.channel_attention import ChannelGate, Gates, GateValues
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.options import check_counts
from rawsynth.methods.published import Published
from rawsynth.raw.cfa import mosaic

_REDUCTION = 8


class DualAttentionBlock(nn.Module):
    """Two convolutions, then spatial and channel attention side by side, joined by a pointwise layer and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_a, self.conv_b = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.spatial = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.channel = ChannelGate(width, _REDUCTION)
        self.join = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor, activation: nn.Module, gates: Gates) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        y = self.conv_b(activation(self.conv_a(x)))
        pooled = torch.cat([y.amax(dim=1, keepdim=True), y.mean(dim=1, keepdim=True)], dim=1)
        attended = [y * self.spatial(pooled).sigmoid(), gates(self.channel, y)]
        result: Tensor = x + self.join(torch.cat(attended, dim=1))
        return result


class ResidualGroup(nn.Module):
    """Blocks and a convolution, with a skip over all of them."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DualAttentionBlock(width) for _ in range(blocks))
        self.leave = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, activation: nn.Module, gates: Gates) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        y = x
        for block in self.blocks:
            y = block(y, activation, gates)
        result: Tensor = x + self.leave(y)
        return result


class RgbToRaw(StyledNetwork):
    """Network of :class:`CycleISP`.

    Args:
        width: channels; 96 as published.
        groups, blocks: residual groups, and blocks in each; 3 and 5 as published.
    """

    stride: int = 2

    def __init__(self, width: int = 96, *, groups: int = 3, blocks: int = 5) -> None:
        super().__init__()
        check_counts("cycleisp", width=width, groups=groups, blocks=blocks)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.groups = nn.ModuleList(ResidualGroup(width, blocks) for _ in range(groups))
        self.body = nn.Conv2d(width, width, 3, padding=1)
        # One for the whole network.
        self.activation = nn.PReLU(width)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        reach = groups * (3 * blocks + 1) + 3
        self.halo = reach + reach % 2

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides as they are: any will do."""
        return height, width

    def _encode(self, padded: Tensor, style: GateValues | None) -> tuple[Tensor, GateValues]:
        gates, x = Gates(style), self.head(padded)
        for group in self.groups:
            x = group(x, self.activation, gates)
        return x, gates.used

    def _decode(self, features: Tensor) -> Tensor:
        return mosaic(self.tail(self.activation(self.body(features))), "RGGB")


class CycleISP(LearnedMethod):
    """CycleISP's RGB2RAW as a reverse ISP."""

    name: ClassVar[str] = "cycleisp"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="residual groups of dual attention at full resolution, then the mosaic",
        source="Zamir et al., CycleISP: Real Image Restoration via Improved Data Synthesis, CVPR 2020",
        licence="academic, non-commercial",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {},
        "tiny": {"width": 8, "groups": 1, "blocks": 1},
    }
    published: ClassVar[Mapping[str, Published]] = {
        "published": Published(
            rules=(
                (r"^(head|tail)\.0\.", r"\1."),
                (r"^body\.3\.", "body."),
                (r"^body\.4\.", "activation."),
                (r"^body\.(\d)\.body\.5\.", r"groups.\1.leave."),
                (r"^body\.(\d)\.body\.(\d)\.", r"groups.\1.blocks.\2."),
                (r"^groups\.\d\.blocks\.\d\.body\.1\.", "activation."),
                (r"\.body\.0\.", ".conv_a."),
                (r"\.body\.2\.", ".conv_b."),
                (r"\.SA\.spatial\.conv\.", ".spatial."),
                (r"\.CA\.conv_du\.0\.", ".channel.squeeze."),
                (r"\.CA\.conv_du\.2\.", ".channel.excite."),
                (r"\.conv1x1\.", ".join."),
            ),
            data="RAW files of MIT-Adobe FiveK, rendered by LibRaw",
        )
    }
    network_class: ClassVar[type[StyledNetwork]] = RgbToRaw
