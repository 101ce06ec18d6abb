"""A camera as a file: TOML text for people to read and edit, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rawsynth.cameras.noise_profile import NoiseProfile
from rawsynth.cameras.profile import CameraProfile
from rawsynth.raw.noise_params import Planes
from rawsynth.raw.sensor_noise import NO_BIAS


def camera_to_dict(profile: CameraProfile) -> dict[str, Any]:
    """Return what :func:`rawsynth.cameras.profile.camera_from_dict` reads, JSON-ready."""
    levels = profile.levels.to_json()
    data: dict[str, Any] = {"name": profile.name, "cfa": profile.cfa, "sources": list(profile.sources)}
    data["levels"] = {**levels, "nominal": profile.nominal_levels}
    if profile.cam_from_xyz:
        data["cam_from_xyz"] = {name: matrix.tolist() for name, matrix in profile.cam_from_xyz.items()}
    if profile.noise is not None:
        data["noise"] = _noise_to_dict(profile.noise)
    return data


def _noise_to_dict(noise: NoiseProfile) -> dict[str, Any]:
    points = noise.points
    data: dict[str, Any] = {
        "iso": [point.iso for point in points],
        "gain_dn_per_electron": [_short(point.gain_dn_per_electron) for point in points],
        "read_sigma_dn": [_short(point.read_sigma_dn) for point in points],
    }
    scales = [_short(point.tukey_scale_dn) for point in points if point.tukey_scale_dn is not None]
    if scales:
        data["tukey_scale_dn"] = scales
        shapes = {"tukey_lambdas": list(noise.tukey_lambdas)}
        data |= shapes if noise.tukey_lambdas else {"tukey_lambda": [point.tukey_lambda for point in points]}
    for name in ("row_sigma_dn", "column_sigma_dn"):
        if any(getattr(point, name) for point in points):
            data[name] = [getattr(point, name) for point in points]
    if any(point.color_bias_dn != NO_BIAS for point in points):
        data["color_bias_dn"] = [_short(point.color_bias_dn) for point in points]
    if any(point.flags for point in points):
        data["flags"] = [list(point.flags) for point in points]
    if noise.high_gain_isos:
        data["high_gain_isos"] = list(noise.high_gain_isos)
    if noise.log_spread:
        data["log_spread"] = dict(noise.log_spread)
    if noise.nominal_iso:
        data["nominal_iso"] = True
    return data


def _short(planes: Planes) -> float | list[float]:
    return planes[0] if len(set(planes)) == 1 else list(planes)


def format_camera(profile: CameraProfile, *, comment: str = "") -> str:
    """Return a camera as TOML, to be read by :func:`rawsynth.cameras.load_camera`.

    Args:
        profile: what to write; every figure comes back exactly.
        comment: text for the head of the file.
    """
    data = camera_to_dict(profile)
    # TOML has no control characters in comments, and no line ends but its own.
    plain = ["".join(c if c.isprintable() else " " for c in line) for line in comment.splitlines()]
    lines = [f"# {line}".rstrip() for line in plain]
    lines += [f"{name} = {_value(data[name])}" for name in ("name", "cfa")]
    lines += ["sources = [", *(f"    {_value(source)}," for source in data["sources"]), "]", ""]
    lines += ["[levels]", *(f"{name} = {_value(value)}" for name, value in data["levels"].items())]
    if "cam_from_xyz" in data:
        lines += ["", "# XYZ to camera RGB under the illuminant, row-major.", "[cam_from_xyz]"]
        lines += [f"{name} = {_value(matrix)}" for name, matrix in data["cam_from_xyz"].items()]
    if "noise" in data:
        spread = data["noise"].pop("log_spread", {})
        lines += ["", "# One entry an ISO: a number, or four in the CFA's reading order.", "[noise]"]
        lines += [_column(name, value) for name, value in data["noise"].items()]
        if spread:
            lines += ["", "# Standard deviation of the natural logarithm about the table.", "[noise.log_spread]"]
            lines += [f"{name} = {_value(value)}" for name, value in spread.items()]
    return "\n".join(lines) + "\n"


def _column(name: str, value: Any) -> str:
    text = f"{name} = {_value(value)}"
    if len(text) <= 100 or not isinstance(value, list):
        return text
    return "\n".join([f"{name} = [", *(f"    {_value(item)}," for item in value), "]"])


def _value(value: Any) -> str:
    if isinstance(value, str):
        # TOML's basic strings escape as JSON does, and JSON's escapes are all TOML's.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    # NumPy's float64 is a float that does not print as one.
    return repr(float(value)) if isinstance(value, float) else repr(value)
