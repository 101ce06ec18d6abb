"""A camera by the name that a user gives: built in, a file, or any one at random."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rawsynth.cameras.builtin import builtin_cameras
from rawsynth.cameras.profile import FILE_SUFFIXES, CameraProfile, load_camera_file
from rawsynth.registry import pick

__all__ = ["RANDOM_CAMERA", "builtin_cameras", "cameras_with", "load_camera"]

RANDOM_CAMERA = "random"
"""Stands for any built-in camera that fits, where a camera may be named."""


def load_camera(name: str) -> CameraProfile:
    """Return the built-in camera of that name, or the camera of that ``.toml`` or ``.json`` file, path or URL.

    Raises:
        UnknownNameError: no such camera; the message lists close ones.
        UsageError: the file cannot be read, or is no camera file.

    >>> load_camera("Sony ILCE-7SM2").cfa
    'RGGB'
    """
    if name.endswith(FILE_SUFFIXES):
        return load_camera_file(name)
    return pick(builtin_cameras(), name, "camera")


@cache
def cameras_with(*, color: bool = False, noise: bool = False) -> Mapping[str, CameraProfile]:
    """Return the built-in cameras that have colour matrices, noise by ISO, or both, by name."""
    return {
        name: camera
        for name, camera in sorted(builtin_cameras().items())
        if (bool(camera.cam_from_xyz) or not color) and (camera.noise is not None or not noise)
    }
