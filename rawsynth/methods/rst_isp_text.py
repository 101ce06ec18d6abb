"""RST-ISP-Net's encoder as the paper's text and Figure 1 describe it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.methods.rst_isp_layers import (
    SLOPE,
    ActivatedConv2d,
    BiasedLeakyReLU,
    BlockStyle,
    Blur,
    EqualConv2d,
    Style,
    affine,
    gram,
    normalization,
    start_neutral,
)


class TextBlock(nn.Module):
    """Plain residual block; its output is what the Gram matrix, AdaIN and the skip connection see."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        pad = kernel // 2
        self.conv_a = ActivatedConv2d(channels_in, channels_out, kernel, padding=pad)
        self.blur = Blur() if stride == 2 else nn.Identity()
        self.conv_b = EqualConv2d(
            channels_out, channels_out, kernel, stride=stride, padding=0 if stride == 2 else pad
        )
        self.projection = nn.Conv2d(channels_in, channels_out, 1, stride=stride)
        self.act_out = BiasedLeakyReLU(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H/stride, W/stride)``."""
        y = self.conv_b(self.blur(self.conv_a(x)))
        out: Tensor = self.act_out(y + self.projection(x))
        return out


class StyleExtractor(nn.Module):
    """``y_l = h_l(f_fc(z_l))`` (eq. 2): five linear layers, the first of its own for each level, and a head a level.

    Gram matrices differ in size from level to level, so the first of the five layers cannot be shared.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(c * c, width) for c in channels)
        self.shared = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.heads = nn.ModuleList(nn.Linear(width, 2 * c) for c in channels)
        for first, head in zip(self.first, self.heads, strict=True):
            start_neutral(nn.ModuleList([first, *self.shared, head]))
        for layer in self.shared:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)

    def forward(self, moments: Tensor, level: int) -> Tensor:
        """Map a level's ``(B, C ** 2)`` to ``(B, 2 C)``, float32."""
        with torch.autocast(moments.device.type, enabled=False):
            code = self.first[level](moments)
            for layer in self.shared:
                code = layer(F.leaky_relu(code, SLOPE))
            out: Tensor = self.heads[level](F.leaky_relu(code, SLOPE))
            return out


class TextEncoder(nn.Module):
    """Five residual blocks, each followed by AdaIN and a skip around it: ``(B, 16 width, H/16, W/16)``."""

    def __init__(self, width: int, *, style_width: int, epsilon: float) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(5)]
        self.epsilon = epsilon
        self.blocks = nn.ModuleList(
            TextBlock(a, b, kernel=3 if level else 5, stride=2 if level else 1)
            for level, (a, b) in enumerate(zip([3, *channels], channels, strict=False))
        )
        self.extractor = StyleExtractor(channels, style_width)

    def forward(self, x: Tensor, style: Style | None = None) -> tuple[Tensor, Style]:
        """Encode, with measured statistics or a frozen style."""
        used = []
        for level, block in enumerate(self.blocks):
            x = block(x)
            if style is None:
                measured = normalization(x, self.extractor(gram(x), level), self.epsilon)
                used.append(BlockStyle(*measured, None))
            else:
                used.append(style[level])
            x = x + affine(x, used[level].scale, used[level].shift)
        return x, tuple(used)
