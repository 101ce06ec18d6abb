"""Whether a burst's scene stood still: its variance over time must be a sensor's, var = K * mean + b, everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.measure import Array
from rawsynth.errors import SampleError

_LEVELS = 32
# Of the pixels of a static scene one in 10,000 is beyond; long tails of read noise make it a few in 1,000.
_TAIL = 1e-4
_MOVED_PIXELS, _MOVED_IN_TILE, _TILES = 0.02, 0.10, 1


def robust_line(
    signal: Array, variance: Array, clipped: NDArray[np.bool_], *, frames: int, where: str
) -> Array:
    """Return the variance that each pixel should have, from the medians of light levels: motion barely moves them.

    Args:
        signal: mean over time minus black, ``(h, w)`` DN.
        variance: over time, ``(h, w)`` DN^2.
        clipped: pixels at the ends of the scale in some frame.
        frames: of the burst.
        where: what messages call it.

    Raises:
        SampleError: too few pixels are within the scale.
    """
    kept = ~clipped
    if kept.sum() < 64 * _LEVELS:
        raise SampleError(
            f"{where}: {int(kept.sum())} pixels are neither clipped nor 0 DN, too few; expose so that the scene's "
            "highlights stay below white."
        )
    x, y = signal[kept], variance[kept]
    edges = np.quantile(x, np.linspace(0, 1, _LEVELS + 1)[1:-1])
    level = np.searchsorted(edges, x)
    medians = np.array([[np.median(v[level == k]) for k in np.unique(level)] for v in (x, y)])
    # The median of a chi-square variable of n degrees of freedom, n (1 - 2 / 9n)^3 (Wilson and Hilferty 1931).
    freedom = frames - 1
    means = np.stack([medians[0], medians[1] / (1 - 2 / (9 * freedom)) ** 3])
    weight = 1.0 / np.maximum(means[1], 1e-12)
    slope, offset = np.polyfit(means[0], means[1], 1, w=weight)
    floor = max(float(means[1].min()) / 2, 1e-3)
    return np.asarray(np.maximum(slope * signal + offset, floor))


def check_static(
    ratio: Array, tiles: NDArray[Any], clipped: NDArray[np.bool_], *, frames: int, where: str
) -> NDArray[np.bool_]:
    """Find what moved.

    Args:
        ratio: variance over time over what the line says, ``(h, w)``.
        tiles: index of each pixel's tile.
        clipped: pixels that tell nothing.
        frames: of the burst.
        where: what messages call it.

    Returns:
        ``(h, w)``: pixels of the one tile that may have moved; they are left out.

    Raises:
        SampleError: more than one tile or 2 % of the pixels moved.
    """
    freedom = frames - 1
    # Chi-square's quantile, likewise by Wilson and Hilferty; 3.719 is the normal one for 1e-4.
    limit = (1 - 2 / (9 * freedom) + 3.719 * (2 / (9 * freedom)) ** 0.5) ** 3
    moved = (ratio > limit) & ~clipped
    kept = np.bincount(tiles.reshape(-1), weights=(~clipped).reshape(-1).astype(float))
    share = np.bincount(tiles.reshape(-1), weights=moved.reshape(-1).astype(float)) / np.maximum(kept, 1.0)
    bad = np.flatnonzero(share > _MOVED_IN_TILE)
    overall = float(moved.sum() / max(float(kept.sum()), 1.0))
    if len(bad) > _TILES or overall > _MOVED_PIXELS:
        raise SampleError(
            f"{where}: the scene moved: {100 * overall:.2g} % of the pixels vary more over time than light and sensor "
            f"can explain ({100 * _TAIL:.2g} % would), in {len(bad)} of {len(share)} tiles. Capture a static scene "
            "from a tripod with a remote release, without wind, and turn stabilisation and autofocus off."
        )
    return np.isin(tiles, bad)
