"""A camera by the name that a user gives: built in, a file, or any one at random."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rawsynth.cameras.builtin import builtin_cameras
from rawsynth.cameras.profile import FILE_SUFFIXES, CameraProfile, load_camera_file
from rawsynth.cameras.sold_names import sold_as
from rawsynth.errors import UsageError
from rawsynth.registry import pick

__all__ = ["GENERIC", "RANDOM_CAMERA", "builtin_cameras", "cameras_with", "load_camera", "random_cameras"]

GENERIC = "Brooks generic"
"""The built-in profile that is of no camera: a line through several."""

RANDOM_CAMERA = "random"
"""Stands for any built-in camera that fits, where a camera may be named."""


def load_camera(name: str) -> CameraProfile:
    """Return a built-in camera by its name, in any case, or the camera of a ``.toml`` or ``.json`` file, path or URL.

    Raises:
        UnknownNameError: no such camera; the message suggests the one that is sold as that, and lists close ones.
        UsageError: the file cannot be read, or is no camera file.

    >>> load_camera("Sony ILCE-7SM2").cfa
    'RGGB'
    """
    if name.lower().endswith(FILE_SUFFIXES):
        return load_camera_file(name)
    cameras = builtin_cameras()
    if name not in cameras:
        name = next((known for known in cameras if known.lower() == name.lower()), name)
    return pick(cameras, name, "camera", meant=sold_as(name, cameras))


def random_cameras(*, color: bool = False, iso: tuple[float, float] | None = None) -> tuple[CameraProfile, ...]:
    """Return what ``"random"`` stands for: the built-in cameras with noise, the generic one left out, by name.

    Args:
        color: only those with colour matrices too.
        iso: only those whose noise table has this range.

    Raises:
        UsageError: there is none.
    """
    cameras = [camera for name, camera in cameras_with(color=color, noise=True).items() if name != GENERIC]
    if iso is None:
        return tuple(cameras)
    low, high = iso
    ranges = [camera.noise_profile().iso_range for camera in cameras]
    fitting = [c for c, (least, most) in zip(cameras, ranges, strict=True) if least <= low <= high <= most]
    if not fitting:
        raise UsageError(
            f"no built-in camera has noise for ISO {low:g} to {high:g}; see `rawsynth cameras`, or ask for fewer ISOs."
        )
    return tuple(fitting)


@cache
def cameras_with(*, color: bool = False, noise: bool = False) -> Mapping[str, CameraProfile]:
    """Return the built-in cameras that have colour matrices, noise by ISO, or both, by name."""
    return {
        name: camera
        for name, camera in sorted(builtin_cameras().items())
        if (bool(camera.cam_from_xyz) or not color) and (camera.noise is not None or not noise)
    }
