"""The camera that a method draws where the caller names none."""

from __future__ import annotations

from typing import Any

import numpy as np

from rawsynth.cameras.choosing import cameras_with
from rawsynth.cameras.color import draw_cct


def draw_camera(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the colour of a built-in camera under a light, and leave the exposure as it is.

    Cameras are equally likely among all with colour matrices; the light's temperature is uniform in 1/CCT.

    Returns:
        ``camera``, ``cct``, ``cam_from_srgb``, ``white_balance`` and an ``rgb_gain`` of 1, JSON-ready.
    """
    cameras = tuple(cameras_with(color=True).values())
    camera = cameras[int(rng.integers(len(cameras)))]
    cct_k = float(np.float32(draw_cct(rng)))
    matrix, gains = camera.color(cct_k)
    return {
        "camera": camera.name,
        "cct": cct_k,
        "cam_from_srgb": matrix.tolist(),
        "white_balance": list(gains),
        "rgb_gain": 1.0,
    }
