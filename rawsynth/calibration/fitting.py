"""Captures in, figures out: one set of one ISO, or several of one sensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from rawsynth.calibration.bootstrap import block_weights
from rawsynth.calibration.burst import BurstDarks, calibrate_burst
from rawsynth.calibration.darks import DarkSeries
from rawsynth.calibration.emva1288 import LEAST_DARK_VARIANCE_DN2, fit_emva1288
from rawsynth.calibration.measure import (
    Array,
    TileSums,
    checked_pairs,
    mean_of_pairs,
    measure_level,
    pair_sums,
    plane_curve,
)
from rawsynth.calibration.photon_transfer import DarkLevel, dark_level, fit_weighted
from rawsynth.calibration.result import Calibration, IsoCalibration, PlaneCalibration
from rawsynth.calibration.sets import CaptureSet, FrameReader, Shot
from rawsynth.errors import UsageError
from rawsynth.registry import pick

FITS = {"weighted": "weighted", "emva1288": "emva1288"}
"""Photon-transfer fits by name."""

# Shares: of a level's pixels at its largest value for that to be saturation, of white that the levels should reach,
# of dark pixels at 0.
_PILED_UP, _LEAST_REACH, _ZEROS = 0.01, 0.2, 0.01


def calibrate_sets(sets: Iterable[CaptureSet], *, fit: str = "weighted", seed: int = 0) -> Calibration:
    """Measure the noise of one sensor from its captures.

    Args:
        sets: one an ISO; each with flats and darks, or with a burst.
        fit: ``"weighted"``, or ``"emva1288"`` exactly as the standard does. A burst has a fit of its own.
        seed: of the bootstrap.

    Raises:
        UsageError: nothing to measure, two sets of one ISO, or frames missing that a fit needs.
        SampleError: what the frames show is no noise of a sensor; the message says what to capture instead.
    """
    pick(FITS, fit, "fit")
    found: list[IsoCalibration] = []
    for captures in sets:
        twin = next((one for one in found if one.iso == captures.iso), None)
        if twin is not None:
            raise UsageError(
                f"{captures.name} and {twin.name} are both ISO {captures.iso}: one set is one ISO with all its levels. "
                "Put them together, or calibrate them apart."
            )
        found.append(calibrate_set(captures, fit=fit, seed=seed))
    if not found:
        raise UsageError("there is nothing to calibrate: give flats and darks, or a burst of a static scene.")
    return Calibration(tuple(sorted(found, key=lambda one: one.iso or 0.0)))


def calibrate_set(captures: CaptureSet, *, fit: str = "weighted", seed: int = 0) -> IsoCalibration:
    """Measure one set; arguments and errors as for :func:`calibrate`."""
    pick(FITS, fit, "fit")
    rng = np.random.default_rng(seed)
    if captures.burst and captures.levels:
        raise UsageError(f"{captures.name}: a set is flat fields or a burst, and this one has both; separate them.")
    if captures.burst:
        return _Measurement(captures).calibrate_burst(rng)
    if len(captures.levels) < 2:
        raise UsageError(
            f"{captures.name}: {len(captures.levels)} light levels; photon transfer needs flats at several exposures, "
            "8 or more from 1 % of white to saturation, two frames of each."
        )
    return _Measurement(captures).calibrate(fit, rng)


class _Measurement:
    """Reads one set's frames, each once, and fits its planes."""

    def __init__(self, captures: CaptureSet) -> None:
        self.captures = captures
        self.reader = FrameReader(captures)
        self.warnings: list[str] = []
        self.clip_dn = self._clip()
        self.series = DarkSeries(captures)
        self._measured: dict[tuple[str, ...], TileSums] = {}

    def calibrate(self, fit: str, rng: np.random.Generator) -> IsoCalibration:
        captures = self.captures
        own = self._level_darks()
        bright = []
        for index, level in enumerate(captures.levels):
            offset = self._black() if own is None else _means(own[index])
            what = f"{captures.name}, level {level.name}"
            bright.append(
                measure_level(self.reader, captures, level.bright, what, offset=offset, clip_dn=self.clip_dn)
            )
        tiles = bright[0].count.shape[1]
        weights = block_weights(tiles, rng=rng)
        planes = []
        for k, name in enumerate(captures.planes):
            curve = plane_curve(captures.levels, bright, own, k, weights, white=fit == "weighted")
            if fit == "emva1288":
                planes.append(fit_emva1288(curve, name, tiles=tiles))
                continue
            dark = self._dark_level(own, k, weights)
            planes.append(
                fit_weighted(curve, dark, name, tiles=tiles, black_level=dark.offset_dn, white_level=self.clip_dn)
            )
        self._warn(planes)
        return IsoCalibration(
            name=captures.name,
            iso=captures.iso,
            cfa=captures.cfa,
            fit=fit,
            white_level=self.clip_dn,
            bits=captures.bits,
            planes=tuple(planes),
            dark=self.series.noise(rng) if self.series.frames else None,
            warnings=tuple(self.warnings),
        )

    def calibrate_burst(self, rng: np.random.Generator) -> IsoCalibration:
        captures = self.captures
        shots = captures.dark or captures.static_dark
        darks = BurstDarks(self._dark(shots, in_series=True), self.series) if shots else None
        found = calibrate_burst(captures, darks, clip_dn=self.clip_dn, rng=rng)
        self._warn(found.planes)
        return replace(found, warnings=(*found.warnings, *self.warnings))

    def _level_darks(self) -> list[TileSums] | None:
        """Return the dark frames' sums of each level, its own or else the set's; ``None`` where there are none."""
        captures = self.captures
        sets = [shots for shots in (captures.dark, captures.static_dark) if shots]
        common = [self._dark(shots, in_series=True) for shots in sets]
        bare = [level.name for level in captures.levels if not level.dark]
        if len(bare) == len(captures.levels) and not common:
            return None
        if bare and not common:
            raise UsageError(
                f"{captures.name}: no dark frames for level {bare[0]}, while others have some; capture two with the "
                "lens capped at every exposure time, or a series at one short time for all."
            )
        return [self._dark(one.dark, in_series=not sets) if one.dark else common[0] for one in captures.levels]

    def _dark(self, shots: tuple[Shot, ...], *, in_series: bool) -> TileSums:
        """Measure dark frames, once however many levels share them."""
        names = tuple(shot.name for shot in shots)
        if names not in self._measured:
            measured = []
            pairs = checked_pairs(self.reader, shots, f"{self.captures.name}, dark frames", self.clip_dn)
            for index, (a, b) in enumerate(pairs):
                measured.append(pair_sums(self.captures, a, b, offset=None, clip_dn=self.clip_dn))
                if in_series:
                    self.series.add(a, b, measured[-1], new_series=index == 0)
            self._measured[names] = mean_of_pairs(measured)
        return self._measured[names]

    def _dark_level(self, own: list[TileSums] | None, plane: int, weights: Array) -> DarkLevel:
        """Return a plane's noise without light: of the set's dark frames, or of its levels' at no exposure time."""
        captures = self.captures
        shared = captures.dark or (() if any(level.dark for level in captures.levels) else captures.static_dark)
        if own is None:
            return DarkLevel(None, float(self._black()[plane]))
        if shared:
            return dark_level(captures.levels[:1], [self._dark(shared, in_series=True)], plane, weights)
        return dark_level(captures.levels, own, plane, weights)

    def _black(self) -> Array:
        if self.captures.black_level is None:
            raise UsageError(
                f"{self.captures.name}: neither dark frames nor a black level; capture two or more frames with the "
                "lens capped, or give the black level."
            )
        return np.full(len(self.captures.planes), float(self.captures.black_level))

    def _clip(self) -> int:
        """Return the clipping value: as stated, or the largest value if many pixels of one level have it."""
        if self.captures.clip_dn is not None:
            return self.captures.clip_dn
        largest, share, ceiling = 0, 0.0, 0
        shots = [level.bright[0] for level in self.captures.levels if level.bright] or self.captures.burst[:1]
        for shot in shots:
            frame = self.reader.read(shot)
            ceiling = int(np.iinfo(frame.dtype).max)
            if frame.max() >= largest:
                largest, share = int(frame.max()), float((frame == frame.max()).mean())
        clip = largest if share > _PILED_UP else ceiling
        self.warnings.append(
            f"nothing states the white level; it was taken to be {clip} DN"
            + (", where values pile up. " if clip == largest else ", of the data type. ")
            + "Give it, or the bits."
        )
        return clip

    def _warn(self, planes: Sequence[PlaneCalibration]) -> None:
        for plane in planes:
            used = [point.signal_dn for point in plane.points if not point.excluded]
            span = self.clip_dn - plane.dark_offset_dn
            if plane.dark_sigma_dn.value**2 <= LEAST_DARK_VARIANCE_DN2:
                self.warnings.append(
                    f"plane {plane.plane}: the dark variance is at most {LEAST_DARK_VARIANCE_DN2} DN^2: quantisation "
                    "hides the read noise (EMVA1288): take it for an upper limit, or use more gain or bits."
                )
            if max(used) < _LEAST_REACH * span:
                self.warnings.append(
                    f"plane {plane.plane}: the brightest level used is at {100 * max(used) / span:.2g} % of white; "
                    "brighter flats, up to 70 %, would show whether the sensor is linear."
                )
            off = [f"{p.level} ({p.excluded})" for p in plane.points if p.excluded and _is_fault(p.excluded)]
            if off:
                self.warnings.append(f"plane {plane.plane}: left out {', '.join(off)}.")
        if self.series.zeros > _ZEROS:
            self.warnings.append(
                f"{100 * self.series.zeros:.2g} % of the dark pixels are 0 DN: the camera cuts off the lower side of "
                "its noise, so read noise comes out too low; raise its black level (offset)."
            )


def _is_fault(reason: str) -> bool:
    return not reason.startswith(("saturated", "above"))


def _means(sums: TileSums) -> Array:
    return np.asarray(sums.total.sum(axis=1) / sums.count.sum(axis=1))
