"""The nominal colour of a set of pairs, for the card of the weights that are trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.errors import SampleError
from rawsynth.pairs import Pair, PairSet

_LOOKED_AT = 64
_IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def nominal_color(pairs: PairSet) -> dict[str, Any]:
    """Return camera, matrix and gains that describe a set's RAW on the whole; for viewing, not for measuring.

    What the pairs state is taken: the camera if all agree, the median of the gains, the mean of the matrices. Where
    they state no gains, those that bring RAW to the grey of the linearised sRGB (sRGB's own curve, IEC 61966-2-1).

    Returns:
        ``camera``, ``cam_from_srgb`` (3x3, rows sum to 1) and ``white_balance`` (red, blue).
    """
    read = [pair for pair in map(lambda i: _read(pairs, i), _spread(len(pairs))) if pair is not None]
    cameras = [pair.meta.get("camera") for pair in read]
    stated = [gains for gains in _stated(read, "white_balance", (2,)) if (gains > 0).all()]
    matrices = _stated(read, "cam_from_srgb", (3, 3))
    gains = np.median(stated or [_gray_gains(pair) for pair in read] or [np.ones(2)], axis=0)
    return {
        "camera": cameras[0] if len(set(map(repr, cameras))) == 1 and isinstance(cameras[0], str) else None,
        "cam_from_srgb": np.mean(matrices, axis=0).tolist() if matrices else _IDENTITY,
        "white_balance": [float(gain) for gain in gains],
    }


def _spread(count: int) -> list[int]:
    picks: list[int] = np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(int)).tolist()
    return picks


def _read(pairs: PairSet, index: int) -> Pair | None:
    try:
        return pairs[index]
    except SampleError:
        return None


def _stated(pairs: list[Pair], name: str, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return what pairs state under a name; metadata come from anywhere, so what is none of the shape is left out."""
    found = []
    for pair in pairs:
        try:
            value = np.asarray(pair.meta.get(name), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            continue
        if value.shape == shape and np.isfinite(value).all():
            found.append(value)
    return found


def _gray_gains(pair: Pair) -> NDArray[np.float64]:
    srgb = pair.srgb.float() / 255.0
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).mean((1, 2)).clamp_min(1e-4)
    planes = pair.raw.mean((1, 2)).clamp_min(1e-4)
    green = (planes[1] + planes[2]) / 2
    return np.array([linear[0] / linear[1] * green / planes[0], linear[2] / linear[1] * green / planes[3]], np.float64)
