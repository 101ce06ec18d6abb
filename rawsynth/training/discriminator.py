"""A discriminator that judges packed RAW by its wavelets, and the Wasserstein losses to train with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from rawsynth.errors import UsageError
from rawsynth.training.wavelet import haar, inverse_haar

# Width at each level, finest first; an image of 8 * 2**levels pixels reaches 4x4 after the last.
CHANNELS: Final[Mapping[str, tuple[int, ...]]] = {
    "published": (128, 512, 512, 512, 512),
    "small": (32, 64, 128, 128, 128),
    "tiny": (16, 32, 64),
}
GROUP = 4


class WaveletDiscriminator(nn.Module):
    """Tell camera RAW from made RAW by its wavelet bands at several scales.

    SWAGAN (Gal et al., SIGGRAPH 2021) on the discriminator of StyleGAN2 (Karras et al., CVPR 2020), as RST-ISP-Net was
    trained against. At every level the 16 Haar bands enter through a 1x1 convolution, are added to the trunk, and the
    trunk halves; for the next level the image is put together again, blurred, halved and transformed anew. A channel
    of the batch's own deviation, a convolution and two linear layers give one score a sample. With the defaults it has
    26,222,337 parameters, as the published one, of which 512 are a bias before a bias.

    Scores depend on the other samples of the batch, as they do in StyleGAN2: do not mix real and made RAW in one call.

    Args:
        channels: width of the trunk at each level; :data:`CHANNELS` has some. They set ``size``, the side that planes
            are resized to: 8 times 2 to the power of their number.
        spectral: divide each weight by its largest singular value (Miyato et al., ICLR 2018).

    Raises:
        UsageError: no level, or widths below 1.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS["published"], *, spectral: bool = True) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise UsageError(f"a discriminator has one positive width a level; got {list(channels)}.")
        self.size = 8 * 2 ** len(channels)
        widths = [*channels, channels[-1]]
        self.entries = nn.ModuleList([Convolution(16, width, side=1, spectral=spectral) for width in widths])
        self.levels = nn.ModuleList(
            [Level(width, after, spectral=spectral) for width, after in zip(widths, widths[1:], strict=False)]
        )
        last = widths[-1]
        self.last = Convolution(last + 1, last, side=3, spectral=spectral)
        self.head = nn.Sequential(
            normed(nn.Linear(last * 16, last), spectral), BiasedActivation(last), normed(nn.Linear(last, 1), spectral)
        )

    def forward(self, raw: Tensor) -> Tensor:
        """Score a batch.

        Args:
            raw: ``(B, 4, h, w)`` float, packed RAW in unit scale, of any size; resized to ``size`` bilinearly.

        Returns:
            ``(B,)`` float32, or float64 from it; any real number, higher for what looks like camera RAW.

        Raises:
            UsageError: not packed RAW.
        """
        if raw.dim() != 4 or raw.shape[1] != 4 or not raw.is_floating_point() or 0 in raw.shape:
            raise UsageError(f"this takes packed RAW, (B, 4, h, w) float; got {tuple(raw.shape)} {raw.dtype}.")
        first, *others = wavelet_pyramid(raw, size=self.size, levels=len(self.entries))
        dtype = self.last.activation.bias.dtype
        trunk = self.entries[0](first.to(dtype))
        for level, entry, bands in zip(self.levels, self.entries[1:], others, strict=True):
            trunk = level(trunk) + entry(bands.to(dtype))
        trunk = self.last(append_deviation(trunk))
        scores: Tensor = self.head(trunk.flatten(1))
        return at_least_float32(scores.squeeze(1))


class Level(nn.Module):
    """Two convolutions of the trunk; the second blurs and halves."""

    def __init__(self, width: int, after: int, *, spectral: bool) -> None:
        super().__init__()
        self.same = Convolution(width, width, side=3, spectral=spectral)
        self.halve = Convolution(width, after, side=3, spectral=spectral, halve=True)

    def forward(self, trunk: Tensor) -> Tensor:
        """Map ``(B, width, h, w)`` to ``(B, after, h/2, w/2)``."""
        halved: Tensor = self.halve(self.same(trunk))
        return halved


