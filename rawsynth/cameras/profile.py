"""What a camera is: CFA, levels, colour matrices and noise by ISO, read from one TOML file a camera."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB
from rawsynth.raw.levels import Levels
from rawsynth.raw.noise_params import read_from_sigma, shot_from_gain
from rawsynth.registry import pick


@dataclass(frozen=True)
class NoisePoint:
    """Noise measured at one ISO: system gain in DN per electron and read noise in DN."""

    iso: float
    gain_dn_per_electron: float
    read_sigma_dn: float


@dataclass(frozen=True)
class CameraProfile:
    """A camera.

    Attributes:
        name: maker and model.
        cfa: Bayer layout at the sensor's top left.
        levels: black, white and bits of its files; ``nominal_levels`` says that nobody measured them.
        cam_from_xyz: XYZ to camera RGB, 3x3, by illuminant (``"D65"``, ``"A"``).
        noise: points by rising ISO; empty where unknown.
        high_gain_iso: first ISO of the second conversion gain; no interpolation crosses it.
        sources: where the figures come from.
    """

    name: str
    cfa: str
    levels: Levels
    nominal_levels: bool
    cam_from_xyz: Mapping[str, NDArray[np.float64]]
    noise: tuple[NoisePoint, ...] = ()
    high_gain_iso: float | None = None
    sources: tuple[str, ...] = field(default=())

    def daylight_color(self) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """Return the camera's colour under D65.

        Returns:
            ``cam_from_srgb`` (3x3, linear sRGB to camera RGB, each row divided by its sum) and the white-balance gains
            (red, blue) that the division took out: ``green row sum / red row sum`` and ``green / blue``.
        """
        raw_matrix = self.cam_from_xyz["D65"] @ XYZ_FROM_SRGB
        response = raw_matrix.sum(axis=1)
        gains = (float(response[1] / response[0]), float(response[1] / response[2]))
        return raw_matrix / response[:, None], gains

    def shot_read(self, iso: float) -> tuple[float, float]:
        """Return S and O on the unit scale at an ISO, log-log interpolated within one conversion gain.

        Raises:
            UsageError: the profile has no noise, or the ISO lies outside its table.
        """
        low, high = self.iso_range
        if not low <= iso <= high:
            raise UsageError(f"ISO {iso:g} is outside {self.name!r}'s table, {low:g} to {high:g}.")
        same_gain = [p for p in self.noise if self._is_high_gain(p.iso) == self._is_high_gain(iso)]
        gain, sigma = (_log_log(iso, same_gain, name) for name in ("gain_dn_per_electron", "read_sigma_dn"))
        return shot_from_gain(gain, self.levels.range_dn), read_from_sigma(sigma, self.levels.range_dn)

    @property
    def iso_range(self) -> tuple[float, float]:
        """Lowest and highest ISO of the noise table.

        Raises:
            UsageError: the profile has none.
        """
        if not self.noise:
            raise UsageError(f"camera {self.name!r} has no noise by ISO; give shot and read instead of iso.")
        return self.noise[0].iso, self.noise[-1].iso

    def _is_high_gain(self, iso: float) -> bool:
        return self.high_gain_iso is not None and iso >= self.high_gain_iso


def _log_log(iso: float, points: list[NoisePoint], name: str) -> float:
    if len(points) == 1:
        return float(getattr(points[0], name))
    x = [math.log(p.iso) for p in points]
    y = [math.log(getattr(p, name)) for p in points]
    at = math.log(iso)
    k = min(max(int(np.searchsorted(x, at)) - 1, 0), len(x) - 2)
    slope = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
    return math.exp(y[k] + slope * (at - x[k]))


@cache
def builtin_cameras() -> Mapping[str, CameraProfile]:
    """Return the profiles that come with the package, by name."""
    folder = resources.files("rawsynth.cameras") / "profiles"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    profiles = [_from_toml(tomllib.loads(f.read_text("utf-8")), f.name) for f in files]
    return {profile.name: profile for profile in profiles}


def load_camera(name: str) -> CameraProfile:
    """Return the camera of that name, or of that ``.toml`` file.

    Raises:
        UnknownNameError: no such camera; the message lists them.
        UsageError: the file cannot be read as a profile; the message names the field.

    >>> load_camera("Sony ILCE-7SM2").cfa
    'RGGB'
    """
    if not name.endswith(".toml"):
        return pick(builtin_cameras(), name, "camera")
    try:
        return _from_toml(tomllib.loads(Path(name).read_text("utf-8")), name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"camera file {name}: {error}") from error


def _from_toml(data: Mapping[str, Any], where: str) -> CameraProfile:
    try:
        levels, noise = data["levels"], data.get("noise", {})
        matrices = {key: np.array(rows, dtype=np.float64) for key, rows in data["cam_from_xyz"].items()}
        if "D65" not in matrices or any(m.shape != (3, 3) for m in matrices.values()):
            raise UsageError(f"camera file {where}: cam_from_xyz needs 3x3 matrices and one named D65.")
        return CameraProfile(
            name=data["name"],
            cfa=check_cfa(data["cfa"]),
            levels=Levels(levels["black_level"], levels["white_level"], levels["bits"]),
            nominal_levels=bool(levels.get("nominal", False)),
            cam_from_xyz=matrices,
            noise=_noise_points(noise.get("table", []), where),
            high_gain_iso=noise.get("high_gain_iso"),
            sources=tuple(data.get("sources", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"camera file {where}: missing or wrong field {error}; see a built-in profile.") from error


def _noise_points(table: list[list[float]], where: str) -> tuple[NoisePoint, ...]:
    points = tuple(sorted((NoisePoint(*map(float, row)) for row in table), key=lambda point: point.iso))
    if any(min(p.iso, p.gain_dn_per_electron, p.read_sigma_dn) <= 0 for p in points):
        raise UsageError(f"camera file {where}: ISO, gain and read noise are positive.")
    if len({p.iso for p in points}) < len(points):
        raise UsageError(f"camera file {where}: an ISO stands twice in its noise table.")
    return points
