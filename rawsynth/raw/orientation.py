"""EXIF orientations as moves of an array, so that a JPEG comes to lie the way its sensor does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Orientation -> (swap rows and columns, then reverse rows, then reverse columns), which turns an image upright.
_UPRIGHT = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
ORIENTATIONS = tuple(_UPRIGHT)


def upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn ``(..., H, W)`` from the way it is stored to the way it is seen; a view.

    >>> upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    swap, rows, columns = _UPRIGHT[orientation]
    turned = image.swapaxes(-1, -2) if swap else image
    return turned[..., :: -1 if rows else 1, :: -1 if columns else 1]


def as_stored(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn ``(..., H, W)`` from the way it is seen to the way it is stored, the inverse of :func:`upright`; a view."""
    swap, rows, columns = _UPRIGHT[orientation]
    turned = image[..., :: -1 if rows else 1, :: -1 if columns else 1]
    return turned.swapaxes(-1, -2) if swap else turned


def between(image: int, sensor: int) -> int:
    """Return the one orientation by which :func:`upright` turns an image as stored to the way its sensor lies.

    Args:
        image: orientation that the image's tag states.
        sensor: orientation that the RAW file states.

    >>> between(6, 6), between(1, 6)
    (1, 8)
    """
    # Every pixel of this one is different, so two moves that agree on it are the same.
    probe = np.arange(6).reshape(2, 3)
    wanted = as_stored(upright(probe, image), sensor)
    return next(turn for turn in ORIENTATIONS if np.array_equal(upright(probe, turn), wanted))
