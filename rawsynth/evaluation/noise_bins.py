"""What residuals are sorted into: intensity bins and residual cells, decided once from the real frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import SampleError
from rawsynth.evaluation.noise_stack import FrameStack, Plane

Array = NDArray[np.float64]

_MOST_BINS, _FEWEST_PIXELS = 8, 512
# More of a large frame would choose the same bins.
_ENOUGH_PIXELS = 1 << 21
_WIDTH_SIGMAS = 3.0
_SPAN_SIGMAS = 12.0
_CELLS_PER_SIGMA = 32
# Below this a real sensor's figure is about quantisation and clipping only.
_LEAST_SIGMA_DN = 0.1


@dataclass(frozen=True, eq=False)
class PlaneBins:
    """Bins of one plane; the same ones serve the real frames, their halves and the synthetic frames.

    Attributes:
        plane: which sites.
        edges_dn: between the intensity bins, rising: a pixel's bin is that of its temporal mean.
        sigma_dn: the real residuals' standard deviation in each bin.
        cell_dn: width of a residual cell, a power of two and at most half a DN.
        half_cells: cells on each side of 0, the outermost of which take all beyond.
    """

    plane: Plane
    edges_dn: Array
    sigma_dn: Array
    cell_dn: float
    half_cells: int

    @property
    def count(self) -> int:
        """How many intensity bins there are."""
        return self.edges_dn.size + 1

    def names(self) -> list[str]:
        """Name the intensity bins by their ends in DN."""
        ends = ["", *(f"{edge:.5g}" for edge in self.edges_dn), ""]
        if self.count == 1:
            return ["all"]
        named = [f"{low} to {high}" for low, high in zip(ends[:-1], ends[1:], strict=True)]
        return [f"below {ends[1]}", *named[1:-1], f"from {ends[-2]}"]


def plan_bins(stack: FrameStack) -> list[PlaneBins]:
    """Choose the bins of every plane from the real frames.

    Intensity bins are eighths of the pixels by their temporal mean, joined where one would be narrower than 3 sigma of
    noise or 1 DN: in narrow ones the temporal mean's own noise would decide, and outliers would gather at the ends.

    Raises:
        SampleError: every pixel of a plane is saturated.
    """
    return [_plan_plane(stack, plane) for plane in stack.planes]


def _plan_plane(stack: FrameStack, plane: Plane) -> PlaneBins:
    pixels = math.prod(stack.plane_values(plane).shape[1:])
    mean, variance, usable = temporal_moments(stack, plane, every=max(1, pixels // _ENOUGH_PIXELS))
    if not usable.any():
        raise SampleError(
            f"{stack.name}: every pixel of plane {plane.name} reaches the white level {stack.white_level} DN, so it "
            "has no noise to measure. Capture with less light or a shorter exposure."
        )
    mean, variance = mean[usable], variance[usable]
    edges = _edges(mean, variance)
    label = np.searchsorted(edges, mean, side="right")
    counts = np.bincount(label, minlength=edges.size + 1)
    sums = np.bincount(label, weights=variance, minlength=edges.size + 1)
    sigma = np.sqrt(sums / counts.clip(min=1)).clip(min=_LEAST_SIGMA_DN)
    cell = 2.0 ** min(-1, math.floor(math.log2(float(sigma.min()) / _CELLS_PER_SIGMA)))
    return PlaneBins(plane, edges, sigma, cell, math.ceil(_SPAN_SIGMAS * float(sigma.max()) / cell))


def _edges(mean: Array, variance: Array) -> Array:
    bins = min(_MOST_BINS, max(1, mean.size // _FEWEST_PIXELS))
    wanted = np.quantile(mean, np.arange(1, bins) / bins)
    last, end = map(float, np.quantile(mean, (0.01, 0.99)))
    kept: list[float] = []
    for edge in map(float, wanted):
        near = variance[(mean >= last) & (mean <= edge)]
        width = max(1.0, _WIDTH_SIGMAS * float(near.mean()) ** 0.5) if near.size else 1.0
        if edge - last >= width and end - edge >= width:
            kept.append(edge)
            last = edge
    return np.array(kept, dtype=np.float64)


def temporal_moments(stack: FrameStack, plane: Plane, every: int = 1) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return a plane's temporal mean and unbiased variance in DN, and which pixels never saturate, ``(h, w)``.

    Args:
        stack, plane: whose.
        every: take one row of so many.
    """
    values = stack.plane_values(plane)[:, ::every]
    mean, variance = (np.empty(values.shape[1:], np.float64) for _ in range(2))
    usable = np.ones(values.shape[1:], bool)
    for rows in stack.bands(plane, every):
        band = values[:, rows]
        mean[rows] = band.mean(axis=0, dtype=np.float64)
        squares = np.einsum("nij,nij->ij", *[band - mean[rows]] * 2)
        variance[rows] = squares / (len(band) - 1)
        usable[rows] = unsaturated(band, stack.white_level)
    return mean, variance, usable


def unsaturated(band: NDArray[np.uint16], white_level: int | None) -> NDArray[np.bool_]:
    """Tell which pixels of ``(n, h, w)`` stay below the white level in all frames."""
    if white_level is None:
        return np.ones(band.shape[1:], bool)
    return np.asarray(band.max(axis=0) < white_level)
