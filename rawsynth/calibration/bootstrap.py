"""Intervals by resampling blocks of pixels, for everything that sums over blocks can tell.

A block's pixels stay together, so noise that neighbours share widens the interval as it must. The ends are expanded
percentiles (Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015): for few
blocks plain percentiles are too narrow, by the same factors as a normal interval is beside Student's.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.result import Estimate
from rawsynth.evaluation.intervals import student_quantile

REPLICATES = 400


def block_weights(blocks: int, *, rng: np.random.Generator, replicates: int = REPLICATES) -> NDArray[np.float64]:
    """Draw how often each block counts.

    Returns:
        ``(1 + replicates, blocks)``: ones first, for the figure itself, then a resampling with replacement each.
    """
    drawn = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=replicates)
    return np.concatenate([np.ones((1, blocks)), drawn.astype(np.float64)])


def estimate(values: NDArray[np.float64], blocks: int) -> Estimate:
    """Return the figure with its interval.

    Args:
        values: ``(1 + replicates,)``: the figure with the weights of each row of :func:`block_weights`.
        blocks: how many blocks were resampled.
    """
    drawn = values[1:][np.isfinite(values[1:])]
    if len(drawn) < 2 or blocks < 2:
        return Estimate(float(values[0]), -math.inf, math.inf)
    tail = NormalDist().cdf(-student_quantile(blocks - 1) * math.sqrt(blocks / (blocks - 1)))
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    value = float(values[0])
    return Estimate(value, min(float(low), value), max(float(high), value))
