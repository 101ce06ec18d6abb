"""smoothstep_gamma: a fixed inverse tone curve and gamma, which an AIM 2022 team put before its network."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.fixed_curve import FixedCurveMethod
from rawsynth.methods.unprocess import linearize


class SmoothstepGamma(FixedCurveMethod):
    """``0.5 - sin(asin(1 - 2 x) / 3)``, to the power of 2.2, then the camera's physics.

    The curve is that of ``unprocess``; the gains are not drawn, and highlights are not spared.
    """

    name: ClassVar[str] = "smoothstep_gamma"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="inverse smoothstep and a gamma of 2.2, then physics for any camera",
        source="HIT-IIL at AIM 2022 (Conde et al., ECCV Workshops 2022), what its network was fed with",
        licence="a formula, none",
    )
    version = "1"

    @staticmethod
    def curve(srgb: Tensor) -> Tensor:
        """Undo tone curve and gamma."""
        return linearize(srgb)
