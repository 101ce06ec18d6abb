"""Layers of RST-ISP-Net: equalised convolutions, Gram styles, AdaIN with frozen or measured statistics, attention."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE, SQRT2 = 0.2, math.sqrt(2.0)
BLUR_TAPS = (1.0, 3.0, 3.0, 1.0)
_SMALLEST_VARIANCE = 1e-12


class BlockStyle(NamedTuple):
    """What a block takes from the whole frame, fixed: the normalisation as one affine map a channel, and the gate.

    Attributes:
        scale, shift: ``(B, C)`` float32; AdaIN is ``scale * x + shift``.
        gate: ``(B, C)`` channel attention in [0, 1], or ``None`` in blocks without.
    """

    scale: Tensor
    shift: Tensor
    gate: Tensor | None


Style = tuple[BlockStyle, ...]


class EqualConv2d(nn.Module):
    """Convolution with an equalised learning rate (Karras et al., ICLR 2018): N(0, 1) weights, scaled at run time."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, kernel, kernel))
        self.gain = 1.0 / math.sqrt(channels_in * kernel * kernel)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)``."""
        return F.conv2d(x, self.weight * self.gain, stride=self.stride, padding=self.padding)


class ActivatedConv2d(EqualConv2d):
    """Equalised convolution, bias, leaky rectifier and ``sqrt(2)``, as in StyleGAN2 (Karras et al., CVPR 2020).

    The factor goes through the rectifier into weight and bias, so that activations are touched once.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(channels_in, channels_out, kernel, stride=stride, padding=padding)
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate ``(B, C, H, W)``."""
        weight, bias = self.weight * (self.gain * SQRT2), self.bias * SQRT2
        return F.leaky_relu(F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding), SLOPE)


class BiasedLeakyReLU(nn.Module):
    """``sqrt(2) * leaky_relu(x + bias)``, the same activation after a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Activate ``(B, C, H, W)``."""
        return F.leaky_relu(x + self.bias[:, None, None].to(x.dtype), SLOPE) * SQRT2


class Blur(nn.Module):
    """Binomial low-pass [1, 3, 3, 1] in both directions, zero-padded by two: the output is one pixel larger."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(BLUR_TAPS)
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None] / taps.sum() ** 2, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Blur ``(B, C, H, W)`` to ``(B, C, H + 1, W + 1)``."""
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.to(x.dtype).expand(channels, 1, 4, 4), padding=2, groups=channels)


def gram(x: Tensor) -> Tensor:
    """Return ``X X^T / (H W)``: uncentred second moments of the channels, float32 whatever the autocast.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        ``(B, C * C)``, not divided by C.
    """
    with torch.autocast(x.device.type, enabled=False):
        # Scaled before the product, so that no sum over a quarter of a million pixels has to be divided afterwards.
        flat = x.float().flatten(2) * (x.shape[-2] * x.shape[-1]) ** -0.5
        moments: Tensor = flat @ flat.mT
        return moments.flatten(1)


def normalization(x: Tensor, style: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return AdaIN (Huang and Belongie, ICCV 2017) of ``x`` as the affine map ``scale * x + shift``.

    Args:
        x: ``(B, C, H, W)`` content, whose mean and unbiased standard deviation are measured.
        style: ``(B, 2C)``: the standard deviations, then the means to give it.
        epsilon: added to the variance; 0 as published, where a constant channel divides by zero.
    """
    variance, mean = _var_mean(x.float())
    sigma, mu = style.chunk(2, dim=1)
    # A constant channel of weights without epsilon stays finite.
    scale = sigma * torch.rsqrt((variance + epsilon).clamp_min(_SMALLEST_VARIANCE))
    return scale, mu - mean * scale


def _var_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return unbiased variance and mean of ``(B, C, H, W)`` over the pixels."""
    if not (torch.compiler.is_compiling() and x.device.type == "cpu"):
        variance, mean = torch.var_mean(x, dim=(-2, -1), correction=1)
        return variance, mean
    # Inductor's own (torch 2.13, CPU) is wrong by up to a half where the channels fill a vector's last part badly:
    # 1 to 4 over with AVX2. Two passes are right.
    mean = x.mean((-2, -1))
    deviation = x - mean[..., None, None]
    return deviation.square().sum((-2, -1)) / (x.shape[-2] * x.shape[-1] - 1), mean


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Apply ``scale * x + shift``, a pair a channel, and return the type of ``x``."""
    # In float32: the two terms nearly cancel where a channel's mean is large against its deviation.
    return torch.addcmul(shift[..., None, None], x.float(), scale[..., None, None]).to(x.dtype)


class StyleProjector(nn.Module):
    """Linear layers from a Gram matrix to AdaIN's parameters, no activation between them, float32 throughout."""

    def __init__(self, channels_in: int, channels_out: int, layers: int) -> None:
        super().__init__()
        sizes = [channels_in**2] + [2 * channels_out] * layers
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        start_neutral(self.layers)

    def forward(self, moments: Tensor) -> Tensor:
        """Map ``(B, C_in ** 2)`` to ``(B, 2 C_out)``."""
        with torch.autocast(moments.device.type, enabled=False):
            for layer in self.layers:
                moments = layer(moments)
        return moments


def start_neutral(layers: nn.ModuleList) -> None:
    """Let the last of some linear layers begin near ``sigma = 1``, ``mu = 0``: AdaIN begins as instance norm."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer in linear:
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)
    last = linear[-1]
    nn.init.normal_(last.weight, std=0.05 * last.in_features**-0.5)
    with torch.no_grad():
        last.bias[: last.out_features // 2] = 1.0


class ChannelAttention(nn.Module):
    """CBAM's channel gate (Woo et al., ECCV 2018): average and maximum through one bottleneck, summed, sigmoid."""

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=False)
        self.excite = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate ``(B, C)`` of ``(B, C, H, W)``."""
        mean, peak = x.float().mean((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True).float()
        with torch.autocast(x.device.type, enabled=False):
            pooled = [self.excite(F.relu(self.squeeze(p))) for p in (mean, peak)]
            return torch.sigmoid(pooled[0] + pooled[1]).flatten(1)


class SpatialAttention(nn.Module):
    """CBAM's spatial gate: a 7x7 convolution over the mean and the maximum of the channels, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``(B, C, H, W)``."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(pooled)).to(x.dtype)
