"""The sensor of the downstream proof: calibrated from one part of its frames, tested with dark frames of the other.

The frames are those of EMVA1288's reference set 001 (Basler CCD, 12 bit, monochrome). Its static series has twenty dark
frames: the first half goes into the calibration with all pairs of frames, the second half is never seen by it and is
the read noise of the tests.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.calibration.descriptor import read_descriptor
from rawsynth.calibration.run import NOMINAL_ISO, calibrate
from rawsynth.cameras import CameraProfile, camera_from_dict, camera_to_dict
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import pack
from rawsynth.raw.frames import read_frame

REFERENCE_GAIN = 0.28006
"""System gain in DN/e- by the standard's reference implementation (emva1288 1.0.2): what the tests' photons go by."""

SHOT_LAW = (1e-4, 1.2e-2)
"""S of Brooks et al.'s law, log-uniform: here the law of light for every corpus, 83 to 10,000 electrons at white."""


@dataclass(frozen=True, eq=False)
class Sensor:
    """A sensor as it was calibrated, and real dark frames that the calibration has not seen.

    Attributes:
        profile: the calibrated camera; its one ISO stands for no amplification.
        darks: ``(N, 4, h, w)`` float32 in DN: dark frames less their temporal mean, packed.
        figures: of the calibration, for the report.
    """

    profile: CameraProfile
    darks: Tensor
    figures: dict[str, float]

    def iso_of(self, shot: float) -> float:
        """Return the ISO at which the calibrated S is ``shot``: the ratio by which short exposures are amplified."""
        return NOMINAL_ISO * shot / self.profile.sensor_noise(NOMINAL_ISO).shot[0]

    def levels(self, electrons: float) -> tuple[Tensor, Tensor]:
        """Return the calibrated S and O a plane, ``(4,)`` each, for a number of electrons at white."""
        iso = NOMINAL_ISO * self.amplification(electrons)
        noise = self.profile.sensor_noise(iso, extrapolate=True)
        return torch.tensor(noise.shot), torch.tensor(noise.total_read())

    def amplification(self, electrons: float) -> float:
        """Return by how much a frame of ``electrons`` at white is multiplied, to be as bright as one that is full."""
        return self.profile.levels.range_dn / (REFERENCE_GAIN * electrons)


def open_sensor(descriptor: Path, work: Path, *, color_of: str) -> Sensor:
    """Calibrate the sensor, or read what an earlier run found.

    Args:
        descriptor: of the EMVA 1288 set, with a static series of dark frames.
        work: folder that keeps the calibration.
        color_of: camera whose colour matrices the profile gets; the sensor itself has no colour filter.

    Raises:
        UsageError: the set has no static dark frames.
    """
    static = [shots for shots in read_descriptor(str(descriptor)).shots if shots.dark and shots.static]
    if not static or len(static[0].urls) < 8:
        raise UsageError(f"{descriptor} lists no static series of eight or more dark frames; a test needs some.")
    kept = static[0].urls[len(static[0].urls) // 2 :]
    place = work / "sensor.json"
    if not place.exists():
        part = work / "calibration.txt"
        part.write_text(_without(descriptor, kept, work))
        found = calibrate(str(part), "EMVA1288 set 001 CCD", color_of=color_of)
        plane, dark = found.calibration.isos[0].planes[0], found.calibration.isos[0].dark
        figures = {
            "gain_dn_per_electron": plane.gain_dn_per_electron.value,
            "read_sigma_dn": plane.read_sigma_dn.value,
            "row_sigma_dn": 0.0 if dark is None else dark.row_sigma_dn.value,
        }
        held = {"camera": camera_to_dict(found.profile), "figures": figures}
        storage.write_atomic(str(place), json.dumps(held, indent=1).encode())
    held = json.loads(place.read_text())
    return Sensor(camera_from_dict(held["camera"], str(place)), _residuals(kept), held["figures"])


def _without(descriptor: Path, kept: tuple[str, ...], work: Path) -> str:
    """Return the descriptor without some of its images, for a file in another folder."""
    names = {os.path.basename(url) for url in kept}
    lines = []
    for line in descriptor.read_text().splitlines():
        if line.startswith("i "):
            path = descriptor.parent / line[2:].strip().replace("\\", "/")
            if path.name in names:
                continue
            line = f"i {os.path.relpath(path.resolve(), work.resolve())}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _residuals(urls: tuple[str, ...]) -> Tensor:
    frames = np.stack([read_frame(url).dn.astype(np.float32) for url in urls])
    # A frame's own share in the mean takes 1/n of its variance away.
    residual = (frames - frames.mean(axis=0)) * np.float32((len(urls) / (len(urls) - 1)) ** 0.5)
    return pack(torch.from_numpy(residual))
