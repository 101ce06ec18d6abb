"""Noise models: one file each, listed in :data:`NOISE_MODELS`."""

from rawsynth.noise.base import NoiseModel
from rawsynth.noise.heteroscedastic_gaussian import HeteroscedasticGaussian
from rawsynth.noise.poisson_gaussian import PoissonGaussian

NOISE_MODELS: dict[str, NoiseModel] = {
    "heteroscedastic_gaussian": HeteroscedasticGaussian(),
    "poisson_gaussian": PoissonGaussian(),
}

__all__ = ["NOISE_MODELS", "NoiseModel"]
