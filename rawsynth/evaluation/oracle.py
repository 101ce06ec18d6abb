"""The picture's own best polynomial: an upper reference for maps of single pixels, not a method.

It is fitted to the RAW that it predicts. What it misses no map from a pixel's colour to RAW of this degree could have;
a method that beats it uses neighbourhoods, or knows of clipping.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rawsynth.raw.cfa import color_indices

Planes = NDArray[np.float32]

NAME = "oracle"
DEGREE = 3
PARAMETERS = 3 * 20
"""Coefficients an image: three colours, 20 monomials up to degree 3 in three variables."""

# More sites would not move the fit.
_MOST_SAMPLES = 200_000


def polynomial_oracle(srgb: Sequence[NDArray[np.uint8]], raw: Sequence[Planes]) -> list[Planes]:
    """Fit each colour of real RAW by a cubic polynomial of the image's own sRGB values, cross terms included.

    Args:
        srgb: ``(3, H, W)`` each, windows of one frame: one polynomial a colour is fitted to all of them.
        raw: ``(4, H/2, W/2)`` each, RGGB in [0, 1]: the reference itself.

    Returns:
        What the polynomials make of the sRGB, clipped to [0, 1], of the shapes of ``raw``.

    >>> grey = np.full((3, 4, 4), 128, np.uint8)
    >>> polynomial_oracle([grey], [np.full((4, 2, 2), 0.25, np.float32)])[0][0, 0].tolist()
    [0.25, 0.25]
    """
    sites = [_site_values(window) for window in srgb]
    results = [np.empty_like(planes) for planes in raw]
    colors = np.array(color_indices("RGGB"))
    for color in range(3):
        chosen = np.flatnonzero(colors == color)
        values = np.concatenate([site[:, k].reshape(3, -1) for site in sites for k in chosen], axis=1)
        target = np.concatenate([planes[k].ravel() for planes in raw for k in chosen])
        step = max(1, target.size // _MOST_SAMPLES)
        weights = np.linalg.lstsq(_monomials(values[:, ::step]).T, target[::step], rcond=None)[0]
        for site, result in zip(sites, results, strict=True):
            for k in chosen:
                fitted = weights @ _monomials(site[:, k].reshape(3, -1))
                result[k] = fitted.reshape(result[k].shape).clip(0, 1)
    return results


def _site_values(srgb: NDArray[np.uint8]) -> Planes:
    """Return ``(3, 4, h/2, w/2)``: all three colours at the four sites."""
    sites = np.stack([srgb[:, k // 2 :: 2, k % 2 :: 2] for k in range(4)], axis=1)
    return sites.astype(np.float32) / np.float32(255)


def _monomials(values: Planes) -> Planes:
    terms = [np.ones_like(values[0])]
    for degree in range(1, DEGREE + 1):
        for chosen in itertools.combinations_with_replacement(values, degree):
            terms.append(np.prod(chosen, axis=0, dtype=np.float32))
    return np.stack(terms)
