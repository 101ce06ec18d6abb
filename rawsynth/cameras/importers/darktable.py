"""Noise by ISO from darktable's ``noiseprofiles.json``.

What its a and b are (tools/noise/noiseprofile.c, darktable-gen-noiseprofile and profiling-shot.xmp of darktable):
``var(x) = a x + b`` for R, G and B on the unit scale, but **not of the RAW**. The photograph is demosaiced first; the
deviation is 1/0.6745 of the median ``|HH|`` of one Haar step ``HH = (p00 - p01 - p10 + p11) / 4``, by 300 bins of
brightness; and a line through its square over the bins' *lower edges* gives a and b. So, for the RAW's S and O:

1. ``HH`` of white noise has a quarter of its variance, and neighbours in a demosaiced plane share most of theirs. For
   green both together leave 0.077 of S with dcraw's PPG, 0.074 with VNG and 0.069 with AHD (simulated); the cameras
   that others measured on the RAW give 0.08 (Nikon D850 0.083 from ISO 800 up, ELD; Sony A7S 0.080, as PMN's A7S2).
   :data:`GREEN_VARIANCE_RATIO` is 0.08. Taken as they stand, a and b have a twelfth of the variance.
2. A bin's mean is half a bin, 1/600, above its edge, so b holds ``a / 600`` too much: often most of it.
3. Demosaicing brings green's noise into red and blue (a of red is 2.3 times that of green where the RAW's are equal),
   so only green is used, for all planes: K is the sensor's, whatever the filter. darktable uses green only, too.

What comes out agrees with what others measured on the RAW (ELD, PMN) within a tenth in K for the Nikon D850 and the
Sony A7S, and is 5 to 60 % high for three Canon bodies, most at low ISO. Read noise is what is left of b, a small
difference: 0.2 to 1.4 times ELD's from ISO 1600 up, and below often nothing is left. Entries of bodies since 2020 may
come out low, as darktable's default demosaicing changed (D780 against Z 6, one sensor: K is 0.65 of it). Calibrate your
own camera for better (``rawsynth calibrate``).
"""

from __future__ import annotations

import difflib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.cameras.builtin import without_noise
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile, planes_of
from rawsynth.cameras.profile import CameraProfile
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2, gain_from_shot

GREEN_VARIANCE_RATIO = 0.08
"""What darktable's measure leaves of the variance of green's RAW noise."""

_HALF_BIN = 1 / 600
_OFF_TREND = 1.25
_FALL_OF_A_SWITCH = 0.85
PRINTED = "noise: darktable's noiseprofiles.json (a and b as printed; they are not the RAW's, docs/cameras.md)"
SOURCE = "noise: darktable's noiseprofiles.json (green; a and b brought back to the RAW, docs/cameras.md)"


