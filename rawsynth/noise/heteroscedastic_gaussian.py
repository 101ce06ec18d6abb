"""Heteroscedastic Gaussian noise: ``x + sqrt(S x + O) z``.

Foi et al., IEEE TIP 2008, eq. 7, and the noise of Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR
2019, eq. 5: the Gaussian limit of shot and read noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from rawsynth import seeding
from rawsynth.noise.base import NoiseModel


class HeteroscedasticGaussian(NoiseModel):
    """Gaussian noise of variance ``shot * max(x, 0) + read`` at each site."""

    name: ClassVar[str] = "heteroscedastic_gaussian"

    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add the noise; see :meth:`NoiseModel.add`. ``params``: ``shot``, ``read``, each ``(B, 4)``."""
        shot, read = params["shot"][..., None, None], params["read"][..., None, None]
        deviation = clean.clamp(min=0).mul_(shot).add_(read).sqrt_()
        return seeding.normal_planes(words, clean.shape[-2], clean.shape[-1]).mul_(deviation).add_(clean)
