"""Noise models: one file each, listed in :data:`NOISE_MODELS`."""

from rawsynth.noise.base import NoiseModel
from rawsynth.noise.dark_frames import DarkFrames
from rawsynth.noise.heteroscedastic_gaussian import HeteroscedasticGaussian
from rawsynth.noise.physics import Physics
from rawsynth.noise.physics_gaussian import PhysicsGaussian
from rawsynth.noise.poisson_gaussian import PoissonGaussian

NOISE_MODELS: dict[str, type[NoiseModel]] = {
    "dark_frames": DarkFrames,
    "heteroscedastic_gaussian": HeteroscedasticGaussian,
    "physics": Physics,
    "physics_gaussian": PhysicsGaussian,
    "poisson_gaussian": PoissonGaussian,
}

__all__ = ["NOISE_MODELS", "NoiseModel"]