def import_darktable(url: str, model: str, *, as_printed: bool = False) -> CameraProfile:
    """Read one camera's noise by ISO from darktable's table; see the head of this file for what its figures are.

    K and read noise are in DN of the levels that the built-in table has for the camera, or nominal ones. Points are
    flagged ``"read_floored"`` where no read noise is left of b (1,225 of the 7,045 settings of 374 cameras have b <= 0
    in some colour as printed): it stands at the quantisation variance; and ``"gain_off_trend"`` where K per ISO is
    more than a quarter off the table's median, as noise reduction in the file or a bad exposure do.

    Args:
        url: the JSON file, path or URL.
        model: maker and model, ``"Nikon D7200"``.
        as_printed: take a and b of each colour for S and O as they stand, which darktable does not mean.

    Raises:
        InputAccessError: the file cannot be read.
        UnknownNameError: it has no such camera; the message names close ones.
        UsageError: it is no such file, or states a <= 0 for green at an ISO of this camera.
    """
    cameras = _table(url)
    name = {name.lower(): name for name in cameras}.get(model.lower())
    if name is None:
        near = difflib.get_close_matches(model, cameras, n=5, cutoff=0.4)
        raise UnknownNameError(f"{url} has no camera {model!r}; near: {', '.join(near) or 'none'}.")
    camera = without_noise(name)
    settings: dict[float, list[_Setting]] = {}
    for entry in cameras[name]:
        setting = _setting(entry, f"{url}: {name}", "RGB" if as_printed else "G")
        settings.setdefault(setting.iso, []).append(setting)
    # Some cameras were measured several times: the middle one by a.
    chosen = [sorted(found, key=lambda one: (one.a[1], one.b[1]))[len(found) // 2] for found in settings.values()]
    points = _flag_off_trend([_point(one, camera, as_printed) for one in sorted(chosen, key=lambda one: one.iso)])
    noise = NoiseProfile(tuple(points), high_gain_isos=gain_switches(points))
    return replace(camera, noise=noise, sources=(PRINTED if as_printed else SOURCE, *camera.sources))


def gain_switches(points: Sequence[NoisePoint]) -> tuple[float, ...]:
    """Find the first ISO of each further conversion gain.

    Within one conversion gain read noise in DN does not fall while the ISO rises: what comes before the amplifier grows
    with it, what comes after stays. So the gain may have been switched at an ISO if read noise is more than 15 % lower
    a full stop up for all settings a stop apart that have the ISO between them, and two at least; of neighbours of
    which that is true, it was at the one with the largest fall from the setting before. Steps of less than a stop are
    not compared, as many cameras make such ISOs by scaling; nor are floored points, and ISOs at which K stays.
    """
    known = [point for point in sorted(points, key=lambda point: point.iso) if "read_floored" not in point.flags]
    stops = [
        (low.iso, high.iso, high.read_sigma_dn[0] / low.read_sigma_dn[0])
        for low in known
        for high in known
        if 1.9 < high.iso / low.iso < 2.1 and high.gain_dn_per_electron[0] > 1.5 * low.gain_dn_per_electron[0]
    ]
    found: list[float] = []
    deepest, last = 0.0, -2
    for index, (before, point) in enumerate(zip(known, known[1:], strict=False)):
        ratios = [ratio for low, high, ratio in stops if low < point.iso <= high]
        if len(ratios) < 2 or max(ratios) >= _FALL_OF_A_SWITCH:
            continue
        fall = point.read_sigma_dn[0] / before.read_sigma_dn[0]
        if index != last + 1:
            found.append(point.iso)
            deepest = fall
        elif fall < deepest:
            found[-1], deepest = point.iso, fall
        last = index
    return tuple(found)


def _table(url: str) -> dict[str, list[Mapping[str, Any]]]:
    try:
        makers = json.loads(storage.read_bytes(url))["noiseprofiles"]
        found = [(maker["maker"], entry["model"], entry["profiles"]) for maker in makers for entry in maker["models"]]
        named = [(str(maker), str(model), list(settings)) for maker, model, settings in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{url}: no noiseprofiles.json of darktable ({type(error).__name__}: {error}).") from error
    return {model if model.startswith(maker) else f"{maker} {model}": settings for maker, model, settings in named}


@dataclass(frozen=True)
class _Setting:
    """One entry of the table: a and b of R, G and B."""

    iso: float
    a: tuple[float, ...]
    b: tuple[float, ...]


def _setting(entry: Mapping[str, Any], where: str, used: str) -> _Setting:
    try:
        a, b = (tuple(float(entry[name][k]) for k in range(3)) for name in ("a", "b"))
        iso = float(entry["iso"])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise UsageError(f"{where}: a setting needs iso and three a and b; got {str(entry)[:200]}.") from error
    for color in used:
        if not a["RGB".index(color)] > 0:
            name = {"R": "red", "G": "green", "B": "blue"}[color]
            value = a["RGB".index(color)]
            raise UsageError(f"{where}: a of {name} is {value:g} at ISO {iso:g}, but noise grows with light.")
    return _Setting(iso, a, b)


def _point(setting: _Setting, camera: CameraProfile, as_printed: bool) -> NoisePoint:
    range_dn = camera.levels.range_dn
    if as_printed:
        shot, read = ([values["RGB".index(color)] for color in camera.cfa] for values in (setting.a, setting.b))
    else:
        shot = [setting.a[1] / GREEN_VARIANCE_RATIO] * 4
        read = [(setting.b[1] - setting.a[1] * _HALF_BIN) / GREEN_VARIANCE_RATIO] * 4
    variances = [value * range_dn**2 for value in read]
    floored = any(not variance > QUANTIZATION_VARIANCE_DN2 for variance in variances)
    return NoisePoint(
        setting.iso,
        planes_of([gain_from_shot(value, range_dn) for value in shot]),
        planes_of([max(variance, QUANTIZATION_VARIANCE_DN2) ** 0.5 for variance in variances]),
        flags=("read_floored",) if floored else (),
    )


def _flag_off_trend(points: Sequence[NoisePoint]) -> list[NoisePoint]:
    per_iso = [point.gain_dn_per_electron[0] / point.iso for point in points]
    middle = statistics.median(per_iso)
    flagged = []
    for point, ratio in zip(points, per_iso, strict=True):
        on_trend = middle / _OFF_TREND <= ratio <= middle * _OFF_TREND
        flagged.append(point if on_trend else replace(point, flags=(*point.flags, "gain_off_trend")))
    return flagged
