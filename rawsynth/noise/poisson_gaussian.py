"""Poisson-Gaussian noise: ``S Poisson(x / S) + sqrt(O) z``, photon counts plus Gaussian read noise.

Foi et al., IEEE TIP 2008, eq. 1-4. With ``S = K / (white - black)`` the rate ``x / S`` is the mean number of electrons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise.base import NoiseModel

# Below this rate the CDF is summed term by term; 44 terms leave less than 1e-11 of Poisson(12) uncovered.
_SMALL_RATE = 12.0
_SMALL_TERMS = 44
# Terms after which eager sums leave out the sites that are done.
_DROP_OUT = (2, 4, 7, 11, 16, 22, 29)
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
        counts = _large_rate(rate.clamp(min=_SMALL_RATE), normal)
        return torch.where(rate < _SMALL_RATE, _small_rate(rate.clamp(max=_SMALL_RATE), normal), counts)
    return _eager_inverse_cdf(rate.reshape(-1), normal.reshape(-1)).view(rate.shape)


def _eager_inverse_cdf(rate: Tensor, normal: Tensor) -> Tensor:
    """The same counts in passes over blocks of flat tensors: only the sites that need a branch pay for it."""
    counts = torch.empty_like(rate)
    is_dark = rate < _SMALL_RATE
    for block in _blocks(rate.numel()):
        if not bool(is_dark[block].all()):
            counts[block] = _large_rate(rate[block].clamp(min=_SMALL_RATE), normal[block])
    dark = _where(is_dark)
    for block in _blocks(dark.numel()):
        sites = dark[block]
        counts.scatter_(0, sites, _eager_small_rate(rate.index_select(0, sites), normal.index_select(0, sites)))
    return counts


def _blocks(count: int) -> Iterator[slice]:
    step = seeding.eager_block()
    return (slice(start, start + step) for start in range(0, count, step))


def _small_rate(rate: Tensor, normal: Tensor) -> Tensor:
    probability, remaining = _first_term(rate, normal)
    count = torch.zeros_like(rate)
    for k in range(1, _SMALL_TERMS):
        count = count + (remaining > 0)
        probability = probability * (rate * (1.0 / k))
        remaining = remaining - probability
    return count


def _eager_small_rate(rate: Tensor, normal: Tensor) -> Tensor:
    """The sum of :func:`_small_rate`, from which sites that have passed their uniform drop out."""
    probability, remaining = _first_term(rate, normal)
    counts, count = torch.zeros_like(rate), torch.zeros_like(rate)
    site: Tensor | None = None
    for k in range(1, _SMALL_TERMS):
        if k in _DROP_OUT:
            left = _where(remaining > 0)
            counts = count if site is None else counts.scatter_(0, site, count)
            if not left.numel():
                return counts
            site = left if site is None else site.index_select(0, left)
            state = (rate, probability, remaining, count)
            rate, probability, remaining, count = (values.index_select(0, left) for values in state)
        # Adds 1 where the sum has not reached the uniform: vectorised, which a comparison's bool is not.
        count += torch.sign(remaining).clamp_(min=0)
        probability *= rate * (1.0 / k)
        remaining -= probability
    return count if site is None else counts.scatter_(0, site, count)


def _where(mask: Tensor) -> Tensor:
    # NumPy's is eight times as fast as torch.nonzero on a CPU.
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _first_term(rate: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    # Float32 terms add up to 1 within 1e-7: a uniform nearer to 1 than that would let the sum run on to its last term.
    uniform = torch.erfc(normal * -math.sqrt(0.5)).mul_(0.5).clamp_(max=1.0 - 2.0**-21)
    probability = torch.exp(-rate)
    return probability, uniform.sub_(probability)


def _large_rate(rate: Tensor, normal: Tensor) -> Tensor:
    w, w2 = normal, normal * normal
    root = torch.rsqrt(rate)
    # Coefficients of rate**(-k/2), k = 4, 3, 2, 1, 0, then the sum in Horner's form.
    tail = _polynomial(w2, 114.0, 337.5, -2594.5, -128.0).mul_(1.0 / 204120.0)
    tail = tail.mul_(root).add_(_polynomial(w2, -51.75, -137.0, 671.0).mul_(w).mul_(1.0 / 38880.0))
    tail = tail.mul_(root).add_(_polynomial(w2, 1.0 / 270.0, 7.0 / 810.0, -8.0 / 405.0))
    tail = tail.mul_(root).add_(_polynomial(w2, -1.0 / 72.0, -1.0 / 36.0).mul_(w))
    tail = tail.mul_(root).add_(_polynomial(w2, 1.0 / 6.0, 1.0 / 3.0))
    return torch.sqrt(rate).mul_(w).add_(rate).add_(tail).floor_().clamp_(min=0)


def _polynomial(x: Tensor, first: float, *others: float) -> Tensor:
    """Evaluate a polynomial from its highest coefficient on."""
    total = x * first
    for power, coefficient in enumerate(others, start=1):
        total = total.add_(coefficient)
        if power < len(others):
            total = total.mul_(x)
    return total


def poisson_signal(clean: Tensor, shot: Tensor, normal: Tensor) -> Tensor:
    """Return ``S Poisson(x / S)``, a tensor of its own, from one standard normal a site.

    Values of ``clean`` below 0 hold no photons: they pass without noise. Where S = 0 there is none either.
    """
    light = clean.clamp(min=0)
    # Under 1e-14 shot noise is finer than float32 resolves, and counts would leave its range.
    counted = shot > _FINEST_SHOT
    gain = torch.where(counted, shot, 1.0)
    counts = poisson_from_normal(light / gain, normal)
    return torch.where(counted, counts.mul_(gain), light).add_(clean.clamp(max=0))


class PoissonGaussian(NoiseModel):
    """Poisson shot noise through the gain S, and Gaussian read noise of variance O."""

    name: ClassVar[str] = "poisson_gaussian"

    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add the noise; see :meth:`NoiseModel.add`. ``params``: ``shot``, ``read``, each ``(B, 4)``.

        Values of ``clean`` below 0 hold no photons: they pass without shot noise. A plane with S = 0 has none either.
        """
        shot, read = params["shot"][..., None, None], params["read"][..., None, None]
        shot_normal, read_normal = seeding.normal_pairs(words, clean[0].numel())
        signal = poisson_signal(clean, shot, shot_normal.view(clean.shape))
        return signal.add_(read_normal.view(clean.shape).mul_(torch.sqrt(read)))
