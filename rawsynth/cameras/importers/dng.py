"""Camera profiles from DNG files: levels, layout, colour matrices and the NoiseProfile tag (DNG specification 1.4)."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile
from rawsynth.cameras.profile import CameraProfile
from rawsynth.errors import SampleError, UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.levels import Levels
from rawsynth.raw.noise_params import (
    QUANTIZATION_VARIANCE_DN2,
    Planes,
    gain_from_shot,
    planes_from_dng,
    sigma_from_read,
)

_CFA_PHOTOMETRIC, _LINEAR_PHOTOMETRIC = 32803, 34892
_CFA_PATTERN, _UNIQUE_MODEL, _MODEL, _BLACK, _WHITE, _NOISE = 33422, 50708, 272, 50714, 50717, 51041
_MATRICES = ((50721, 50723, 50778), (50722, 50724, 50779))
_ANALOG_BALANCE, _EXIF, _ISO = 50727, 34665, 34855
_RATIONALS = (5, 10)
# EXIF LightSource values that a profile has colour at. Adobe's DNG SDK takes tungsten light for illuminant A.
_ILLUMINANTS = {3: "A", 17: "A", 20: "D55", 21: "D65", 22: "D75", 23: "D50"}
_LIGHTS = {
    1: "daylight", 2: "fluorescent", 4: "flash", 10: "cloudy", 18: "B", 19: "C", 24: "ISO studio tungsten"
}  # fmt: skip


@dataclass(frozen=True)
class _DngTags:
    """What one DNG says of its camera."""

    url: str
    name: str
    cfa: str
    levels: Levels
    black_differs: bool
    cam_from_xyz: Mapping[str, NDArray[np.float64]]
    left_out: tuple[str, ...]
    point: NoisePoint | None


def import_dng(urls: Sequence[str], model: str | None = None) -> CameraProfile:
    """Read a camera from its DNG files, the noise from one file an ISO.

    Taken are UniqueCameraModel, CFAPattern, BlackLevel (the mean, if the four differ), WhiteLevel, the colour matrices
    (with AnalogBalance and CameraCalibration) under illuminant A (17, or 3, tungsten) or D65 (21), and NoiseProfile
    (51041), S and O of the file's ISO. Matrices under other illuminants are left out, which ``sources`` says. O = 0
    stands at the quantisation variance, flagged ``"read_floored"``.

    Args:
        urls: files of one camera; of two with one ISO the noise has to agree.
        model: name of the profile instead of UniqueCameraModel.

    Raises:
        InputAccessError: a file cannot be read.
        SampleError: a file is no DNG of a Bayer sensor.
        UsageError: no files, or files that do not belong together; or tifffile is not installed.
    """
    if not urls:
        raise UsageError("import from DNG takes one file or more, one an ISO.")
    files = [_read(url) for url in urls]
    first = files[0]
    for other in files[1:]:
        for what in ("name", "cfa", "levels"):
            if getattr(other, what) != getattr(first, what):
                raise UsageError(
                    f"{other.url} has {what} {getattr(other, what)}, {first.url} {getattr(first, what)}; "
                    "give files of one camera, with one CFA and one bit depth."
                )
    points: dict[float, NoisePoint] = {}
    for file in files:
        if file.point is not None and points.setdefault(file.point.iso, file.point) != file.point:
            raise UsageError(f"{file.url}: another file has ISO {file.point.iso:g} with other noise; give one an ISO.")
    matrices = {name: matrix for file in files for name, matrix in file.cam_from_xyz.items()}
    left_out = tuple(dict.fromkeys(note for file in files for note in file.left_out))
    black = ("levels: BlackLevel differs by site, this is the mean",) if first.black_differs else ()
    return CameraProfile(
        name=model or first.name,
        cfa=first.cfa,
        levels=first.levels,
        cam_from_xyz=matrices,
        noise=NoiseProfile(tuple(points[iso] for iso in sorted(points))) if points else None,
        sources=(f"tags of {len(files)} DNG file{'s' if len(files) > 1 else ''}", *black, *left_out),
    )


def _read(url: str) -> _DngTags:
    tifffile = _tifffile()
    data = storage.read_bytes(url)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            pages = [page for top in tiff.pages for page in (top, *(top.pages or ()))]
            tags = [{tag.code: _value(tag) for tag in page.tags} for page in pages]
    except (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise SampleError(f"{url}: no readable DNG ({error}).") from error
    raw = next((page for page in tags if page.get(262) == _CFA_PHOTOMETRIC), None)
    if raw is None:
        linear = any(page.get(262) == _LINEAR_PHOTOMETRIC for page in tags)
        what = "is demosaiced already (linear DNG)" if linear else "has no image of a colour filter array"
        raise SampleError(f"{url} {what}; give a DNG with the sensor's mosaic.")
    both = {**tags[0], **raw}
    cfa = "".join("RGB"[color] if color < 3 else "?" for color in bytes(raw.get(_CFA_PATTERN, b"")))
    if cfa not in BAYER_LAYOUTS:
        raise SampleError(f"{url}: CFAPattern {cfa or 'is missing'}; a profile is of a 2x2 Bayer sensor.")
    try:
        levels, black_differs = _levels(both)
        matrices, left_out = _matrices(tags[0])
    except ValueError as error:
        raise SampleError(f"{url}: levels or colour matrices are damaged ({error}).") from error
    exif = both.get(_EXIF) if isinstance(both.get(_EXIF), Mapping) else {}
    iso = _numbers(both.get(_ISO, (exif or {}).get("ISOSpeedRatings", ())))
    return _DngTags(
        url=url,
        name=str(both.get(_UNIQUE_MODEL) or both.get(_MODEL) or "unnamed").strip("\0 "),
        cfa=cfa,
        levels=levels,
        black_differs=black_differs,
        cam_from_xyz=matrices,
        left_out=left_out,
        point=_noise(both, cfa, levels, iso, url),
    )


def _levels(tags: Mapping[int, Any]) -> tuple[Levels, bool]:
    depth = max(_numbers(tags.get(258, 16)))
    white = int(max(_numbers(tags.get(_WHITE, 2**depth - 1))))
    black = np.asarray(_numbers(tags.get(_BLACK, 0)), dtype=np.float64)
    return Levels(round(float(black.mean())), white, max(8, white.bit_length())), bool(np.ptp(black) > 0)


def _matrices(tags: Mapping[int, Any]) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Return XYZ-to-camera matrices by illuminant: AnalogBalance x CameraCalibration x ColorMatrix."""
    found: dict[str, NDArray[np.float64]] = {}
    left_out: list[str] = []
    balance = np.diag(_numbers(tags.get(_ANALOG_BALANCE, [1.0, 1.0, 1.0])))
    for matrix_tag, calibration_tag, light_tag in _MATRICES:
        if matrix_tag not in tags:
            continue
        light = int(_numbers(tags.get(light_tag, 0))[0])
        own = np.reshape(_numbers(tags.get(calibration_tag, np.eye(3).ravel())), (3, 3))
        if light in _ILLUMINANTS:
            found[_ILLUMINANTS[light]] = balance @ own @ np.reshape(_numbers(tags[matrix_tag]), (3, 3))
        else:
            left_out.append(f"colour: a matrix under {_LIGHTS.get(light, f'light {light}')} was left out")
    return found, tuple(left_out)


