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

from rawsynth import seeding
from rawsynth.cameras import CameraProfile, load_camera
from rawsynth.cameras.choosing import RANDOM_CAMERA, random_cameras
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.batching import batch_size
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.device_memory import BatchFitter
from rawsynth.pipeline.environment import check_device
from rawsynth.pipeline.linear_target import LINEAR_MEMBER, linear_of_layouts, linear_of_mosaic
from rawsynth.pipeline.raw_source import RAW_CLEAN_LEVELS, RawChoices
from rawsynth.pipeline.stages import StageClock, device_laps
from rawsynth.pipeline.views import View
from rawsynth.raw.codecs import noisy_members
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import CLEAN_LEVELS, Levels
from rawsynth.raw.quantize import dequantize, quantize
from rawsynth.transforms import AddNoise, ReverseISP
from rawsynth.transforms.base import Params
from rawsynth.transforms.noise_source import IMAGE_CAMERA, iso_bounds
from rawsynth.transforms.reverse_isp import method_metadata


BROOKS_LAW = "brooks"
"""Stands for Brooks et al.'s law where a camera's noise may be named."""


@dataclass(frozen=True)
class SynthesizedSample:
    """One sample, ready to be encoded: uint16 DN by member name, ``(4, h, w)`` or ``(3, 2h, 2w)``, and its metadata."""

    view: View
    arrays: Mapping[str, NDArray[np.uint16]]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class _Clean:
    """A batch of clean images: as noise is added to them, as DN by member name, and what their JSON says."""

    image: RawImage
    made: dict[str, Tensor]
    params: Params
    levels: Levels


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
        self.members = stored_noisy(config)
        self.levels, self.linear = config.write.levels(), config.write.linear
        self.autocast_dtype = getattr(torch, compute.dtype)
        self.padded_batch: int | None = None
        compiled = compute.compile == "on"
        if compiled:
            self._compile(config)
        # Compiled code may round otherwise at another size.
        divisible = self.to_raw.method.ignores_batch and not compiled
        self.fit = BatchFitter(divisible=divisible, padded=self.padded_batch or 1)

    def _compile(self, config: GenerateConfig) -> None:
        fixed = config.image.crop is not None
        if config.image.crop is not None:
            # One shape for all batches: a short one is padded, so nothing is ever compiled twice.
            self.padded_batch = batch_size(*config.image.crop, config.compute.budget())
        self.to_raw.compile_kernels(dynamic=not fixed)
        self.add_noise.compile_kernels(dynamic=not fixed)

    def __call__(self, views: Sequence[View], clock: StageClock | None = None) -> list[SynthesizedSample]:
        """Synthesise the samples of views that share one shape and dtype; ``clock`` takes the times of the stages.

        Raises:
            UsageError: they do not fit the device's memory.
        """
        clock = clock or StageClock()
        return self.fit(lambda part: self._synthesize(part, clock), views)

    def _synthesize(self, views: Sequence[View], clock: StageClock) -> list[SynthesizedSample]:
        laps = device_laps(self.device, clock)
        rows = [*views, *repeat(views[0], max(0, (self.padded_batch or 0) - len(views)))]
        keys = [view.key for view in rows]
        pixels, frame = (
            torch.from_numpy(np.stack(planes)).to(self.device, non_blocking=True)
            for planes in ([view.image for view in rows], [view.frame for view in rows])
        )
        laps.lap("to_device")
        clean = self._clean(rows, pixels, frame)
        laps.lap("method")
        made, draws = clean.made, [self._noise_params(keys, k, clean.params) for k in range(self.realizations)]
        for member, params in zip(self.members, draws, strict=False):
            noisy = self.add_noise.apply_params(clean.image, params).packed
            made[member] = quantize(noisy, self.levels, reuse=True)
        laps.lap("noise")
        arrays = {member: dn.cpu().numpy() for member, dn in made.items()}
        laps.lap("from_device")
        laps.finish()
        return [
            SynthesizedSample(
                view,
                {member: dn[i] for member, dn in arrays.items()},
                self._metadata(view, clean.params[i], clean.levels, [params[i] for params in draws]),
            )
            for i, view in enumerate(views)
        ]

    def _clean(self, rows: Sequence[View], pixels: Tensor, frame: Tensor) -> _Clean:
        """Make the clean images of pictures, or take those that cameras recorded."""
        are_pictures = rows[0].raw is None
        if are_pictures:
            levels, params = CLEAN_LEVELS, self.to_raw.make_params(len(rows), keys=[view.key for view in rows])
            clean = self._reverse(pixels, frame, params)
        else:
            levels, params = RAW_CLEAN_LEVELS, [dict(view.raw or {}) for view in rows]
            clean = RawImage(pixels, method_metadata(params, (len(rows),), self.device))
        stored = quantize(clean.packed, levels, reuse=True)
        made = {"clean.npy": stored}
        # Noise goes onto the clean image as it is stored, so that replaying it gives the stored noisy image.
        clean = RawImage(dequantize(stored, levels), clean.metadata)

        def remake(cfas: list[str]) -> Tensor:
            others = [{**entry, "cfa": cfa} for entry, cfa in zip(params, cfas, strict=True)]
            return quantize(self._reverse(pixels, frame, others).packed, levels, reuse=True)

        if self.linear:
            cfas = [entry["cfa"] for entry in params]
            made[LINEAR_MEMBER] = (
                linear_of_layouts(stored, cfas, remake) if are_pictures else linear_of_mosaic(stored, clean, levels)
            )
        return _Clean(clean, made, params, levels)

    def _reverse(self, srgb: Tensor, frame: Tensor, params: Params) -> RawImage:
        with torch.autocast(self.device.type, self.autocast_dtype, enabled=self.autocast_dtype != torch.float32):
            return self.to_raw.apply_params(srgb, params, frame=frame)

    def _noise_params(self, keys: Sequence[str], realization: int, method_params: Params) -> Params:
        names = [key if realization == 0 else f"{key}#{realization}" for key in keys]
        names_of_image = ("camera", "cfa") if self.add_noise.options["camera"] == IMAGE_CAMERA else ("cfa",)
        overrides = {name: [p[name] for p in method_params] for name in names_of_image}
        return self.add_noise.make_params(len(keys), keys=names, overrides=overrides)

    def _metadata(
        self, view: View, raw: Mapping[str, Any], levels: Levels, draws: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        noise = [{"levels": self.levels.to_json(), **self._noise_json(params)} for params in draws]
        out: dict[str, Any] = {
            "key": view.key,
            "split": view.split,
            "source": dict(view.source),
            "raw": dict(raw),
            "clean": {"member": "clean.npy", "levels": levels.to_json()},
            "noisy": [{"member": member, **entry} for member, entry in zip(self.members, noise, strict=False)],
        }
        if self.linear:
            made_by = "reverse ISP" if view.raw is None else "bilinear demosaic"
            out["linear"] = {"member": LINEAR_MEMBER, "levels": levels.to_json(), "from": made_by}
        return out if self.members else out | {"noise_draws": noise}

    def _noise_json(self, params: Mapping[str, Any]) -> dict[str, Any]:
        shot, read = self.add_noise.model.shot_read(params["params"])
        return {"noise": dict(params), "shot": list(shot), "read": list(read)}


def make_transforms(config: GenerateConfig) -> tuple[ReverseISP, AddNoise]:
    """Build the two transforms that a configuration names; cheap, so it serves to check one too.

    Raises:
        UnknownNameError, UsageError: a name that no table lists, or values that make no sense together.
    """
    method = config.method
    to_raw = ReverseISP(
        method.method,
        method.weights,
        style=method.style,
        camera=_color_cameras(config),
        cct=method.cct,
        cfa=method.cfa,
        cam_from_srgb=method.cam_from_srgb,
        white_balance=method.white_balance,
        rgb_gain=method.rgb_gain,
        seed=config.seed,
    )
    return to_raw, make_noise(config)


def make_noise(config: GenerateConfig) -> AddNoise:
    """Build the noise that a configuration names; raises as :func:`make_transforms`."""
    noise = config.noise
    try:
        add_noise = AddNoise(
            noise.noise,
            camera=_noise_camera(config),
            iso=noise.iso,
            iso_law=noise.iso_law,
            extrapolate=noise.extrapolate,
            shot=noise.shot,
            read=noise.read,
            dark_frames=noise.dark_frames,
            seed=config.seed,
        )
    except InputAccessError as error:
        raise UsageError(str(error)) from error
    crop, room = config.image.crop, add_noise.model.largest
    if crop is not None and room is not None and (crop[0] > room[0] or crop[1] > room[1]):
        raise UsageError(
            f"crops of {crop[0]}x{crop[1]} do not fit the dark frames; ask for {room[0]}x{room[1]} or less (--crop)."
        )
    return add_noise


def _color_cameras(config: GenerateConfig) -> str | tuple[CameraProfile, ...] | None:
    """Whose colour the images get: of those that are drawn, only cameras that have noise at the ISOs asked for."""
    camera, noise = config.method.camera, config.noise
    own_noise = noise.noise_camera in (None, IMAGE_CAMERA) and noise.iso is not None and not noise.extrapolate
    if camera != RANDOM_CAMERA or not own_noise:
        return camera
    assert noise.iso is not None
    return random_cameras(color=True, iso=iso_bounds(noise.iso))


def _noise_camera(config: GenerateConfig) -> str | None:
    """Whose noise is added: the camera's own, of the same camera where that is drawn; ``None`` for a law or levels."""
    camera, noise = config.method.camera, config.noise
    if noise.noise_camera not in (None, IMAGE_CAMERA):
        return None if noise.noise_camera == BROOKS_LAW else noise.noise_camera
    if camera is None or (noise.iso is None and noise.shot is not None):
        return None
    if camera == RANDOM_CAMERA:
        return IMAGE_CAMERA
    if load_camera(camera).noise is None and noise.iso is None:
        raise UsageError(
            f"camera {camera!r} has colour but no noise by ISO: say whose noise is added, with --noise-camera NAME "
            f"(see `rawsynth cameras --with noise`; {BROOKS_LAW!r} for Brooks' law) or with --shot and --read."
        )
    return camera


def raw_choices(config: GenerateConfig) -> RawChoices:
    """Return what of a configuration concerns camera RAW files: a layout, and whose noise there is for them."""
    cfa, noise = config.method.cfa, config.noise
    if _noise_camera(config) != IMAGE_CAMERA:
        return RawChoices(cfa)
    iso = None if noise.iso is None or noise.extrapolate else iso_bounds(noise.iso)
    return RawChoices(cfa, frozenset(camera.name for camera in random_cameras(iso=iso)))


def noise_policy(config: GenerateConfig) -> dict[str, Any]:
    """Return how a corpus's noise is drawn, for ``AddNoise.from_corpus``: JSON-ready, ``auto`` decided before."""
    return {
        "add_noise": make_noise(config).policy(),
        "device": torch.device(config.compute.device).type,
        "rng": seeding.RNG_VERSION,
        "levels": config.write.levels().to_json(),
    }


def stored_members(config: GenerateConfig) -> list[str]:
    """Names of the members that every sample of a corpus has."""
    optional = {LINEAR_MEMBER: config.write.linear, "srgb.jpg": config.write.srgb}
    return ["json", "clean.npy", *stored_noisy(config), *(name for name, wanted in optional.items() if wanted)]


def stored_noisy(config: GenerateConfig) -> Sequence[str]:
    """Names of the noisy images that a corpus stores; none where it stores clean RAW only."""
    return () if config.write.clean_only else noisy_members(config.noise.realizations)
