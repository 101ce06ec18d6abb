"""Physics with the Gaussian limit of shot noise: faster, and without the skewness of few photons."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rawsynth.noise import stages
from rawsynth.noise.physics import Physics


class PhysicsGaussian(Physics):
    """The same readout with Gaussian-approximated shot noise: faster, and without the skewness of few photons."""

    name: ClassVar[str] = "physics_gaussian"

    def _shot(self, clean: Tensor, words: Tensor, shot: Tensor) -> Tensor:
        return stages.gaussian_shot(clean, words, shot)
