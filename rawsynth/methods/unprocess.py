"""Unprocessing: sRGB to RAW by inverting a generic ISP with random parameters.

Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3.2, in the order and with the
constants of its reference implementation (Apache-2.0): inverse smoothstep tone curve, gamma expansion, colour matrix,
inverse gains that spare highlights, clip to [0, 1], mosaic.

What makes it fast is in :mod:`rawsynth.methods.fixed_curve` and :mod:`rawsynth.methods.site_sampling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.methods.base import MethodFacts, MethodParams
from rawsynth.methods.fixed_curve import FixedCurveMethod, table_of
from rawsynth.methods.site_sampling import site_colors
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

GAMMA = 2.2

# XYZ to camera RGB of the four cameras of the Darmstadt Noise Dataset.
DND_CAM_FROM_XYZ = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)


def random_cam_from_srgb(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mix the four cameras' matrices with weights ``U(1e-8, 1e8)`` over their sum, and divide rows by their sums."""
    weights = rng.uniform(1e-8, 1e8, size=4)
    cam_from_xyz = np.tensordot(weights / weights.sum(), DND_CAM_FROM_XYZ, axes=1)
    cam_from_srgb = cam_from_xyz @ XYZ_FROM_SRGB
    return np.asarray(cam_from_srgb / cam_from_srgb.sum(axis=1, keepdims=True))


def random_gains(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw ``rgb_gain = 1 / N(0.8, 0.1)``, ``red ~ U(1.9, 2.4)`` and ``blue ~ U(1.5, 1.9)``."""
    return 1.0 / rng.normal(0.8, 0.1), rng.uniform(1.9, 2.4), rng.uniform(1.5, 1.9)


def inverse_smoothstep(srgb: Tensor) -> Tensor:
    """Invert the tone curve ``3 y**2 - 2 y**3``: ``y = 0.5 - sin(asin(1 - 2 x) / 3)`` for x clipped to [0, 1].

    Evaluated as ``sin(b)**2 + sqrt(3) sin(b) cos(b)`` with ``b = asin(sqrt(x)) / 3`` on the lower half and by symmetry
    on the upper: the same function without the cancellation that costs the published form three digits in float32 near
    0 and 1. The slope is infinite at both ends.
    """
    x = srgb.clamp(0.0, 1.0)
    upper = x > 0.5
    lower_half = torch.where(upper, 1.0 - x, x)
    angle = torch.asin(torch.sqrt(lower_half)) * (1.0 / 3.0)
    sine = torch.sin(angle)
    y = sine * sine + math.sqrt(3.0) * sine * torch.cos(angle)
    return torch.where(upper, 1.0 - y, y)


def gamma_expansion(values: Tensor) -> Tensor:
    """Convert to linear light by the pure power ``max(y, 1e-8)**2.2``."""
    # Not `**`: its vectorised body and its scalar tail differ in the last bit, so a batch would not equal its images.
    return torch.exp(GAMMA * torch.log(values.clamp(min=1e-8)))


def linearize(srgb: Tensor) -> Tensor:
    """Undo tone curve and gamma of float sRGB in [0, 1]: in float32, or in float64 if the input has it; float32 out."""
    precise = srgb if srgb.dtype == torch.float64 else srgb.to(torch.float32)
    return gamma_expansion(inverse_smoothstep(precise)).to(torch.float32)


def linear_table() -> Tensor:
    """Return linear light of the 256 uint8 sRGB values, float32, computed in float64."""
    return table_of(linearize)


class Unprocess(FixedCurveMethod):
    """Brooks et al.'s unprocessing; needs no weights."""

    name: ClassVar[str] = "unprocess"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="a generic ISP undone by formula, with random colour and exposure",
        source="Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019",
        licence="Apache-2.0",
    )
    version = "1"

    @staticmethod
    def curve(srgb: Tensor) -> Tensor:
        """Undo tone curve and gamma."""
        return linearize(srgb)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one sample's parameters by the paper's law."""
        cam_from_srgb = random_cam_from_srgb(rng)
        rgb_gain, red_gain, blue_gain = random_gains(rng)
        return {"cam_from_srgb": cam_from_srgb.tolist(), "white_balance": [red_gain, blue_gain], "rgb_gain": rgb_gain}

    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Add what guards the highlights: the camera's grey value."""
        cam, _, _ = site_colors(params)
        luma = torch.from_numpy(cam.mean(axis=1).astype(np.float32))
        return super().tensors(params, device) | {"luma": luma.to(device, non_blocking=True)}
