"""Scene-linear surrogates: photographs taken back to light by a random inverse curve, exposed for a random camera.

A photograph has gone through an ISP that nobody knows, so its light cannot be had. What a training needs is light that
could have been: smooth, of natural content, with highlights beyond what the sensor holds. So a photograph's sRGB is
linearised, a random shoulder and contrast are undone, and the result is exposed so that its bright percentiles lie
where those of camera RAW lie. Its light falls unevenly, anew each time, so that a few photographs make many scenes. It
is a surrogate: neither real RAW nor synthetic content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Bright percentile (99.5) of the largest camera channel, relative to saturation: share of scenes, range (log-uniform).
_EXPOSURES = ((0.52, 1.0, 2.2), (0.34, 0.5, 1.0), (0.11, 0.2, 0.5), (0.03, 0.06, 0.2))
_WHITE_SHARE = 0.002
_KEPT_BELOW = 0.15
_LAMPS = 4


def draw_surrogate(rng: np.random.Generator) -> dict[str, Any]:
    """Draw what is undone of a photograph, JSON-ready.

    ``contrast``: exponent on linear light; ``shoulder``: how much is added to highlights, 1 / (1 - shoulder) at white;
    ``knee``: how late; ``saturation``; ``ceiling``: what sites saturate at, of the
    nominal white level; ``bright``: where the 99.5th percentile goes; ``keep``: see
    :func:`exposure_of`; ``lamps``: see :func:`uneven_light`.
    """
    shares = np.array([row[0] for row in _EXPOSURES])
    _, low, high = _EXPOSURES[int(rng.choice(len(_EXPOSURES), p=shares))]
    unevenness = float(rng.uniform(0.2, 0.9)) if rng.random() < 0.7 else 0.0
    return {
        "contrast": float(np.exp(rng.normal(0.03, 0.13))),
        "shoulder": 1 - float(np.exp(rng.uniform(np.log(0.07), np.log(0.7)))),
        "knee": float(np.exp(rng.uniform(np.log(0.6), np.log(2.5)))),
        "saturation": float(rng.uniform(0.75, 1.15)),
        "bright": float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        "keep": float(rng.random()),
        "ceiling": float(rng.uniform(0.93, 1.0)) if rng.random() < 0.35 else 1.0,
        "lamps": (unevenness * rng.standard_normal((_LAMPS, _LAMPS))).tolist(),
    }


def uneven_light(rows: Tensor, columns: Tensor, lamps: Sequence[Sequence[float]]) -> Tensor:
    """Return by how much light falls on the pixels of a frame, ``(len(rows), len(columns))``.

    Args:
        rows, columns: places in the frame, as shares of it.
        lamps: by how many EV more light falls, at even distances over the frame; between them it changes smoothly.
    """
    field = torch.tensor(lamps, dtype=torch.float32)[None, None]
    fine = F.interpolate(field, scale_factor=16, mode="bicubic", align_corners=False)
    at = torch.stack(torch.meshgrid(columns * 2 - 1, rows * 2 - 1, indexing="xy"), dim=-1)[None]
    return torch.exp2(F.grid_sample(fine, at.float(), align_corners=False, padding_mode="border")[0, 0])


def scene_light(linear: Tensor, params: Mapping[str, Any]) -> Tensor:
    """Undo a random curve.

    Args:
        linear: ``(3, H, W)`` linear sRGB in [0, 1] of a photograph.
        params: of :func:`draw_surrogate`.

    Returns:
        ``(3, H, W)`` scene light on an arbitrary scale.
    """
    x = linear.clamp(min=0.0)
    x = x / (1 - params["shoulder"] * x.clamp(max=1.0) ** params["knee"])
    x = x ** params["contrast"]
    luma = x.mean(dim=0, keepdim=True)
    light: Tensor = (luma + (x - luma) * params["saturation"]).clamp(min=0.0)
    return light


def exposure_of(scene: Tensor, photograph: Tensor, params: Mapping[str, Any]) -> float:
    """Return what scene light is multiplied by before it meets the sensor.

    Photographs with white areas were clipped there: their surrogates must be too, as a flat area below saturation is
    not something that cameras see. A share of them, ``keep``, is left darker all the same.

    Args:
        scene: ``(3, N)`` or ``(3, H, W)``, camera RGB of :func:`scene_light` over the whole frame.
        photograph: the frame's sRGB in [0, 1], of the same shape.
        params: of :func:`draw_surrogate`.
    """
    peaks = scene.flatten(1).amax(dim=0)
    gain: float = params["bright"] / max(1e-6, float(torch.quantile(peaks[:16384], 0.995)))
    white = (photograph.flatten(1) >= 0.995).all(dim=0)
    if float(white.float().mean()) > _WHITE_SHARE and params["keep"] > _KEPT_BELOW:
        plateau = float(scene.flatten(1)[:, white].amin(dim=0).mean())
        gain = max(gain, 1.0 / max(1e-6, plateau))
    return gain


def to_camera(scene: Tensor, cam_from_srgb: Any, white_balance: Any) -> Tensor:
    """Return the sensor's unclipped ``(3, H, W)`` of linear light: the matrix, then the gains undone."""
    matrix = torch.as_tensor(cam_from_srgb, dtype=torch.float32)
    red, blue = (float(v) for v in white_balance)
    gains = torch.tensor([1 / red, 1.0, 1 / blue])
    return torch.einsum("ij,jhw->ihw", matrix * gains[:, None], scene)