class Convolution(nn.Module):
    """A convolution of odd side and the activation; with ``halve``, of stride 2 after a blur."""

    def __init__(self, width: int, after: int, *, side: int, spectral: bool, halve: bool = False) -> None:
        super().__init__()
        self.halve = halve
        pad, stride = (0, 2) if halve else (side // 2, 1)
        self.conv = normed(nn.Conv2d(width, after, side, stride=stride, padding=pad, bias=False), spectral)
        self.activation = BiasedActivation(after)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, width, h, w)`` to ``(B, after, h, w)``, or half the sides."""
        features: Tensor = self.activation(self.conv(blur(image, pad=2) if self.halve else image))
        return features


class BiasedActivation(nn.Module):
    """StyleGAN2's activation: a bias, a leaky ReLU of slope 0.2, and sqrt(2) to keep the variance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """Act on ``(B, width, ...)``."""
        bias = self.bias.to(features.dtype).reshape(-1, *[1] * (features.dim() - 2))
        return functional.leaky_relu(features + bias, 0.2) * math.sqrt(2)


def normed(layer: nn.Conv2d | nn.Linear, spectral: bool) -> nn.Module:
    """Draw a layer's weights from N(0, 1 / inputs) and put them under spectral normalisation, if asked."""
    nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return spectral_norm(layer) if spectral else layer


def wavelet_pyramid(raw: Tensor, *, size: int, levels: int) -> list[Tensor]:
    """Resize planes and transform them at each of several halved sizes, finest first; at least in float32."""
    # Half precision would lose detail beside a bright level; once in bands of its own, detail survives it.
    with torch.autocast(device_type=raw.device.type, enabled=False):
        bands = [haar(resize(at_least_float32(raw), size))]
        while len(bands) < levels:
            bands.append(haar(blur(inverse_haar(bands[-1]), pad=1, stride=2)))
        return bands


def resize(raw: Tensor, size: int) -> Tensor:
    """Resize ``(B, C, h, w)`` to squares, bilinearly; where it shrinks, over as many pixels as it covers."""
    if raw.shape[-2:] == (size, size):
        return raw
    return functional.interpolate(raw, (size, size), mode="bilinear", align_corners=False, antialias=True)


def blur(image: Tensor, *, pad: int, stride: int = 1) -> Tensor:
    """Convolve each channel with the outer square of [1, 3, 3, 1] / 8, in zeros ``pad`` wide."""
    # From scalars on the device: nothing to copy there, and nothing for a cast of the module to reach.
    offsets = torch.arange(4, device=image.device, dtype=image.dtype) - 1.5
    taps = 0.5 - 0.25 * offsets.abs()
    kernel = torch.outer(taps, taps).expand(image.shape[1], 1, 4, 4)
    return functional.conv2d(image, kernel, stride=stride, padding=pad, groups=image.shape[1])


def append_deviation(features: Tensor) -> Tensor:
    """Append the deviation over the batch, averaged over channels and pixels, as a channel (Karras et al., ICLR 2018).

    Taken in groups of 4, or of 3 or 2 where these divide the batch, else over the whole batch. A batch of one has 0.
    """
    batch, _, height, width = features.shape
    group = next((count for count in (GROUP, 3, 2) if batch % count == 0), batch)
    # Half precision would lose a deviation beside a large mean.
    grouped = at_least_float32(features).reshape(group, -1, *features.shape[1:])
    variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3)).repeat(group)
    channel = deviation.to(features.dtype)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([features, channel], dim=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Widen half precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Compute the critic's Wasserstein loss, ``mean(fake) - mean(real)`` (Arjovsky et al., ICML 2017)."""
    return at_least_float32(fake_scores).mean() - at_least_float32(real_scores).mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Compute the generator's Wasserstein loss, ``-mean(fake)``."""
    return -at_least_float32(fake_scores).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, *, fake: Tensor, mix: Tensor) -> Tensor:
    """Compute ``mean((|grad D(x)| - 1)**2)`` at mixes of real and made samples (Gulrajani et al., NeurIPS 2017).

    In float32 or wider, whatever autocast says, and differentiable in the discriminator's parameters.

    Args:
        discriminator: scores of a batch.
        real: ``(B, C, h, w)`` float.
        fake: same shape; no gradient flows back to it.
        mix: ``(B, 1, 1, 1)`` share of the real sample in each mix, drawn uniformly from [0, 1].

    Returns:
        A scalar.

    Raises:
        UsageError: shapes that do not fit.
    """
    if real.shape != fake.shape or real.dim() != 4 or mix.shape != (real.shape[0], 1, 1, 1):
        shapes = f"real {tuple(real.shape)}, fake {tuple(fake.shape)}, mix {tuple(mix.shape)}"
        raise UsageError(f"real and fake are (B, C, h, w) of one shape and mix is (B, 1, 1, 1); got {shapes}.")
    with torch.autocast(device_type=real.device.type, enabled=False):
        share = at_least_float32(mix)
        mixed = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
        scores = discriminator(mixed)
        (slope,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
        excess: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1
        return excess.square().mean()
