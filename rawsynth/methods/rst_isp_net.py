"""RST-ISP-Net: sRGB to RAW as the removal of a style.

Kinli, Ozcan and Kirac, "Reversing Image Signal Processors by Reverse Style Transferring", ECCV Workshops 2022. An
encoder of residual blocks removes the ISP's style by AdaIN, with parameters predicted from Gram matrices of the
features; a pointwise decoder with PixelShuffle gives packed RAW.

Three presets. ``s7`` and ``p20`` are the generators that the authors submitted to the AIM 2022 challenge; they differ
from the paper's text: six blocks, a style projector of two linear layers in each, Gram matrices of a block's input,
attention in the last two. ``text`` follows the words of the paper: five blocks, Gram matrices of a block's output, one
style extractor of five layers with a head a level.

Deviations, all for training from scratch: AdaIN's variance has an epsilon of 1e-5 (the authors' weights are loaded with
0, as trained); equalised weights begin as N(0, 1), biases as 0, and projectors near ``sigma = 1, mu = 0`` (the authors
drew N(0, 0.02) on top of the equalised scaling, which gives outputs of 1e-9); ``text`` has leaky rectifiers between the
layers of its extractor, without which five layers are one linear map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn, ones, zeros
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.methods.base import MethodFacts
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.options import check_counts
from rawsynth.methods.published import Published
from rawsynth.methods.rst_isp_checkpoints import PUBLISHED
from rawsynth.methods.rst_isp_layers import (
    SLOPE,
    ActivatedConv2d,
    BiasedLeakyReLU,
    BlockStyle,
    Blur,
    ChannelAttention,
    EqualConv2d,
    SpatialAttention,
    Style,
    StyleProjector,
    affine,
    gram,
    normalization,
)
from rawsynth.methods.rst_isp_text import TextEncoder
from rawsynth.registry import pick

STRIDE = 16
# Sum of the kernels' reach in input pixels, rounded up to whole strides: 137 for the submitted encoder.
HALO = 144


class EncoderBlock(nn.Module):
    """Residual block of the submitted network: two convolutions, AdaIN by the Gram matrix of the input, attention."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        attention: bool = False,
        conv_padding: int = 0,
        style_layers: int = 2,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.epsilon, self.attends = epsilon, attention
        pad = kernel // 2
        self.conv_a = ActivatedConv2d(channels_in, channels_out, kernel, padding=pad)
        self.blur = Blur() if stride == 2 else nn.Identity()
        self.conv_b = ActivatedConv2d(
            channels_out, channels_out, kernel, stride=stride, padding=conv_padding if stride == 2 else pad
        )
        self.style = StyleProjector(channels_in, channels_out, style_layers)
        # Only the last two blocks attend; the others hold the parameters, which count in the published size.
        self.channel_attention, self.spatial_attention = ChannelAttention(channels_out), SpatialAttention()
        for module in (self.channel_attention, self.spatial_attention):
            module.requires_grad_(attention)
        same = channels_in == channels_out and stride == 1
        self.projection = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride=stride)
        self.act_out = BiasedLeakyReLU(channels_out)

    def forward(self, x: Tensor, frozen: BlockStyle | None = None) -> tuple[Tensor, BlockStyle]:
        """Return the features and the style that was used: measured here, or ``frozen``."""
        y = self.conv_b(self.blur(self.conv_a(x)))
        if frozen is None:
            scale, shift = normalization(y, self.style(gram(x)), self.epsilon)
        else:
            scale, shift = frozen.scale, frozen.shift
        y, gate = affine(y, scale, shift), None
        if self.attends:
            gate = self.channel_attention(y) if frozen is None else frozen.gate
            assert gate is not None
            y = self.spatial_attention(y * gate[..., None, None].to(y.dtype))
        return self.act_out(y + self.projection(x)), BlockStyle(scale, shift, gate)


class DecoderBlock(nn.Module):
    """Pointwise residual block: two 1x1 convolutions without activation between, plus the input, leaky rectifier."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_a, self.conv_b = nn.Conv2d(channels_in, channels_out, 1), nn.Conv2d(channels_out, channels_out, 1)
        same = channels_in == channels_out
        self.projection = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)
        # Never applied by the authors either; it counts in the published size.
        self.unused_norm = nn.ParameterDict({"weight": ones(channels_out), "bias": zeros(channels_out)})
        self.unused_norm.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H, W)``."""
        return F.leaky_relu(self.conv_b(self.conv_a(x)) + self.projection(x), SLOPE)


