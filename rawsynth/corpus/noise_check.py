"""The noise of a pair against its model: variance measured by level of the clean image, beside S x + O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.raw.cfa import plane_names
from rawsynth.raw.levels import Levels

_MOST_BINS, _FEWEST_PIXELS = 12, 256
# So many pixels of a plane measure a variance to a thousandth.
_ENOUGH_PIXELS = 1 << 21
# A bin with more clipped values has less variance than the model for that reason alone.
_CLIPPED_SHARE = 1e-3
_SIGMAS_95 = 1.96

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlaneCheck:
    """One plane, by bins of the clean image's level; all on the unit scale.

    Attributes:
        plane: its name.
        pixels: in each bin.
        level: mean of the clean image in it.
        measured: variance of noisy minus clean.
        error: half of the 95 % interval of ``measured``, from the residuals' own fourth moment.
        model: mean of ``S x + O``, with the variance of rounding to DN.
        clipped: whether values in it were cut off at 0 DN or at white, so that it says nothing of the model.
    """

    plane: str
    pixels: Array
    level: Array
    measured: Array
    error: Array
    model: Array
    clipped: NDArray[np.bool_]


@dataclass(frozen=True)
class Ratio:
    """Measured over modelled variance, 1 where the noise is as stated, with half of its 95 % interval."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


def check_noise(clean: Tensor, noisy: Tensor, entry: Mapping[str, Any], cfa: str) -> list[PlaneCheck]:
    """Measure a pair's noise, plane by plane.

    Args:
        clean, noisy: ``(4, h, w)``, unit scale.
        entry: of the noisy image in the sample's JSON: its ``levels``, ``shot`` and ``read``.
        cfa: layout of the planes.
    """
    levels = Levels(**entry["levels"])
    planes = zip(plane_names(cfa), clean.numpy(), noisy.numpy(), entry["shot"], entry["read"], strict=True)
    return [
        _check_plane(name, x.ravel().astype(np.float64), y.ravel().astype(np.float64), shot, read, levels)
        for name, x, y, shot, read in planes
    ]


def _check_plane(name: str, clean: Array, noisy: Array, shot: float, read: float, levels: Levels) -> PlaneCheck:
    step = max(1, clean.size // _ENOUGH_PIXELS)
    clean, noisy = clean[::step], noisy[::step]
    half_dn = 0.5 / levels.range_dn
    cut = (noisy <= -levels.black_level / levels.range_dn + half_dn) | (noisy >= 1.0 - half_dn)
    bins = max(1, min(_MOST_BINS, clean.size // _FEWEST_PIXELS))
    edges = np.unique(np.quantile(clean, np.arange(1, bins) / bins))
    label = np.searchsorted(edges, clean, side="right")
    pixels = np.bincount(label, minlength=edges.size + 1).astype(np.float64)
    kept = pixels > 1

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(label, weights=values, minlength=edges.size + 1) / pixels.clip(min=1))

    residual = noisy - clean
    residual = residual - mean(residual)[label]
    biased = mean(residual**2)
    error = _SIGMAS_95 * np.sqrt((mean(residual**4) - biased**2).clip(min=0) / pixels.clip(min=1))
    measured = biased * pixels / (pixels - 1).clip(min=1)
    model = mean(shot * clean.clip(min=0) + read + 1 / (12 * levels.range_dn**2))
    clipped = mean(cut.astype(np.float64)) > _CLIPPED_SHARE
    pixels, level, measured, error, model = (v[kept] for v in (pixels, mean(clean), measured, error, model))
    return PlaneCheck(name, pixels, level, measured, error, model, clipped[kept])


def ratio_of(checks: Iterable[PlaneCheck]) -> Ratio | None:
    """Return measured over modelled variance of all bins that are not clipped; ``None`` if none is left."""
    measured = model = squares = 0.0
    for check in checks:
        sound = ~check.clipped
        weights = check.pixels[sound]
        measured += float((weights * check.measured[sound]).sum())
        model += float((weights * check.model[sound]).sum())
        squares += float(((weights * check.error[sound]) ** 2).sum())
    return Ratio(measured / model, float(squares**0.5) / model) if model > 0 else None
