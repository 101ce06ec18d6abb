"""The heart of the pipeline: a batch of sRGB views to the DN and metadata of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.pipeline.batching import batch_size
from rawsynth.raw.codecs import noisy_members
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.environment import check_device
from rawsynth.pipeline.views import View
from rawsynth.raw.levels import CLEAN_LEVELS, Levels
from rawsynth.raw.quantize import quantize
from rawsynth.transforms import AddNoise, ReverseISP
from rawsynth.transforms.base import Params


@dataclass(frozen=True)
class SynthesizedSample:
    """One sample, ready to be encoded: DN by member name, ``(4, h, w)`` uint16, and its metadata."""

    view: View
    arrays: Mapping[str, NDArray[np.uint16]]
    metadata: Mapping[str, Any]


class Synthesizer:
    """Run reverse ISP, noise and quantisation as a configuration says; ``auto`` must have been decided before.

    Raises:
        UnknownNameError, UsageError: the configuration names what does not exist, or the device is not there.
    """

    def __init__(self, config: GenerateConfig) -> None:
        compute = config.compute
        self.device = check_device(compute.device)
        self.to_raw, self.add_noise = make_transforms(config)
        self.realizations = config.noise.realizations
        self.levels = config.write.levels()
        self.autocast_dtype = getattr(torch, compute.dtype)
        self.padded_batch: int | None = None
        if compute.compile == "on":
            self._compile(config)

    def _compile(self, config: GenerateConfig) -> None:
        fixed = config.image.crop is not None
        if config.image.crop is not None:
            # One shape for all batches: a short one is padded, so nothing is ever compiled twice.
            self.padded_batch = batch_size(*config.image.crop, config.compute.budget())
        self.to_raw.compile_kernels(dynamic=not fixed)
        self.add_noise.compile_kernels(dynamic=not fixed)

    def __call__(self, views: Sequence[View]) -> list[SynthesizedSample]:
        """Synthesise the samples of views that share one shape and dtype."""
        rows = [*views, *repeat(views[0], max(0, (self.padded_batch or 0) - len(views)))]
        keys = [view.key for view in rows]
        srgb = torch.from_numpy(np.stack([view.image for view in rows])).to(self.device, non_blocking=True)
        method_params = self.to_raw.make_params(len(rows), keys=keys)
        with torch.autocast(self.device.type, self.autocast_dtype, enabled=self.autocast_dtype != torch.float32):
            clean = self.to_raw.apply_params(srgb, method_params)
        arrays, noise_params = {}, {}
        for index, member in enumerate(noisy_members(self.realizations)):
            noise_params[member] = self._noise_params(keys, index)
            noisy = self.add_noise.apply_params(clean, noise_params[member])
            arrays[member] = to_dn(noisy.packed, self.levels)
        arrays["clean.npy"] = to_dn(clean.packed, CLEAN_LEVELS)
        return [
            SynthesizedSample(
                view,
                {member: dn[i] for member, dn in arrays.items()},
                self._metadata(view, method_params[i], {m: p[i] for m, p in noise_params.items()}),
            )
            for i, view in enumerate(views)
        ]

    def _noise_params(self, keys: Sequence[str], realization: int) -> Params:
        names = [key if realization == 0 else f"{key}#{realization}" for key in keys]
        return self.add_noise.make_params(len(keys), keys=names)

    def _metadata(
        self, view: View, raw: Mapping[str, Any], noise_params: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        return {
            "key": view.key,
            "split": view.split,
            "source": dict(view.source),
            "raw": dict(raw),
            "clean": {"member": "clean.npy", "levels": CLEAN_LEVELS.to_json()},
            "noisy": [
                {"member": member, "levels": self.levels.to_json(), **self._noise_json(params)}
                for member, params in noise_params.items()
            ],
        }

    def _noise_json(self, params: Mapping[str, Any]) -> dict[str, Any]:
        shot, read = self.add_noise.model.shot_read(params["params"])
        return {"noise": dict(params), "shot": list(shot), "read": list(read)}


def make_transforms(config: GenerateConfig) -> tuple[ReverseISP, AddNoise]:
    """Build the two transforms that a configuration names; cheap, so it serves to check one too.

    Raises:
        UnknownNameError, UsageError: a name that no table lists, or values that make no sense together.
    """
    method, noise = config.method, config.noise
    to_raw = ReverseISP(
        method.method,
        method.weights,
        camera=method.camera,
        cfa=method.cfa,
        cam_from_srgb=method.cam_from_srgb,
        white_balance=method.white_balance,
        rgb_gain=method.rgb_gain,
        seed=config.seed,
    )
    # A camera states colour; it states noise too only where an ISO is asked for.
    camera = method.camera if noise.iso is not None else None
    add_noise = AddNoise(noise.noise, camera=camera, iso=noise.iso, shot=noise.shot, read=noise.read, seed=config.seed)
    return to_raw, add_noise


def to_dn(unit: Tensor, levels: Levels) -> NDArray[np.uint16]:
    """Quantise on the device, using up ``unit``, and bring the DN to the host as ``(B, 4, h, w)`` uint16."""
    array: NDArray[np.uint16] = quantize(unit, levels, reuse=True).cpu().numpy()
    return array
