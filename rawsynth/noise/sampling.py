"""Laws from which noise levels are drawn when nobody states them."""

from __future__ import annotations

import math

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
