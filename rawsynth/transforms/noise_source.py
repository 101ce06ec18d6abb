"""Where AddNoise takes a sample's noise from: stated levels, a law, or a camera at an ISO."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from rawsynth.cameras import CameraProfile, camera_from_dict, load_camera
from rawsynth.cameras.choosing import RANDOM_CAMERA, random_cameras
from rawsynth.errors import UsageError
from rawsynth.noise.sampling import ISO_LAWS, brooks_shot_read
from rawsynth.raw.noise_params import Planes, four_planes
from rawsynth.raw.sensor_noise import SensorNoise
from rawsynth.registry import pick
from rawsynth.transforms.base import Overrides

DEFAULT_ISO_LAW = "log_uniform"
# How far an ISO may be from one that was measured: half of a third of a stop.
ISO_STEP = 2.0 ** (1.0 / 6.0)
IMAGE_CAMERA = "image"
"""Stands for the camera that each image's metadata names."""


@dataclass(frozen=True)
class DrawnNoise:
    """Noise of one sample, with the camera that it is of, if any."""

    noise: SensorNoise
    camera: str | None = None


class NoiseSource(ABC):
    """Draw one sample's noise."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, fixed: Overrides) -> DrawnNoise:
        """Draw the noise; ``fixed`` may state ``iso`` and ``camera``."""


@dataclass(frozen=True)
class StatedLevels(NoiseSource):
    """The same S and O for every sample."""

    noise: SensorNoise

    def draw(self, rng: np.random.Generator, fixed: Overrides) -> DrawnNoise:
        """Return the stated levels."""
        _refuse_iso(fixed)
        return DrawnNoise(self.noise)


@dataclass(frozen=True)
class BrooksLaw(NoiseSource):
    """Levels drawn as Brooks et al. 2019 do."""

    def draw(self, rng: np.random.Generator, fixed: Overrides) -> DrawnNoise:
        """Draw S and O."""
        _refuse_iso(fixed)
        return DrawnNoise(SensorNoise.white(*brooks_shot_read(rng)))


@dataclass(frozen=True)
class CameraNoise(NoiseSource):
    """A camera's noise at an ISO that is stated, or drawn from a range.

    Attributes:
        camera: a profile; ``"random"`` for any built-in one with noise; ``"image"`` for that of the image's metadata.
        iso: the range to draw from; ``None`` for the camera's whole table.
        iso_law: name in :data:`rawsynth.noise.sampling.ISO_LAWS`.
        extrapolate: whether an ISO may lie outside the table.
        served: the only ISOs that the model can serve, one of which is drawn; empty for any.
    """

    camera: CameraProfile | str
    iso: tuple[float, float] | None = None
    iso_law: str = DEFAULT_ISO_LAW
    extrapolate: bool = False
    served: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        pick(ISO_LAWS, self.iso_law, "ISO law")
        if isinstance(self.camera, CameraProfile):
            self._range(self.camera)
        elif self.camera == RANDOM_CAMERA:
            self._among(self.iso)

    def draw(self, rng: np.random.Generator, fixed: Overrides) -> DrawnNoise:
        """Draw the camera if it is open, then the ISO, then the figures about the camera's table."""
        camera = self._pick(rng, fixed)
        profile = camera.noise_profile()
        low, high = self._range(camera)
        law, stops = ("stops", self.served) if self.served else (self.iso_law, profile.isos)
        iso = ISO_LAWS[law](rng, low, high, stops)
        if "iso" in fixed:
            iso = iso_bounds(fixed["iso"])[0]
        # Rounded before use, so that the ISO that is recorded is the ISO that decided.
        noise = camera.sensor_noise(float(np.float32(iso)), extrapolate=self.extrapolate, rng=rng)
        return DrawnNoise(replace(noise, quantization_step=1.0 / camera.levels.range_dn), camera.name)

    def _pick(self, rng: np.random.Generator, fixed: Overrides) -> CameraProfile:
        if self.camera == IMAGE_CAMERA:
            return self._of_image(fixed.get("camera"))
        if "camera" in fixed:
            raise UsageError('the camera is stated already; only with camera="image" is it an override.')
        if isinstance(self.camera, CameraProfile):
            return self.camera
        among = self._among(iso_bounds(fixed["iso"]) if "iso" in fixed else self.iso)
        return among[int(rng.integers(len(among)))]

    def _of_image(self, asked: Any) -> CameraProfile:
        if asked is None:
            raise UsageError(
                'camera="image" takes the camera from the image, and this one names none: make the RAW with '
                "ReverseISP(camera=...), state it with RawImage.from_packed(planes, camera=...), or name one here."
            )
        return load_camera(asked)

    def _among(self, iso: tuple[float, float] | None) -> tuple[CameraProfile, ...]:
        return random_cameras(iso=None if self.extrapolate else iso)

    def _range(self, camera: CameraProfile) -> tuple[float, float]:
        profile = camera.noise_profile()
        for bound in self.iso or ():
            profile.at(bound, extrapolate=self.extrapolate)
        return self.iso or profile.iso_range