class SubmittedEncoder(nn.Module):
    """The six blocks of the authors' network, ``(B, 3, H, W)`` to ``(B, 16 width, H/16, W/16)``, or the first ones."""

    def __init__(self, width: int, *, depth: int, odd: bool, style_layers: int, epsilon: float) -> None:
        super().__init__()
        w = width
        common: dict[str, Any] = {"style_layers": style_layers, "epsilon": epsilon}
        blocks: list[dict[str, Any]] = [
            {"channels_in": 3, "channels_out": w, "kernel": 5},
            {"channels_in": w, "channels_out": 2 * w, "stride": 2},
            {"channels_in": 2 * w, "channels_out": 2 * w},
            {"channels_in": 2 * w, "channels_out": 4 * w, "stride": 2},
            {"channels_in": 4 * w, "channels_out": 8 * w, "stride": 2, "attention": True},
            {"channels_in": 8 * w, "channels_out": 16 * w, "stride": 2, "attention": True, "conv_padding": int(odd)},
        ]
        self.blocks = nn.ModuleList(EncoderBlock(**block, **common) for block in blocks[:depth])

    def forward(self, x: Tensor, style: Style | None = None) -> tuple[Tensor, Style]:
        """Encode, with measured statistics or a frozen style."""
        used = []
        for index, block in enumerate(self.blocks):
            x, block_style = block(x, None if style is None else style[index])
            used.append(block_style)
        return x, tuple(used)


class RSTISPNet(StyledNetwork):
    """Network of :class:`RstIspNet`: float sRGB ``(B, 3, H, W)`` in [0, 1] to packed RAW ``(B, 4, H/2, W/2)``.

    Any even H and W: the image is reflect-padded at the right and the bottom to what the strides need and the result
    is cropped. ``s7`` needs sides of an odd multiple of 8, the others multiples of 16.

    Args:
        variant: ``"s7"``, ``"p20"`` or ``"text"``.
        width: channels of the first block; 32 as published.
        depth: encoder blocks of ``p20``, 4 to 6 (as published). Every RAW pixel comes out of one vector of the last
            block, at 1/16 of the side with six blocks and 1/4 with four, which keeps detail with few channels.
        style_layers: linear layers of each projector of ``s7`` and ``p20``.
        epsilon: added to the variance in AdaIN; 0 as published.
        style_width: of the extractor of ``text``.
    """

    halo: int = HALO
    stride: int = STRIDE

    def __init__(
        self,
        variant: str = "p20",
        *,
        width: int = 32,
        depth: int = 6,
        style_layers: int = 2,
        epsilon: float = 1e-5,
        style_width: int = 224,
    ) -> None:
        super().__init__()
        pick({name: name for name in ("s7", "p20", "text")}, variant, "variant of rst_isp_net")
        check_counts("rst_isp_net", width=width, depth=depth, style_layers=style_layers, style_width=style_width)
        if not isinstance(epsilon, float | int) or not 0 <= epsilon < math.inf:
            raise UsageError(f"rst_isp_net: epsilon is a number from 0; got {epsilon!r}.")
        if not 4 <= depth <= 6 or (depth < 6 and variant != "p20"):
            raise UsageError(f"rst_isp_net: depth is 6, or 4 or 5 of variant 'p20'; got {depth} of {variant!r}.")
        self.odd, self.halvings = variant == "s7", depth - 3
        self.encoder: nn.Module = (
            TextEncoder(width, style_width=style_width, epsilon=epsilon)
            if variant == "text"
            else SubmittedEncoder(width, depth=depth, odd=self.odd, style_layers=style_layers, epsilon=epsilon)
        )
        w = width
        blocks = [DecoderBlock(16 * w, 32 * w), DecoderBlock(8 * w, 16 * w), DecoderBlock(4 * w, 4 * w)]
        # Each undoes one of the encoder's halvings but the first: RAW planes are half as large as the image.
        self.decoder = nn.ModuleList([*blocks, DecoderBlock(w, w)] if variant == "text" else blocks[6 - depth :])
        if self.odd:
            self.tail: nn.Module = nn.Sequential(EqualConv2d(w, w, 3), EqualConv2d(w, 4, 3))
        else:
            self.tail = EqualConv2d(w, 4, 3, padding=1)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides that the strides need, at least those given."""
        phase = STRIDE // 2 if self.odd else 0
        # The deepest features are at least 2x2, or they would have no deviation.
        rows, columns = (max(side + (phase - side) % STRIDE, STRIDE + (phase or STRIDE)) for side in (height, width))
        return rows, columns

    def _encode(self, padded: Tensor, style: Style | None) -> tuple[Tensor, Style]:
        features, used = self.encoder(padded, style)
        return features, used

    def _decode(self, features: Tensor) -> Tensor:
        for index, block in enumerate(self.decoder):
            features = block(features)
            if index < self.halvings:
                features = F.pixel_shuffle(features, 2)
        packed: Tensor = self.tail(features)
        return packed


class RstIspNet(LearnedMethod):
    """RST-ISP-Net as a reverse ISP: the RAW of the camera that its weights were trained on."""

    name: ClassVar[str] = "rst_isp_net"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="the ISP removed as a style, by AdaIN from Gram matrices; RAW of the camera that it was trained on",
        source="Kinli et al., Reversing Image Signal Processors by Reverse Style Transferring, ECCV Workshops 2022",
        licence="none stated",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "p20": {"variant": "p20"},
        "s7": {"variant": "s7"},
        "text": {"variant": "text"},
        "tiny": {"variant": "p20", "width": 8, "depth": 4},
    }
    published: ClassVar[Mapping[str, Published]] = PUBLISHED
    network_class: ClassVar[type[StyledNetwork]] = RSTISPNet