def _noise(tags: Mapping[int, Any], cfa: str, levels: Levels, iso: Sequence[float], url: str) -> NoisePoint | None:
    if _NOISE not in tags:
        return None
    if not iso or not iso[0] > 0:
        raise SampleError(f"{url} has a NoiseProfile but no ISO (EXIF ISOSpeedRatings) that it belongs to.")
    try:
        shot, read = planes_from_dng([float(value) for value in _numbers(tags[_NOISE])], cfa)
    except UsageError as error:
        raise SampleError(f"{url}: {error}") from error
    floor = QUANTIZATION_VARIANCE_DN2**0.5
    sigmas = [sigma_from_read(value, levels.range_dn) for value in read]
    return NoisePoint(
        iso=float(iso[0]),
        gain_dn_per_electron=_planes([gain_from_shot(value, levels.range_dn) for value in shot]),
        read_sigma_dn=_planes([sigma or floor for sigma in sigmas]),
        flags=() if all(sigmas) else ("read_floored",),
    )


def _planes(values: Sequence[float]) -> Planes:
    first, second, third, fourth = values
    return first, second, third, fourth


def _numbers(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list | np.ndarray) else [value]


def _value(tag: Any) -> Any:
    """Return a tag's value; rationals, which tifffile gives as numerators and denominators in turn, as numbers."""
    if int(tag.dtype) not in _RATIONALS:
        return tag.value
    pairs = np.asarray(tag.value, dtype=np.float64).reshape(-1, 2)
    return list(np.divide(pairs[:, 0], pairs[:, 1], out=np.full(len(pairs), np.nan), where=pairs[:, 1] != 0))


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UsageError("reading DNG tags needs tifffile: pip install 'rawsynth[calibrate]'") from error
    return tifffile
