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
from dataclasses import replace
from typing import Any

from rawsynth import storage
from rawsynth.cameras.builtin import without_noise
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile
from rawsynth.cameras.profile import CameraProfile
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2, gain_from_shot

GREEN_VARIANCE_RATIO = 0.08
"""What darktable's measure leaves of the variance of green's RAW noise."""

_HALF_BIN = 1 / 600
_OFF_TREND = 1.25
_FALL_OF_A_SWITCH = 0.85
SOURCE = "noise: darktable's noiseprofiles.json (green; a and b brought back to the RAW, docs/cameras.md)"


def import_darktable(url: str, model: str) -> CameraProfile:
    """Read one camera's noise by ISO from darktable's table; see the head of this file for what its figures are.

    K and read noise are in DN of the levels that the built-in table has for the camera, or nominal ones. Points are
    flagged ``"read_floored"`` where no read noise is left of b (1,225 of the 7,045 settings of 374 cameras have b <= 0
    in some colour as printed): it stands at the quantisation variance; and ``"gain_off_trend"`` where K per ISO is
    more than a quarter off the table's median, as noise reduction in the file or a bad exposure do.

    Args:
        url: the JSON file, path or URL.
        model: maker and model, ``"Nikon D7200"``.

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
    settings: dict[float, list[tuple[float, float]]] = {}
    for setting in cameras[name]:
        iso, a, b = _green(setting, f"{url}: {name}")
        settings.setdefault(iso, []).append((a, b))
    # Some cameras were measured several times: the middle one by a.
    chosen = {iso: sorted(found)[len(found) // 2] for iso, found in settings.items()}
    range_dn = camera.levels.range_dn
    points = _flag_off_trend([_point(iso, *chosen[iso], range_dn=range_dn) for iso in sorted(chosen)])
    noise = NoiseProfile(tuple(points), high_gain_isos=gain_switches(points))
    return replace(camera, noise=noise, sources=(SOURCE, *camera.sources))


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
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{url}: no noiseprofiles.json of darktable ({type(error).__name__}: {error}).") from error
    return {model if model.startswith(maker) else f"{maker} {model}": settings for maker, model, settings in found}


def _green(setting: Mapping[str, Any], where: str) -> tuple[float, float, float]:
    try:
        iso, a, b = float(setting["iso"]), float(setting["a"][1]), float(setting["b"][1])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{where}: a setting needs iso and three a and b; got {dict(setting)}.") from error
    if not a > 0:
        raise UsageError(f"{where}: a of green is {a:g} at ISO {iso:g}, but noise grows with light.")
    return iso, a, b


def _point(iso: float, a: float, b: float, *, range_dn: float) -> NoisePoint:
    gain = gain_from_shot(a / GREEN_VARIANCE_RATIO, range_dn)
    variance_dn2 = (b - a * _HALF_BIN) / GREEN_VARIANCE_RATIO * range_dn**2
    floored = not variance_dn2 > QUANTIZATION_VARIANCE_DN2
    sigma = max(variance_dn2, QUANTIZATION_VARIANCE_DN2) ** 0.5
    return NoisePoint(iso, (gain,) * 4, (sigma,) * 4, flags=("read_floored",) if floored else ())


def _flag_off_trend(points: Sequence[NoisePoint]) -> list[NoisePoint]:
    per_iso = [point.gain_dn_per_electron[0] / point.iso for point in points]
    middle = statistics.median(per_iso)
    flagged = []
    for point, ratio in zip(points, per_iso, strict=True):
        on_trend = middle / _OFF_TREND <= ratio <= middle * _OFF_TREND
        flagged.append(point if on_trend else replace(point, flags=(*point.flags, "gain_off_trend")))
    return flagged
