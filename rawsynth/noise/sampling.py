"""Laws from which noise levels and ISOs are drawn when nobody states them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

BROOKS_SHOT_RANGE = (1e-4, 1.2e-2)


def brooks_shot_read(rng: np.random.Generator) -> tuple[float, float]:
    """Draw S and O as Brooks et al. 2019 (section 3.1) do for the cameras of the Darmstadt Noise Dataset.

    ``ln S ~ U(ln 1e-4, ln 1.2e-2)`` and ``ln O ~ N(2.18 ln S + 1.20, 0.26)``: natural logarithms, and O is a variance.

    Returns:
        ``(shot, read)`` on the unit scale, rounded to float32 so that JSON replays them bit for bit.
    """
    low, high = (math.log(bound) for bound in BROOKS_SHOT_RANGE)
    log_shot = rng.uniform(low, high)
    log_read = 2.18 * log_shot + 1.20 + 0.26 * rng.standard_normal()
    return float(np.float32(math.exp(log_shot))), float(np.float32(math.exp(log_read)))


def _log_uniform(rng: np.random.Generator, low: float, high: float, stops: Sequence[float]) -> float:
    """Every doubling of the ISO is as likely as any other."""
    return low if low == high else math.exp(rng.uniform(math.log(low), math.log(high)))


def _uniform(rng: np.random.Generator, low: float, high: float, stops: Sequence[float]) -> float:
    """Every ISO is as likely as any other: mostly high ones."""
    return low if low == high else float(rng.uniform(low, high))


def _stops(rng: np.random.Generator, low: float, high: float, stops: Sequence[float]) -> float:
    """Only ISOs that the profile's table has, each as likely; the lower bound where it has none in the range."""
    inside = [iso for iso in stops if low <= iso <= high]
    return inside[int(rng.integers(len(inside)))] if inside else low


ISO_LAWS: Mapping[str, Callable[[np.random.Generator, float, float, Sequence[float]], float]] = {
    "log_uniform": _log_uniform,
    "stops": _stops,
    "uniform": _uniform,
}
"""How an ISO is drawn from a range, by name: ``law(rng, low, high, isos of the profile)``."""
