"""What a noise model is: a name, a pure function of (clean, parameters, seeds), and what it means in S and O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.raw.metadata import float32
from rawsynth.raw.noise_params import Planes, four_planes
from rawsynth.raw.sensor_noise import SensorNoise

ModelParams = Mapping[str, Any]


class NoiseModel(ABC):
    """Add noise to packed RAW. Everything random or physical is an argument.

    Attributes:
        name: key in the table of noise models.
        takes_frames: whether it is made from real dark frames.
        takes_quantization: whether it can add the uniform surrogate of rounding to DN.
        can_compile: whether ``torch.compile`` may have :meth:`add`.
    """

    name: ClassVar[str]
    takes_frames: ClassVar[bool] = False
    takes_quantization: ClassVar[bool] = False
    can_compile: ClassVar[bool] = True

    @classmethod
    def create(cls, dark_frames: str | None = None) -> Self:
        """Build the model.

        Args:
            dark_frames: folder, pattern or tar of real dark frames, for the model that takes them.

        Raises:
            UsageError: dark frames for a model that takes none.
        """
        if dark_frames is not None:
            raise UsageError(f"noise model {cls.name!r} takes no dark frames; the model 'dark_frames' does.")
        return cls()

    @property
    def isos(self) -> tuple[float, ...]:
        """The only ISOs that the model can serve; empty for any."""
        return ()

    @property
    def largest(self) -> tuple[int, int] | None:
        """Height and width in sensor pixels of the largest image that the model can serve; ``None`` for any."""
        return None

    def draw(self, noise: SensorNoise, rng: np.random.Generator) -> dict[str, Any]:
        """Return one sample's parameters, JSON-ready and rounded to float32, from what is known of the sensor.

        Gaussian models take everything that does not depend on light as one variance.
        """
        return {"shot": float32(noise.shot), "read": float32(noise.total_read())}

    def shot_read(self, params: ModelParams) -> tuple[Planes, Planes]:
        """Return S and O a CFA plane on the unit scale for one sample's parameters."""
        return four_planes(params["shot"], "shot"), four_planes(params["read"], "read")

    def tensors(self, params: Sequence[ModelParams], device: torch.device) -> dict[str, Tensor]:
        """Stack the samples' parameters to what :meth:`add` takes; here S and O, float32 ``(B, 4)``."""
        planes = {name: [four_planes(p[name], name) for p in params] for name in ("shot", "read")}
        host = {name: torch.tensor(rows, dtype=torch.float32) for name, rows in planes.items()}
        return {name: tensor.to(device, non_blocking=True) for name, tensor in host.items()}

    @abstractmethod
    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add noise; values are not clipped.

        Args:
            clean: ``(B, 4, h, w)`` float32, unit scale.
            words: ``(B, 2)`` int32 key words of the samples' seeds.
            params: what :meth:`tensors` made.

        Returns:
            ``(B, 4, h, w)`` float32.
        """
