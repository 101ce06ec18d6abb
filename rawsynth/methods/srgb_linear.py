"""srgb_linear: the sRGB curve undone, nothing else; what a RAW developer without any look is the forward of."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.fixed_curve import FixedCurveMethod


def srgb_to_light(srgb: Tensor) -> Tensor:
    """Undo the piecewise curve of IEC 61966-2-1 for float sRGB, clipped to [0, 1]; float32 out.

    In float32, or in float64 if the input has it.
    """
    x = (srgb if srgb.dtype == torch.float64 else srgb.to(torch.float32)).clamp(0.0, 1.0)
    # Not `**`: its vectorised body and its scalar tail differ in the last bit, so a batch would not equal its images.
    power = torch.exp(2.4 * torch.log((x + 0.055) / 1.055))
    return torch.where(x <= 0.04045, x / 12.92, power).to(torch.float32)


class SrgbLinear(FixedCurveMethod):
    """Undo sRGB's curve, then the camera's physics; exact where an sRGB curve is all that was done."""

    name: ClassVar[str] = "srgb_linear"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="sRGB's piecewise curve undone, then physics for any camera",
        source="IEC 61966-2-1:1999, the sRGB standard",
        licence="a formula, none",
    )
    version = "1"

    @staticmethod
    def curve(srgb: Tensor) -> Tensor:
        """Undo the sRGB curve."""
        return srgb_to_light(srgb)
