"""Physics: what each step of a sensor's readout adds, as Wei et al. (CVPR 2020) measured and modelled it.

Photon shot noise through the system gain, Tukey-lambda or Gaussian read noise, row and column noise, colour bias, and,
only for consumers of floats, the surrogate of quantisation. See :mod:`rawsynth.noise.stages`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.noise import stages
from rawsynth.noise.base import ModelParams, NoiseModel
from rawsynth.noise.tukey_lambda import check_shape, tukey_variance
from rawsynth.raw.metadata import float32
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2, Planes, four_planes
from rawsynth.raw.sensor_noise import SensorNoise


class Physics(NoiseModel):
    """Every stage of the readout, with exact Poisson shot noise."""

    name: ClassVar[str] = "physics"
    takes_quantization: ClassVar[bool] = True

    def draw(self, noise: SensorNoise, rng: np.random.Generator) -> dict[str, Any]:
        """Return one sample's parameters, JSON-ready and rounded to float32.

        ``read_scale`` is the Tukey-lambda distribution's scale where the sensor's shape is known, otherwise the
        standard deviation of a Gaussian and ``tukey_lambda`` is null.
        """
        scale = np.sqrt(noise.read) if noise.tukey_scale is None else noise.tukey_scale
        return {
            "shot": float32(noise.shot),
            "read_scale": float32(scale),
            "tukey_lambda": None if noise.tukey_lambda is None else float32(noise.tukey_lambda),
            "row_sigma": float32(noise.row_sigma),
            "column_sigma": float32(noise.column_sigma),
            "color_bias": float32(noise.color_bias),
            "quantization_step": float32(noise.quantization_step),
        }

    def shot_read(self, params: ModelParams) -> tuple[Planes, Planes]:
        """Return S and O a plane: O is the variance of read, row and column noise and of the surrogate together.

        Raises:
            UsageError: a value that no sensor has.
        """
        shape = params["tukey_lambda"]
        if shape is not None:
            check_shape(shape)
        unit_variance = 1.0 if shape is None else tukey_variance(shape)
        _check_bias(params["color_bias"])
        row, column, step = (_check_size(params[n], n) for n in ("row_sigma", "column_sigma", "quantization_step"))
        shared = row**2 + column**2 + step**2 * QUANTIZATION_VARIANCE_DN2
        white = four_planes(params["read_scale"], "read_scale")
        read = four_planes([scale**2 * unit_variance + shared for scale in white], "read")
        return four_planes(params["shot"], "shot"), read

    def tensors(self, params: Sequence[ModelParams], device: torch.device) -> dict[str, Tensor]:
        """Stack the samples' parameters to float32 tensors, ``(B, 4)`` or ``(B,)``.

        ``tukey_lambda`` and ``quantization_step`` are left out where no sample has them, and ``is_tukey`` (bool,
        ``(B,)``) is there only if some have and others have not: which stages run is decided on the host.
        """
        shapes = [p["tukey_lambda"] for p in params]
        rows: dict[str, list[Any]] = {
            name: [p[name] for p in params]
            for name in ("shot", "read_scale", "row_sigma", "column_sigma", "color_bias", "quantization_step")
        }
        if not any(rows["quantization_step"]):
            del rows["quantization_step"]
        is_tukey = [shape is not None for shape in shapes]
        if any(is_tukey):
            rows["tukey_lambda"] = [0.0 if shape is None else shape for shape in shapes]
        host = {name: torch.tensor(values, dtype=torch.float32) for name, values in rows.items()}
        if any(is_tukey) and not all(is_tukey):
            host["is_tukey"] = torch.tensor(is_tukey)
        return {name: tensor.to(device, non_blocking=True) for name, tensor in host.items()}

    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add the noise; see :meth:`NoiseModel.add`. ``params``: what :meth:`tensors` made."""
        height, width = clean.shape[-2:]
        lines = stages.row_noise(words, params["row_sigma"], height) + stages.color_bias(params["color_bias"])
        noisy = self._shot(clean, words, params["shot"]).add_(_read(words, params, height, width)).add_(lines)
        noisy = noisy.add_(stages.column_noise(words, params["column_sigma"], width))
        if "quantization_step" in params:
            noisy = noisy.add_(stages.uniform_quantization(words, params["quantization_step"], height, width))
        return noisy

    def _shot(self, clean: Tensor, words: Tensor, shot: Tensor) -> Tensor:
        return stages.poisson_shot(clean, words, shot)


def _read(words: Tensor, params: Mapping[str, Tensor], height: int, width: int) -> Tensor:
    scale = params["read_scale"]
    if "tukey_lambda" not in params:
        return stages.gaussian_read(words, scale, height, width)
    if "is_tukey" not in params:
        return stages.tukey_read(words, scale, params["tukey_lambda"], height, width)
    return stages.mixed_read(words, scale, params["tukey_lambda"], params["is_tukey"], height, width)


def _check_size(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
        raise UsageError(f"{name} is one number >= 0; got {value!r}.")
    return value


def _check_bias(bias: Any) -> None:
    if not isinstance(bias, list | tuple) or len(bias) != 4 or not all(math.isfinite(value) for value in bias):
        raise UsageError(f"color_bias is four finite numbers, one a plane; got {bias!r}.")
