"""Camera profiles: what ships, and a user's own files."""

from rawsynth.cameras.camera_file import camera_to_dict, format_camera
from rawsynth.cameras.choosing import builtin_cameras, load_camera
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile
from rawsynth.cameras.profile import CameraProfile, camera_from_dict

__all__ = [
    "CameraProfile",
    "NoisePoint",
    "NoiseProfile",
    "builtin_cameras",
    "camera_from_dict",
    "camera_to_dict",
    "format_camera",
    "load_camera",
]
