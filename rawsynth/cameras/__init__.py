"""Camera profiles: one TOML file each under ``profiles/``."""

from rawsynth.cameras.profile import CameraProfile, builtin_cameras, load_camera

__all__ = ["CameraProfile", "builtin_cameras", "load_camera"]
