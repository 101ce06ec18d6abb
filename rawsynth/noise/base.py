"""What a noise model is: a name, a pure function of (clean, parameters, seeds), and what it means in S and O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rawsynth.raw.noise_params import Planes, four_planes

ModelParams = Mapping[str, Any]


class NoiseModel(ABC):
    """Add noise to packed RAW. A model holds no state: everything random or physical is an argument.

    Attributes:
        name: key in the table of noise models.
    """

    name: ClassVar[str]

    def shot_read(self, params: ModelParams) -> tuple[Planes, Planes]:
        """Return S and O a CFA plane on the unit scale for one sample's parameters."""
        return four_planes(params["shot"], "shot"), four_planes(params["read"], "read")

    def tensors(self, params: Sequence[ModelParams], device: torch.device) -> dict[str, Tensor]:
        """Stack the samples' S and O to float32 tensors ``(B, 4)``."""
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
