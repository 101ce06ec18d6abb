"""LiteISPNet-s of team MiAlgo: second of the AIM 2022 challenge on the Samsung S7, first on the Huawei P20.

Described in Conde et al., "AIM 2022 Challenge Report on Reversed ISP", ECCV Workshops 2022, after Zhang et al.,
"Learning RAW-to-sRGB Mappings with Inaccurately Aligned Supervision", ICCV 2021. A U-Net at half the resolution, whose
levels are joined by Haar transforms and hold residual groups with channel and spatial attention; then a gain for each
plane, as white balance is one, and a mask for the lens's shading.

Channel attention looks at the whole image; its gates, the gains among them, are the style here. Kernels at 1/16 of the
side reach far, 1,327 pixels in all: frames of up to 16 Mpx go through in one piece.

Deviations: sides that are no multiple of 16 are mirrored up to one. The authors ran stitched frames and put black and
white level back afterwards; here RAW is normalised as everywhere. Whether they measure the gains before or after the
mask, the reference output cannot tell; here it is before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.methods.base import MethodFacts
from rawsynth.methods.channel_attention import ChannelGate, Gates, GateValues
from rawsynth.methods.haar import haar, unhaar
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.options import check_counts
from rawsynth.methods.published import Published
from rawsynth.methods.tiling import Tiling

_REDUCTION = 16
STRIDE = 16


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)


class AttentionBlock(nn.Module):
    """Two convolutions, channel attention, then spatial attention, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_a, self.conv_b = _conv(width, width), _conv(width, width)
        self.channel = ChannelGate(width, _REDUCTION)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor, gates: Gates) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        y = gates(self.channel, self.conv_b(F.relu(self.conv_a(x))))
        pooled = torch.cat([y.mean(dim=1, keepdim=True), y.amax(dim=1, keepdim=True)], dim=1)
        result: Tensor = x + y * self.spatial(pooled).sigmoid()
        return result


class AttentionGroup(nn.Module):
    """Blocks and a convolution, with a skip over all of them."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(AttentionBlock(width) for _ in range(blocks))
        self.leave = _conv(width, width)

    def forward(self, x: Tensor, gates: Gates) -> Tensor:
        """Map ``(B, C, H, W)`` features to as many."""
        y = x
        for block in self.blocks:
            y = block(y, gates)
        result: Tensor = x + self.leave(y)
        return result


class Level(nn.Module):
    """A convolution to the level's width, groups, a convolution to the width that is wanted; either may be missing."""

    def __init__(
        self, width: int, blocks: int, *, groups: int = 1, enter: int | None = None, leave: int | None = None
    ) -> None:
        super().__init__()
        self.enter = nn.Identity() if enter is None else _conv(enter, width)
        self.groups = nn.ModuleList(AttentionGroup(width, blocks) for _ in range(groups))
        self.leave = nn.Identity() if leave is None else _conv(width, leave)

    def forward(self, x: Tensor, gates: Gates) -> Tensor:
        """Map features of ``enter`` channels to features of ``leave`` channels."""
        x = self.enter(x)
        for group in self.groups:
            x = group(x, gates)
        result: Tensor = self.leave(x)
        return result


