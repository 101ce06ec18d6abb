"""A camera calibrated from a folder of captures: every ISO measured, the profile made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rawsynth.calibration.assembly import Stated
from rawsynth.calibration.fitting import FITS, calibrate_set
from rawsynth.calibration.captures import Captures, open_captures
from rawsynth.calibration.inspection import Progress
from rawsynth.calibration.profiles import to_profile
from rawsynth.calibration.result import Calibration, IsoCalibration
from rawsynth.cameras import CameraProfile, load_camera
from rawsynth.errors import RawsynthError, SampleError, UsageError
from rawsynth.registry import pick
from rawsynth.versions import package_versions

NOMINAL_ISO = 100.0
"""Stands for the one setting of a sensor whose captures state no ISO; the profile says that it is nominal."""


@dataclass(frozen=True)
class CalibratedCamera:
    """What :func:`calibrate` found.

    Attributes:
        calibration: every figure with its interval, by ISO and plane.
        profile: the camera, for ``AddNoise(camera=...)`` and ``rawsynth generate --camera``.
        left_out: what captures could not be used, and why, each a sentence.
        failed: ISOs that could not be calibrated, and why; the others are.
        source: where the captures lie.
        seed: of the bootstrap.
    """

    calibration: Calibration
    profile: CameraProfile
    left_out: tuple[str, ...]
    failed: tuple[str, ...]
    source: str
    seed: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before trusting the figures: the ISOs that failed, captures left out, warnings."""
        notes = [*self.failed, *self.left_out, *self.calibration.warnings]
        if self.profile.noise is not None and self.profile.noise.nominal_iso:
            notes.append(
                f"nothing states the ISO: the profile calls the one setting ISO {NOMINAL_ISO:g} and marks it nominal; "
                "state it (--iso)."
            )
        return tuple(notes)

    def to_json(self) -> dict[str, Any]:
        """Return every figure, with the versions that computed them."""
        return {
            "source": self.source,
            "camera": self.profile.name,
            "seed": self.seed,
            "versions": package_versions("rawsynth", "numpy", "scipy", "rawpy"),
            "left_out": list(self.left_out),
            "failed": list(self.failed),
            **self.calibration.to_json(),
        }


def calibrate(
    source: str,
    name: str | None = None,
    *,
    fit: str = "weighted",
    burst: bool = False,
    iso: float | None = None,
    cfa: str | None = None,
    black_level: float | None = None,
    white_level: int | None = None,
    bits: int | None = None,
    color_of: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CalibratedCamera:
    """Measure a camera's noise from flat fields and darks, or from a burst of a static scene.

    Args:
        source: folder of captures (laid out as docs/calibration.md says) or EMVA 1288 descriptor, path or URL.
        name: of the camera, maker and model; by default that of the source.
        fit: ``"weighted"``: photon transfer by weighted least squares over every level that is fit for it;
            ``"emva1288"``: exactly as the standard does. A burst has a fit of its own.
        burst: the frames show one static scene.
        iso, cfa, black_level, white_level, bits: of frames that do not say it themselves.
        color_of: take the colour matrices of this camera (a name, or a camera file) into the profile.
        seed: of the bootstrap that makes the intervals.
        progress: is told what is going on, how many frames are done and how many there are.

    Returns:
        The figures, and the profile. An ISO that cannot be calibrated costs itself and is named.

    Raises:
        UsageError: wrong options, no captures, or captures that do not belong together.
        SampleError: nothing can be read, or the frames show no noise of a sensor; says what to capture instead.
        InputAccessError: the source cannot be reached.

    >>> calibrate("captures/", iso=-1)
    Traceback (most recent call last):
        ...
    rawsynth.errors.UsageError: an ISO is a positive number; got -1.
    """
    pick(FITS, fit, "fit")
    stated = Stated(iso=iso, cfa=cfa, black_level=black_level, white_level=white_level, bits=bits)
    colored = None if color_of is None else load_camera(color_of)
    captures = open_captures(source, stated, burst=burst, progress=progress)
    isos, failed = _measure(captures, fit, seed)
    camera = name or source.rstrip("/").rpartition("/")[2].partition(".")[0] or "camera"
    return CalibratedCamera(
        calibration=Calibration(tuple(isos)),
        profile=_profile(isos, camera, captures, colored),
        left_out=captures.warnings,
        failed=tuple(failed),
        source=source,
        seed=seed,
    )


def _measure(captures: Captures, fit: str, seed: int) -> tuple[list[IsoCalibration], list[str]]:
    isos: list[IsoCalibration] = []
    failed: list[RawsynthError] = []
    for one in captures.sets:
        try:
            isos.append(calibrate_set(one, fit=fit, seed=seed))
        except (SampleError, UsageError) as error:
            failed.append(error)
    if not isos:
        raise failed[0]
    return isos, [f"not calibrated: {error}" for error in failed]


def _profile(
    isos: Sequence[IsoCalibration], name: str, captures: Captures, colored: CameraProfile | None
) -> CameraProfile:
    unknown = any(one.iso is None for one in isos)
    profile = to_profile(isos, name, iso=NOMINAL_ISO if unknown else None)
    if unknown and profile.noise is not None:
        profile = replace(profile, noise=replace(profile.noise, nominal_iso=True))
    if any(one.clip_dn is None for one in captures.sets):
        profile = replace(profile, nominal_levels=True)
    if colored is None:
        return profile
    if not colored.cam_from_xyz:
        raise UsageError(f"camera {colored.name!r} has no colour matrices to take; see rawsynth cameras --with color.")
    sources = (*profile.sources, *(f"colour of {colored.name}: {text}" for text in colored.sources))
    return replace(profile, cam_from_xyz=colored.cam_from_xyz, sources=sources)
