"""The baseline of the AIM 2022 challenge on reversed ISPs: a plain U-Net.

Conde et al., "Reversed Image Signal Processing and RAW Reconstruction. AIM 2022 Challenge Report", ECCV Workshops 2022.
Three levels of two convolutions without bias, max pooling down, transposed convolutions up, skips by concatenation. The
last level has the resolution of the sRGB; of each two by two of its pixels the first becomes the packed RAW.

Nothing looks at the whole image: tiles are exact.

Deviations: the authors clamp in the network, which stops the gradient of every pixel outside [0, 1]; here the method
clamps, after training too. The pointwise head comes after the subsampling, not before, with the same result. Sides that
are no multiple of 4 are mirrored up to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.methods.base import MethodFacts
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.local_network import LocalNetwork
from rawsynth.methods.options import check_counts
from rawsynth.methods.published import Published


class TwoConvs(nn.Module):
    """Two 3x3 convolutions without bias, each with a rectifier."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.conv_b = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H, W)``."""
        return F.relu(self.conv_b(F.relu(self.conv_a(x))))


class UpLevel(nn.Module):
    """Twice the resolution, and the encoder's features of that level beside it."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2)
        self.convs = TwoConvs(2 * channels_out, channels_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``(B, C_in, h, w)`` and ``(B, C_out, 2h, 2w)`` to ``(B, C_out, 2h, 2w)``."""
        result: Tensor = self.convs(torch.cat([self.up(x), skip], dim=1))
        return result


class UNet(LocalNetwork):
    """Network of :class:`Aim22UNet`.

    Args:
        widths: channels of each level, from full resolution down; 64, 128, 256 as published.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256)) -> None:
        super().__init__()
        if isinstance(widths, str) or not isinstance(widths, Sequence) or not 2 <= len(widths) <= 4:
            raise UsageError(f"aim22_unet: widths are those of two to four levels; got {widths!r}.")
        check_counts("aim22_unet", **{f"widths[{k}]": width for k, width in enumerate(widths)})
        self.encoder = nn.ModuleList(TwoConvs(before, after) for before, after in pairwise((3, *widths)))
        self.decoder = nn.ModuleList(UpLevel(before, after) for before, after in pairwise(reversed(widths)))
        self.head = nn.Conv2d(widths[0], 4, 1)
        levels = len(widths)
        self.stride = 2 ** (levels - 1)
        # Two convolutions a level, down and up, and what pooling adds: 23 pixels of three levels.
        reach = sum(4 * 2**level for level in range(levels - 1)) + 3 * self.stride
        self.halo = reach + -reach % self.stride

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides that the halvings need."""
        return height + -height % self.stride, width + -width % self.stride

    def _decode(self, features: Tensor) -> Tensor:
        x, skips = features, []
        for level, convs in enumerate(self.encoder):
            x = convs(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, skip in zip(self.decoder, skips[-2::-1], strict=True):
            x = up(x, skip)
        packed: Tensor = self.head(x[..., ::2, ::2])
        return packed


class Aim22UNet(LearnedMethod):
    """The challenge's baseline as a reverse ISP."""

    name: ClassVar[str] = "aim22_unet"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="the AIM 2022 challenge's baseline, a plain U-Net",
        source="Conde et al., AIM 2022 Challenge Report on Reversed ISP, ECCV Workshops 2022",
        licence="none stated",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {}, "tiny": {"widths": (4, 8, 8)}}
    published: ClassVar[Mapping[str, Published]] = {
        "published": Published(
            rules=(
                (r"^encoder\.enc_blocks\.", "encoder."),
                (r"^decoder\.upconvs\.(\d)\.", r"decoder.\1.up."),
                (r"^decoder\.dec_blocks\.(\d)\.", r"decoder.\1.convs."),
                (r"\.conv1\.", ".conv_a."),
                (r"\.conv2\.", ".conv_b."),
            ),
            data="AIM 2022 Reversed ISP, Samsung S7 or Huawei P20",
        )
    }
    network_class: ClassVar[type[StyledNetwork]] = UNet
