"""Files that decide a corpus's bytes by what is in them, not by where they lie: their checksums."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.methods.style_file import load_style
from rawsynth.methods.weights import packaged_weights, weights_digest
from rawsynth.noise.dark_frame_store import open_dark_frames

if TYPE_CHECKING:
    from rawsynth.pipeline.config import GenerateConfig

_CAMERA_FILES = (".toml", ".json")


def checksums(config: GenerateConfig) -> dict[str, dict[str, str]]:
    """Return ``sha256:...`` of each file that a configuration names, by section and field.

    Packaged weights that a method takes by itself count too: another release may bring others.

    Raises:
        UsageError: a file is damaged or out of reach.
    """
    method, noise = config.method, config.noise
    found: dict[str, dict[str, str]] = {"method": {}, "noise": {}}
    weights = method.weights or (method.method if method.method in packaged_weights() else None)
    if weights is not None and (digest := weights_digest(weights)) is not None:
        found["method"]["weights"] = f"sha256:{digest}"
    if method.style is not None:
        found["method"]["style"] = f"sha256:{load_style(method.style).digest}"
    if noise.dark_frames is not None:
        found["noise"]["dark_frames"] = f"sha256:{open_dark_frames(noise.dark_frames).digest}"
    for section, name, camera in (("method", "camera", method.camera), ("noise", "noise_camera", noise.noise_camera)):
        if camera is not None and camera.endswith(_CAMERA_FILES):
            found[section][name] = f"sha256:{hashlib.sha256(_read_camera(camera)).hexdigest()}"
    return found


def _read_camera(url: str) -> bytes:
    try:
        return storage.read_bytes(url)
    except InputAccessError as error:
        raise UsageError(f"camera file {url}: {error}") from error
