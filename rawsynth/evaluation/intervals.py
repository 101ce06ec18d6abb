"""Means over images, and how far another choice of scenes could have moved them.

Images of one scene resemble one another, so scenes are what is sampled and images are not: 48 tiles of one frame are
one observation. The interval is Student's for the ratio of the scenes' sums to their counts (Cochran, Sampling
Techniques, 1977, chapter 6; the cluster-robust standard error of a mean). With equally many images a scene it is the
t-interval of the scenes' means. Nothing is drawn: the same scores always give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from rawsynth.errors import UsageError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """Mean over images with its 95 % confidence interval over scenes.

    Attributes:
        value: mean over images, as official scores are.
        low, high: ends of the interval; ``None`` where there is only one scene to judge from.
    """

    value: float
    low: float | None
    high: float | None


def mean_over_scenes(values: Sequence[float], scenes: Sequence[str]) -> Mean:
    """Return the mean over images and its interval over scenes.

    Args:
        values: one an image.
        scenes: the scene of each.

    Raises:
        UsageError: no value, or another number of scenes than of values.

    >>> mean_over_scenes([30.0, 32.0, 34.0, 36.0], ["a", "a", "b", "b"])
    Mean(value=33.0, low=7.59, high=58.41)
    """
    if not values or len(values) != len(scenes):
        raise UsageError(f"a mean takes one scene a value, and a value; got {len(values)} and {len(scenes)}.")
    mean = math.fsum(values) / len(values)
    sums = dict.fromkeys(scenes, 0.0)
    for value, scene in zip(values, scenes, strict=True):
        sums[scene] += value - mean
    count = len(sums)
    if count == 1:
        return Mean(mean, None, None)
    error = math.sqrt(count / (count - 1) * math.fsum(s * s for s in sums.values())) / len(values)
    margin = student_quantile(count - 1) * error
    return Mean(mean, mean - margin, mean + margin)


@lru_cache
def student_quantile(freedom: int) -> float:
    """Return the t that a Student variable stays within, on both sides of 0, with a probability of 95 %.

    The distribution function is the finite sum for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4),
    inverted by bisection; beyond 100 degrees the expansion about the normal quantile (26.7.5).

    >>> student_quantile(1), student_quantile(10)
    (12.7062, 2.2281)
    """
    if freedom > 100:
        z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
        first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, freedom) < CONFIDENCE else (low, angle)
    return math.tan((low + high) / 2) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """Return P(-t < T < t) for ``tan(angle) = t / sqrt(freedom)``."""
    odd = freedom % 2
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(freedom // 2):
        total += term
        numerator = 2 * k + 2 if odd else 2 * k + 1
        term *= math.cos(angle) ** 2 * numerator / (numerator + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
