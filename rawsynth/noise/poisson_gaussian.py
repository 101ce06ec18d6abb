"""Poisson-Gaussian noise: ``S Poisson(x / S) + sqrt(O) z``, photon counts plus Gaussian read noise.

Foi et al., IEEE TIP 2008, eq. 1-4. With ``S = K / (white - black)`` the rate ``x / S`` is the mean number of electrons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise.base import NoiseModel

# Below this rate the CDF is summed term by term; 44 terms leave less than 1e-11 of Poisson(12) uncovered.
_SMALL_RATE = 12.0
_SMALL_TERMS = 44
_FINEST_SHOT = 1e-14


def poisson_from_normal(rate: Tensor, normal: Tensor) -> Tensor:
    """Map a standard normal to a Poisson count through the inverse CDF: one draw a site, no rejection, any device.

    Below a rate of 12 the CDF is summed until it passes ``Phi(normal)``, to its quantile of ``1 - 5e-7``. From there on
    the count is the floor of the asymptotic expansion of the inverse incomplete gamma function (in the form of Giles,
    "Algorithm 955: approximation of the inverse Poisson cumulative distribution function", ACM TOMS 2016, carried to
    the order ``rate**-2``): the total variation distance to the exact law is under 1e-5 at 12 and falls with the rate.

    Args:
        rate: float32, any shape, >= 0: mean counts.
        normal: float32 standard normals of the same shape.

    Returns:
        float32 counts. A rate of 0 gives 0.
    """
    if torch.compiler.is_compiling() or rate.device.type != "cpu":
        return _inverse_cdf(rate, normal)
    counts = torch.empty_like(rate, memory_format=torch.contiguous_format)
    flat_rate, flat_normal, flat_counts = rate.reshape(-1), normal.reshape(-1), counts.view(-1)
    step = seeding.eager_block()
    for start in range(0, flat_rate.numel(), step):
        block = slice(start, start + step)
        flat_counts[block] = _inverse_cdf(flat_rate[block], flat_normal[block])
    return counts


def _inverse_cdf(rate: Tensor, normal: Tensor) -> Tensor:
    counts = _large_rate(rate.clamp(min=_SMALL_RATE), normal)
    small = rate < _SMALL_RATE
    if torch.compiler.is_compiling() or rate.device.type != "cpu":
        return torch.where(small, _small_rate(rate.clamp(max=_SMALL_RATE), normal), counts)
    # Eagerly on a CPU, only the sites that need the sum pay for it.
    counts[small] = _small_rate(rate[small], normal[small])
    return counts


def _small_rate(rate: Tensor, normal: Tensor) -> Tensor:
    may_stop = not torch.compiler.is_compiling() and rate.device.type == "cpu"
    # Float32 terms add up to 1 within 1e-7: a uniform nearer to 1 than that would let the sum run on to its last term.
    uniform = (0.5 * torch.erfc(normal * -math.sqrt(0.5))).clamp(max=1.0 - 2.0**-21)
    probability = torch.exp(-rate)
    remaining = uniform - probability
    count = torch.zeros_like(rate)
    for k in range(1, _SMALL_TERMS):
        beyond = remaining > 0
        if may_stop and not bool(beyond.any()):
            break
        count = count + beyond
        probability = probability * (rate * (1.0 / k))
        remaining = remaining - probability
    return count


def _large_rate(rate: Tensor, normal: Tensor) -> Tensor:
    w, w2 = normal, normal * normal
    root = torch.rsqrt(rate)
    # Coefficients of rate**(-k/2), k = -1, 0, 1, 2, 3, 4, in Horner form.
    c4 = (((114.0 * w2 + 337.5) * w2 - 2594.5) * w2 - 128.0) * (1.0 / 204120.0)
    c3 = ((-51.75 * w2 - 137.0) * w2 + 671.0) * w * (1.0 / 38880.0)
    c2 = ((w2 * (1.0 / 270.0)) + 7.0 / 810.0) * w2 - 8.0 / 405.0
    c1 = -(w2 * (1.0 / 72.0) + 1.0 / 36.0) * w
    c0 = w2 * (1.0 / 6.0) + 1.0 / 3.0
    tail = (((c4 * root + c3) * root + c2) * root + c1) * root + c0
    return torch.floor(rate + torch.sqrt(rate) * w + tail).clamp(min=0)


class PoissonGaussian(NoiseModel):
    """Poisson shot noise through the gain S, and Gaussian read noise of variance O."""

    name: ClassVar[str] = "poisson_gaussian"

    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add the noise; see :meth:`NoiseModel.add`. ``params``: ``shot``, ``read``, each ``(B, 4)``.

        Values of ``clean`` below 0 hold no photons: they pass without shot noise. A plane with S = 0 has none either.
        """
        shot, read = params["shot"][..., None, None], params["read"][..., None, None]
        shot_normal, read_normal = seeding.normal_pairs(words, clean[0].numel())
        light = clean.clamp(min=0)
        # Under 1e-14 shot noise is finer than float32 resolves, and counts would leave its range.
        counted = shot > _FINEST_SHOT
        gain = torch.where(counted, shot, 1.0)
        counts = poisson_from_normal(light / gain, shot_normal.view(clean.shape))
        lit = torch.where(counted, counts * gain, light)
        return lit + clean.clamp(max=0) + torch.sqrt(read) * read_normal.view(clean.shape)