class LiteISPNet(StyledNetwork):
    """Network of :class:`LiteIspNetS`.

    Args:
        widths: channels of the head and of the three levels below it; 32, 32, 64, 128 as published.
        blocks: in each group; 4 as published.
    """

    stride: int = STRIDE

    def __init__(self, widths: Sequence[int] = (32, 32, 64, 128), *, blocks: int = 4) -> None:
        super().__init__()
        if isinstance(widths, str) or not isinstance(widths, Sequence) or len(widths) != 4:
            raise UsageError(f"liteispnet_s: widths are four numbers of channels; got {widths!r}.")
        check_counts("liteispnet_s", blocks=blocks, **{f"widths[{k}]": width for k, width in enumerate(widths)})
        a, b, c, d = widths
        self.head = _conv(3, a, stride=2)
        self.down1 = Level(a, blocks, enter=a, leave=a)
        self.down2 = Level(b, blocks, enter=4 * a)
        self.down3 = Level(c, blocks, enter=4 * b)
        self.middle = Level(d, blocks, groups=2, enter=4 * c, leave=4 * c)
        self.up3 = Level(c, blocks, leave=4 * b)
        self.up2 = Level(b, blocks, leave=4 * a)
        self.up1 = Level(a, blocks, leave=a)
        self.tail = _conv(a, 4)
        self.gain = ChannelGate(4, 4)
        self.shading = nn.ModuleList([_conv(a, a), _conv(a, 1)])
        # Of a group, then of what runs at 1/2, 1/4, 1/8 and 1/16 of the side; 1,327 pixels as published, and cells.
        group = 5 * blocks + 1
        reach = 1 + 2 * (2 * group + 5) + 4 * (2 * group + 2) + 8 * (2 * group + 2) + 16 * (2 * group + 2)
        self.halo = reach + STRIDE + -reach % STRIDE

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides that the halvings need."""
        return height + -height % STRIDE, width + -width % STRIDE

    def _encode(self, padded: Tensor, style: GateValues | None) -> tuple[Tensor, GateValues]:
        gates = Gates(style)
        half = haar(self.down1(self.head(padded), gates))
        quarter = haar(self.down2(half, gates))
        eighth = haar(self.down3(quarter, gates))
        x = self.middle(eighth, gates) + eighth
        x = self.up3(unhaar(x), gates) + quarter
        x = self.up2(unhaar(x), gates) + half
        x = self.up1(unhaar(x), gates)
        mask = self.shading[1](F.relu(self.shading[0](x))).sigmoid()
        packed = gates(self.gain, self.tail(x)) * mask
        return packed, gates.used

    def _decode(self, features: Tensor) -> Tensor:
        # Attention goes on to the last layer, so that all is done when the style is known.
        return features


class LiteIspNetS(LearnedMethod):
    """LiteISPNet-s as a reverse ISP."""

    name: ClassVar[str] = "liteispnet_s"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="U-Net at half the resolution with Haar transforms, attention, gains and a shading mask",
        source="team MiAlgo in Conde et al., AIM 2022 Challenge Report on Reversed ISP, ECCV Workshops 2022",
        licence="none stated",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {},
        "tiny": {"widths": (4, 4, 8, 8), "blocks": 1},
    }
    published: ClassVar[Mapping[str, Published]] = {
        "published": Published(
            rules=(
                (r"\.rg\.4\.", ".leave."),
                (r"\.rg\.(\d)\.", r".blocks.\1."),
                (r"\.res\.0\.", ".conv_a."),
                (r"\.res\.2\.", ".conv_b."),
                (r"\.sa\.conv2d\.", ".spatial."),
                (r"\.ca\.conv_du\.", ".channel."),
                (r"^tail_ca\.conv_du\.", "gain."),
                (r"^(gain|.*\.channel)\.0\.", r"\1.squeeze."),
                (r"^(gain|.*\.channel)\.2\.", r"\1.excite."),
                (r"^(down\d|middle)\.0\.", r"\1.enter."),
                (r"^(down\d|middle|up\d)\.1\.", r"\1.groups.0."),
                (r"^middle\.2\.", "middle.groups.1."),
                (r"^(down1\.2|up\d\.2|middle\.3)\.(weight|bias)$", r"\1.leave.\2"),
                (r"^(down1|up\d|middle)\.\d\.leave\.(weight|bias)$", r"\1.leave.\2"),
                (r"^shading\.0\.0\.", "shading.0."),
            ),
            constants=r"^(module\.)?(down1\.3|down[23]\.2|up[123]\.0)\.",
            data="AIM 2022 Reversed ISP, Samsung S7 or Huawei P20",
        )
    }
    network_class: ClassVar[type[StyledNetwork]] = LiteISPNet
    # Whole frames, as the authors ran it: at half the resolution they are cheap, and the halo is wide.
    default_tiling: ClassVar[Tiling] = Tiling(whole_pixels=1 << 24, tile=2048)