def stated_levels(shot: Any, read: Any) -> tuple[Planes, Planes] | None:
    """Read S and O as a user states them; ``None`` where neither is stated.

    Raises:
        UsageError: one without the other, or values that no noise has.
    """
    if (shot is None) != (read is None):
        raise UsageError("give both shot and read, or neither.")
    return None if shot is None else (four_planes(shot, "shot"), four_planes(read, "read"))


def noise_source(
    camera: Any, iso: Any, iso_law: str, extrapolate: bool, levels: tuple[Any, Any] | None
) -> NoiseSource:
    """Choose the source that a user's options mean.

    Raises:
        UnknownNameError: an unknown camera or ISO law.
        UsageError: options that make no sense together, or an ISO outside the camera's table.
    """
    if levels is not None:
        if camera is not None or iso is not None or extrapolate or iso_law != DEFAULT_ISO_LAW:
            raise UsageError("shot and read already state the noise; leave camera and iso out.")
        return StatedLevels(SensorNoise.white(*levels))
    if camera is None:
        if iso is not None:
            raise UsageError(
                "an ISO means something for a camera only: name one too (camera=..., --camera), or state shot and read "
                "instead."
            )
        if extrapolate or iso_law != DEFAULT_ISO_LAW:
            raise UsageError("iso_law and extrapolate mean something for a camera only; give camera=... too.")
        return BrooksLaw()
    return CameraNoise(_profile(camera), None if iso is None else iso_bounds(iso), iso_law, extrapolate)


def serving(source: NoiseSource, isos: tuple[float, ...]) -> NoiseSource:
    """Restrict a source to the ISOs that a model has frames of.

    Raises:
        UsageError: the source has no ISO to choose one by, or none of them is in its range.
    """
    have = ", ".join(f"{iso:g}" for iso in isos)
    if not isinstance(source, CameraNoise):
        if len(isos) > 1:
            raise UsageError(f"there are dark frames of ISO {have}: say whose noise, with camera=... and iso=...")
        return source
    asked = source.iso
    if asked is None and isinstance(source.camera, CameraProfile):
        asked = source.camera.noise_profile().iso_range
    if asked is not None and not any(asked[0] / ISO_STEP <= iso <= asked[1] * ISO_STEP for iso in isos):
        low, high = asked
        raise UsageError(f"there are dark frames of ISO {have}, none from {low:g} to {high:g}; ask for one of theirs.")
    return replace(source, served=isos)


def _profile(camera: Any) -> CameraProfile | str:
    if isinstance(camera, CameraProfile) or camera in (RANDOM_CAMERA, IMAGE_CAMERA):
        return camera  # type: ignore[no-any-return]
    if isinstance(camera, dict):
        return camera_from_dict(camera, "of a noise policy")
    if not isinstance(camera, str | PathLike):
        raise UsageError(f"camera is a name, a file or a CameraProfile; got {camera!r}.")
    return load_camera(str(camera))


def iso_bounds(iso: float | Sequence[float]) -> tuple[float, float]:
    """Read one ISO or a range.

    Raises:
        UsageError: neither.
    """
    try:
        bounds = np.broadcast_to(np.asarray(iso, dtype=np.float64), 2).tolist() if not isinstance(iso, str) else []
    except (TypeError, ValueError):
        bounds = []
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] < math.inf:
        raise UsageError(f"iso is one positive number, or (low, high) with low <= high; got {iso!r}.")
    return float(bounds[0]), float(bounds[1])


def _refuse_iso(fixed: Overrides) -> None:
    if "camera" in fixed:
        raise UsageError('no camera decides this noise; give AddNoise camera="image" for those of the images.')
    if "iso" in fixed:
        raise UsageError("an ISO means something for a camera only; give AddNoise one, or override shot and read.")
