"""InvISP: an invertible network between demosaiced RAW and sRGB, run backwards.

Xing, Qian and Chen, "Invertible Image Signal Processing", CVPR 2021. Eight blocks, each an invertible mixture of the
three colours (LU-decomposed, as in Glow) and an affine coupling by dense blocks. The authors train both directions at
once, through a simulation of JPEG; what comes back is demosaiced RAW after white balance and ``x^(1/2.2)``.

Here the inverse direction is the method: its three colours are taken to the power of 2.2 and sampled at the sites of
the CFA. :meth:`InvertibleISP.render` is the other direction. Nothing looks at the whole image: tiles are exact.

Deviations: training here moves the inverse direction alone, towards RAW as it is. A fresh network begins close to the
identity, for which the authors' random rotations would be a start in random colours. The power keeps the sign, so that
values under black have a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from rawsynth.raw.cfa import mosaic

_SLOPE = 0.2
# Largest logarithm of a coupling's gain.
_CLAMP = 0.8


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each over the input and all that came before it."""

    def __init__(self, channels_in: int, channels_out: int, growth: int) -> None:
        super().__init__()
        inner = [nn.Conv2d(channels_in + k * growth, growth, 3, padding=1) for k in range(4)]
        self.conv1, self.conv2, self.conv3, self.conv4 = inner
        self.conv5 = nn.Conv2d(channels_in + 4 * growth, channels_out, 3, padding=1)
        for conv in (*inner, self.conv5):
            nn.init.xavier_normal_(conv.weight, gain=0.03 if conv is self.conv5 else 1.0)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H, W)``."""
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.cat([x, F.leaky_relu(conv(x), _SLOPE)], dim=1)
        result: Tensor = self.conv5(x)
        return result


class ColorMixing(nn.Module):
    """Invertible mixture of three channels: permutation, unit lower and upper triangle, gains of fixed signs."""

    p: Tensor
    sign_s: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.eye(3))
        self.register_buffer("sign_s", torch.ones(3))
        self.lower, self.upper = nn.Parameter(torch.zeros(3, 3)), nn.Parameter(torch.zeros(3, 3))
        self.log_s = nn.Parameter(torch.zeros(3))

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the lower and the upper triangle, ``(3, 3)`` each."""
        lower = self.lower.tril(-1) + torch.eye(3, device=self.lower.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign_s * self.log_s.exp())

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``(B, 3, H, W)``."""
        lower, upper = self.factors()
        return F.conv2d(x, (self.p @ lower @ upper)[:, :, None, None])

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        lower, upper = self.factors()
        # A permutation's inverse is its transpose.
        half = torch.linalg.solve_triangular(lower, self.p.mT, upper=False, unitriangular=True)
        return F.conv2d(x, torch.linalg.solve_triangular(upper, half, upper=True)[:, :, None, None])


class InvertibleBlock(nn.Module):
    """Mixture of the colours, then a coupling: one channel moved by the other two, those scaled and moved by it."""

    def __init__(self, growth: int) -> None:
        super().__init__()
        self.mixing = ColorMixing()
        self.shift = DenseBlock(2, 1, growth)
        self.gain, self.offset = DenseBlock(1, 2, growth), DenseBlock(1, 2, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` towards sRGB."""
        x = self.mixing(x)
        one = x[:, :1] + self.shift(x[:, 1:])
        return torch.cat([one, x[:, 1:] * self._gains(one) + self.offset(one)], dim=1)

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        one = x[:, :1]
        two = (x[:, 1:] - self.offset(one)) / self._gains(one)
        mixed: Tensor = self.mixing.inverse(torch.cat([one - self.shift(two), two], dim=1))
        return mixed

    def _gains(self, one: Tensor) -> Tensor:
        gains: Tensor = (_CLAMP * (2 * self.gain(one).sigmoid() - 1)).exp()
        return gains


class InvertibleISP(LocalNetwork):
    """Network of :class:`InvISP`.

    Args:
        blocks: invertible blocks; 8 as published.
        growth: channels that each layer of a dense block adds; 32 as published.
        gamma: power that makes linear RAW of what the blocks give; 2.2 as published, 1 for none.
    """

    stride: int = 2

    def __init__(self, blocks: int = 8, *, growth: int = 32, gamma: float = 2.2) -> None:
        super().__init__()
        check_counts("invisp", blocks=blocks, growth=growth)
        if isinstance(gamma, bool) or not isinstance(gamma, float | int) or not 1 <= gamma < math.inf:
            raise UsageError(f"invisp: gamma is a number from 1; got {gamma!r}.")
        self.gamma = float(gamma)
        self.blocks = nn.ModuleList(InvertibleBlock(growth) for _ in range(blocks))
        # Two dense blocks after each other in each, of five 3x3 kernels.
        self.halo = 10 * blocks

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides as they are: any will do."""
        return height, width

    def render(self, rgb: Tensor) -> Tensor:
        """Map demosaiced RAW to sRGB: ``(B, 3, H, W)`` white-balanced, after ``x^(1/gamma)``, to as many."""
        for block in self.blocks:
            rgb = block(rgb)
        return rgb

    def reverse(self, srgb: Tensor) -> Tensor:
        """Map sRGB to demosaiced RAW; the inverse of :meth:`render`."""
        for block in reversed(self.blocks):
            assert isinstance(block, InvertibleBlock)
            srgb = block.inverse(srgb)
        return srgb

    def _decode(self, features: Tensor) -> Tensor:
        packed = mosaic(self.reverse(features), "RGGB")
        return packed * packed.abs().pow(self.gamma - 1) if self.gamma != 1 else packed


class InvISP(LearnedMethod):
    """InvISP's inverse direction as a reverse ISP."""

    name: ClassVar[str] = "invisp"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="an invertible network between demosaiced RAW and sRGB, run backwards, then the mosaic",
        source="Xing et al., Invertible Image Signal Processing, CVPR 2021",
        licence="MIT",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {}, "tiny": {"blocks": 2, "growth": 4}}
    published: ClassVar[Mapping[str, Published]] = {
        "published": Published(
            rules=(
                (r"^operations\.", "blocks."),
                (r"\.F\.", ".shift."),
                (r"\.G\.", ".offset."),
                (r"\.H\.", ".gain."),
                (r"\.invconv\.", ".mixing."),
            ),
            constants=r"\.invconv\.(l_mask|eye)$",
            data="RAW files of MIT-Adobe FiveK, Canon EOS 5D or Nikon D700, rendered by LibRaw; white-balanced RAW",
        )
    }
    network_class: ClassVar[type[StyledNetwork]] = InvertibleISP
