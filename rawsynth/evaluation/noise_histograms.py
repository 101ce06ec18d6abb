"""Figures of residual histograms: Kullback-Leibler divergences in nats over stated bins, and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL_LEVELS = (1e-4, 1e-3, 1e-2, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1 - 1e-3, 1 - 1e-4)
"""Probabilities of the quantiles that a report compares."""
SMOOTHING = 0.5
"""What is added to the count of every bin before a divergence is taken (Jeffreys' prior)."""

_BINS_PER_SIGMA, _REACH_SIGMAS = 8, 6.0
_FEWEST_IN_TAIL = 20.0


@dataclass(frozen=True)
class Divergence:
    """Kullback-Leibler divergence of residuals, nats.

    Attributes:
        forward: KL(first || second).
        backward: KL(second || first).
        width_dn: of a bin.
        bins: how many, two open tails included.
    """

    forward: float
    backward: float
    width_dn: float
    bins: int

    @property
    def symmetric(self) -> float:
        """Mean of both ways."""
        return (self.forward + self.backward) / 2


def divergence(first: NDArray[np.int64], second: NDArray[np.int64], *, cell_dn: float, sigma_dn: float) -> Divergence:
    """Return the divergence of two histograms of cells both ways.

    Bins are whole DN wide, an eighth of sigma rounded and at least one DN, and centred on 0, so that every bin takes in
    equally many steps of the quantiser. They reach to 6 sigma; two open tails hold what is beyond. Half a count is
    added to every bin, so that an empty one is no infinity and none has to be dropped.

    Args:
        first, second: ``(2 m,)`` counts of cells about 0.
        cell_dn: width of a cell; a power of two, at most half a DN.
        sigma_dn: standard deviation that the bins are chosen for.

    >>> counts = np.array([0, 1, 4, 4, 1, 0])
    >>> divergence(counts, counts, cell_dn=0.5, sigma_dn=1.0).symmetric
    0.0
    """
    width = float(max(1, round(sigma_dn / _BINS_PER_SIGMA)))
    p, q = (coarse(counts, cell_dn=cell_dn, width_dn=width, reach_dn=_REACH_SIGMAS * sigma_dn) + SMOOTHING
            for counts in (first, second))  # fmt: skip
    p, q = p / p.sum(), q / q.sum()
    log_ratio = np.log(p / q)
    return Divergence(float((p * log_ratio).sum()), float(-(q * log_ratio).sum()), width, p.size)


def coarse(counts: NDArray[np.int64], *, cell_dn: float, width_dn: float, reach_dn: float) -> NDArray[np.float64]:
    """Sum cells to bins of ``width_dn`` centred on 0 that reach to ``reach_dn``, between two open tails."""
    half = counts.size // 2
    bins = int(np.ceil(reach_dn / width_dn - 0.5))
    edges = (np.arange(-bins, bins + 2) - 0.5) * width_dn
    cells = np.clip(np.round(edges / cell_dn).astype(int) + half, 0, counts.size)
    below = np.concatenate([[0], np.cumsum(counts)])
    inner = below[cells]
    return np.diff(np.concatenate([[0], inner, [below[-1]]])).astype(np.float64)


def standard_quantiles(
    histograms: NDArray[np.int64], variances_dn2: NDArray[np.float64], *, cell_dn: float,
    levels: Sequence[float] = TAIL_LEVELS,
) -> list[float | None]:  # fmt: skip
    """Return quantiles of residuals, each in units of its intensity bin's standard deviation.

    Args:
        histograms: ``(bins, 2 m)`` counts of cells about 0.
        variances_dn2: of each bin's residuals.
        cell_dn: width of a cell.
        levels: probabilities.

    Returns:
        One a level; ``None`` where fewer than 20 residuals lie beyond it, or there is none at all.
    """
    half = histograms.shape[1] // 2
    centres = (np.arange(-half, half) + 0.5) * cell_dn
    sigma = np.sqrt(variances_dn2)
    used = (histograms.sum(axis=1) > 0) & (sigma > 0)
    if not used.any():
        return [None for _ in levels]
    values = (centres[None] / sigma[used, None]).reshape(-1)
    order = np.argsort(values, kind="stable")
    counts = histograms[used].reshape(-1)[order]
    # The middle of each cell's own probability, so that the median of a symmetric histogram is 0.
    reached = (np.cumsum(counts) - counts / 2) / counts.sum()
    present = counts > 0
    total = float(counts.sum())
    return [
        float(np.interp(level, reached[present], values[order][present]))
        if min(level, 1 - level) * total >= _FEWEST_IN_TAIL
        else None
        for level in levels
    ]
