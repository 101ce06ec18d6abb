"""The Tukey-lambda distribution, whose quantile function is ``Q(p) = (p**l - (1 - p)**l) / l``.

Tukey, "Practical relationship between the common transformations of percentages or fractions and of amounts",
Princeton 1960; Joiner and Rosenblatt, JASA 1971. Wei et al. ("A Physics-based Noise Formation Model for Extreme
Low-light Raw Denoising", CVPR 2020) found it to fit read noise, whose tails are longer than a Gaussian's: ``l`` = 0 is
the logistic, about 0.14 close to normal, negative heavy-tailed. Its scale is no standard deviation: see
:func:`tukey_variance`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rawsynth.errors import UsageError

# Riemann's zeta at 2, 3, ..., 9.
_ZETA = (
    math.pi**2 / 6,
    1.2020569031595943,
    math.pi**4 / 90,
    1.0369277551433699,
    math.pi**6 / 945,
    1.0083492773819228,
    math.pi**8 / 9450,
    1.0020083928260822,
)
_SERIES_BELOW = 0.01
# float32 cannot tell a shape nearer to 0 from the logistic, and its quotient by the shape stays finite.
_SMALLEST_SHAPE = 1e-10


def tukey_variance(tukey_lambda: float) -> float:
    """Return the variance at scale 1: ``2 / l**2 * (1 / (1 + 2 l) - Gamma(l + 1)**2 / Gamma(2 l + 2))``.

    Its limit at 0 is the logistic's, ``pi**2 / 3``.

    Raises:
        UsageError: the shape is at or below -0.5, where the variance is infinite.

    >>> round(tukey_variance(0.0), 4)
    3.2899
    """
    check_shape(tukey_lambda)
    shape = float(tukey_lambda)
    if abs(shape) < _SERIES_BELOW:
        # 2 lgamma(1 + l) - lgamma(1 + 2 l), of which the terms in 1 and l cancel, over l**2.
        terms = (zeta * (-shape) ** (k - 2) * (2.0 - 2.0**k) / k for k, zeta in enumerate(_ZETA, start=2))
        slope = math.fsum(terms)
        exponent = slope * shape * shape
        relative = slope if exponent == 0.0 else slope * math.expm1(exponent) / exponent
    else:
        relative = math.expm1(2.0 * math.lgamma(1.0 + shape) - math.lgamma(1.0 + 2.0 * shape)) / shape**2
    return -2.0 * relative / (1.0 + 2.0 * shape)


def check_shape(tukey_lambda: float) -> None:
    """Raise UsageError unless the shape is a finite number above -0.5."""
    if not -0.5 < tukey_lambda < math.inf:
        raise UsageError(f"a Tukey-lambda shape is above -0.5, or the variance is infinite; got {tukey_lambda!r}.")


def tukey_quantile(tail: Tensor, tukey_lambda: Tensor) -> Tensor:
    """Return ``Q(1 - tail)``, the value that a share ``tail`` of the draws exceeds.

    ``((1 - t)**l - t**l) / l`` is taken as a difference of ``expm1``, in which the ones are gone: it keeps float32's
    accuracy into the tail and passes through the logistic ``log((1 - t) / t)`` at 0.

    Args:
        tail: float32 in (0, 0.5], any shape. By symmetry ``Q(t) = -Q(1 - t)``.
        tukey_lambda: float32 shapes, broadcast against ``tail``.

    Returns:
        float32 >= 0, at scale 1.
    """
    shape = torch.where(tukey_lambda.abs() < _SMALLEST_SHAPE, _SMALLEST_SHAPE, tukey_lambda)
    upper, lower = torch.log1p(-tail).mul_(shape).expm1_(), torch.log(tail).mul_(shape).expm1_()
    return upper.sub_(lower).mul_(1.0 / shape)


def tukey_from_bits(bits: Tensor, tukey_lambda: Tensor) -> Tensor:
    """Map 32 random bits to a Tukey-lambda value.

    The sign bit is the side and the others are the tail, which float32 resolves integer by integer next to its end:
    the law is met out to a share of 1e-10 a side.

    Args:
        bits: int32, any shape.
        tukey_lambda: float32 shapes, broadcast against ``bits``.

    Returns:
        float32 at scale 1, symmetric about 0.
    """
    side = bits >> 31
    tail = (bits ^ side).to(torch.float32).add_(0.5).mul_(2.0**-32)
    magnitude = tukey_quantile(tail, tukey_lambda)
    return torch.where(side < 0, -magnitude, magnitude)
