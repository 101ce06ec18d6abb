"""What a camera is: CFA, levels, colour matrices and noise by ISO, and the file that says so."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.cameras import fields
from rawsynth.cameras.color import ILLUMINANT_CCT_K, camera_color
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile, planes_of
from rawsynth.errors import InputAccessError, RawsynthError, UsageError
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.levels import Levels
from rawsynth.raw.sensor_noise import SensorNoise

FILE_SUFFIXES = (".toml", ".json")
_COLUMNS = {
    "iso", "gain_dn_per_electron", "read_sigma_dn", "tukey_scale_dn", "tukey_lambda", "row_sigma_dn",
    "column_sigma_dn", "color_bias_dn", "flags",
}  # fmt: skip
_NOISE_FIELDS = _COLUMNS | {"high_gain_isos", "tukey_lambdas", "log_spread", "nominal_iso"}
_LEVELS = ("black_level", "white_level", "bits")
_FIELDS = {"name", "cfa", "sources", "levels", "cam_from_xyz", "noise"}
# Of a colour matrix; real ones have entries up to 3.
_LARGEST = 1e6


@dataclass(frozen=True)
class CameraProfile:
    """A camera.

    Attributes:
        name: maker and model.
        cfa: Bayer layout at the sensor's top left.
        levels: black, white and bits of its files; ``nominal_levels`` says that they are an assumption.
        cam_from_xyz: XYZ to camera RGB, 3x3, by illuminant (``"D65"``, ``"A"``, ...); empty where unknown.
        noise: by ISO; ``None`` where unknown.
        sources: where the figures come from.
    """

    name: str
    cfa: str
    levels: Levels
    nominal_levels: bool = False
    cam_from_xyz: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    noise: NoiseProfile | None = None
    sources: tuple[str, ...] = ()

    def color(self, cct_k: float) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """Return the camera's colour under light of a correlated colour temperature in kelvin.

        Returns:
            ``cam_from_srgb`` (3x3, linear sRGB to camera RGB, rows sum to 1) and the white-balance gains (red, blue);
            see :func:`rawsynth.cameras.color.camera_color`.

        Raises:
            UsageError: the profile has no colour, or no light has that temperature.
        """
        if not self.cam_from_xyz:
            raise UsageError(
                f"camera {self.name!r} has no colour matrix; choose one that has (rawsynth cameras --with color), add "
                "cam_from_xyz to its file, or give the camera for the noise only (AddNoise, --noise-camera)."
            )
        return camera_color(self.cam_from_xyz, cct_k)

    def noise_profile(self) -> NoiseProfile:
        """Return the noise by ISO.

        Raises:
            UsageError: the profile has none.
        """
        if self.noise is None:
            raise UsageError(
                f"camera {self.name!r} has no noise by ISO; choose one that has (rawsynth cameras --with noise), "
                "calibrate it (rawsynth calibrate), or give shot and read instead of iso."
            )
        return self.noise

    def sensor_noise(
        self, iso: float, *, extrapolate: bool = False, rng: np.random.Generator | None = None
    ) -> SensorNoise:
        """Return the noise at an ISO on the unit scale; see :meth:`NoiseProfile.sensor_noise`."""
        return self.noise_profile().sensor_noise(
            iso, range_dn=self.levels.range_dn, cfa=self.cfa, extrapolate=extrapolate, rng=rng
        )


def load_camera_file(url: str) -> CameraProfile:
    """Read a camera from a TOML or JSON file, path or URL.

    Raises:
        UsageError: it cannot be read, or is no camera file; the message names the field.
    """
    try:
        text = storage.read_bytes(url).decode("utf-8")
    except InputAccessError as error:
        raise UsageError(
            f"camera file: {error}. `rawsynth calibrate` measures a camera, `rawsynth cameras` lists those that ship."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"camera file {url} is no text: {error}") from error
    try:
        data = json.loads(text) if url.lower().endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # No TOML or JSON, a number of thousands of digits, or lists within lists without end.
        raise UsageError(f"camera file {url}: {error}") from error
    return camera_from_dict(data, url)


def camera_from_dict(data: Any, where: str) -> CameraProfile:
    """Build a camera from what its file holds.

    Args:
        data: the file's content; docs/cameras.md has the format.
        where: the file, for messages.

    Raises:
        UsageError: a field is missing, unknown or wrong; the message names it.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"camera file {where}: wanted a table with name, cfa and levels; got {type(data).__name__}.")
    _refuse_unknown(data, _FIELDS, where, "")
    try:
        levels, noise = fields.table(data["levels"], "levels"), data.get("noise")
        _refuse_unknown(levels, {*_LEVELS, "nominal"}, where, "levels.")
        return CameraProfile(
            name=fields.text(data["name"], "name"),
            cfa=check_cfa(data["cfa"]),
            levels=Levels(*(fields.whole(levels[name], f"levels.{name}") for name in _LEVELS)),
            nominal_levels=fields.yes_or_no(levels.get("nominal", False), "levels.nominal"),
            cam_from_xyz=_matrices(fields.table(data.get("cam_from_xyz", {}), "cam_from_xyz"), where),
            noise=None if noise is None else _noise(fields.table(noise, "noise"), where),
            sources=fields.texts(data.get("sources", []), "sources"),
        )
    except RawsynthError as error:
        raise UsageError(str(error) if where in str(error) else f"camera file {where}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"camera file {where}: missing or wrong field {error}; see docs/cameras.md.") from error


def _matrices(data: Mapping[str, Any], where: str) -> dict[str, NDArray[np.float64]]:
    _refuse_unknown(data, set(ILLUMINANT_CCT_K), where, "cam_from_xyz.")
    matrices = {name: np.array(rows, dtype=np.float64) for name, rows in data.items()}
    for name, matrix in matrices.items():
        # No NaN passes the bound, and no determinant of what does overflows.
        if matrix.shape != (3, 3) or not (np.abs(matrix) <= _LARGEST).all() or abs(np.linalg.det(matrix)) < 1e-9:
            raise UsageError(
                f"camera file {where}: cam_from_xyz.{name} is a 3x3 matrix that can be inverted, with entries up to "
                f"{_LARGEST:,.0f}."
            )
    return matrices


def _noise(data: Mapping[str, Any], where: str) -> NoiseProfile:
    _refuse_unknown(data, _NOISE_FIELDS, where, "noise.")
    named = {name: f"noise.{name}, one entry an ISO," for name in sorted(_COLUMNS & set(data))}
    columns = {name: fields.items(data[name], words) for name, words in named.items()}
    for name in ("iso", "gain_dn_per_electron", "read_sigma_dn"):
        if name not in columns:
            raise UsageError(f"camera file {where}: noise.{name} is missing; it has one entry an ISO.")
    count = len(columns["iso"])
    for name, column in columns.items():
        if len(column) != count:
            wanted = f"a list of {count} entries, one an ISO"
            raise UsageError(f"camera file {where}: noise.{name} is {wanted}; got {column!r}.")
    return NoiseProfile(
        points=tuple(_point({name: column[i] for name, column in columns.items()}) for i in range(count)),
        high_gain_isos=fields.numbers(data.get("high_gain_isos", []), "noise.high_gain_isos"),
        tukey_lambdas=fields.numbers(data.get("tukey_lambdas", []), "noise.tukey_lambdas"),
        log_spread={
            name: fields.number(value, f"noise.log_spread.{name}")
            for name, value in fields.table(data.get("log_spread", {}), "noise.log_spread").items()
        },
        nominal_iso=fields.yes_or_no(data.get("nominal_iso", False), "noise.nominal_iso"),
    )


def _point(entry: dict[str, Any]) -> NoisePoint:
    values: dict[str, Any] = {"flags": fields.texts(entry.pop("flags", []), "noise.flags at an ISO")}
    for name, value in entry.items():
        plane_wise = name in ("gain_dn_per_electron", "read_sigma_dn", "tukey_scale_dn", "color_bias_dn")
        where = f"an entry of noise.{name}"
        values[name] = planes_of(fields.number_or_four(value, where)) if plane_wise else fields.number(value, where)
    return NoisePoint(**values)


def _refuse_unknown(data: Mapping[str, Any], known: set[str], where: str, prefix: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise UsageError(
            f"camera file {where}: unknown field {prefix}{unknown[0]}; known: {', '.join(sorted(known))}."
        )
