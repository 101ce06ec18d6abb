"""Small EMVA1288 data sets of simulated sensors, from NumPy's frozen generator."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawsynth.calibration.sets import CaptureSet, Level
from tests.calibration.simulate import shots

SIDE = 64
LEVELS = 24


@dataclass(frozen=True)
class EmvaSensor:
    bits: int
    gain: float
    dark_electrons: float
    offset_dn: float
    full_well_electrons: float
    fixed_exposure: bool = False
    seed: int = 1

    def groups(self) -> list[tuple[float, float, list[Any]]]:
        """Exposure in ns, photons a pixel (0: dark), frames: in the order of the exposures, static series last."""
        rng = np.random.RandomState(self.seed)  # its streams never change
        pattern = 1 + 0.02 * rng.standard_normal((SIDE, SIDE))
        photons = np.linspace(0.01, 1.15, LEVELS) * 2 * self.full_well_electrons
        exposures = np.full(LEVELS, 5e6) if self.fixed_exposure else np.round(photons * 100.0)
        found: list[tuple[float, float, list[Any]]] = []
        for exposure, light in zip(exposures, photons, strict=True):
            bright = [self._frame(rng, light * pattern, exposure) for _ in range(2)]
            found.append((float(exposure), float(light), bright))
            if not self.fixed_exposure or len(found) == 1:
                found.append((float(exposure), 0.0, [self._frame(rng, 0 * pattern, exposure) for _ in range(2)]))
        middle = float(exposures[LEVELS // 2])
        for light in (float(photons[LEVELS // 2]), 0.0):
            found.append((middle, light, [self._frame(rng, light * pattern, middle) for _ in range(4)]))
        return found

    def _frame(self, rng: Any, light: Any, exposure_ns: float) -> Any:
        electrons = rng.poisson(0.5 * light + 1e-7 * exposure_ns)  # quantum efficiency one half, some dark current
        electrons = np.minimum(electrons, self.full_well_electrons)
        electrons = electrons + self.dark_electrons * rng.standard_normal(light.shape)
        dn = np.rint(self.gain * electrons + self.offset_dn)
        return np.clip(dn, 0, 2**self.bits - 1).astype(np.uint8 if self.bits == 8 else np.uint16)

    def captures(self) -> CaptureSet:
        groups = self.groups()
        dark = {time: shots(f, f"d{time}_") for time, light, f in groups if light == 0 and len(f) == 2}
        levels = tuple(
            Level(f"{time:g} ns", shots(f, f"b{time}_{light}_"), dark[time], exposure_s=time * 1e-9, photons=light)
            for time, light, f in groups
            if light > 0 and len(f) == 2
        )
        return CaptureSet("simulated", levels, bits=self.bits)


SENSORS = {
    "8-bit CMOS": EmvaSensor(8, 0.022, 30.0, 6.0, 9000.0),
    "8-bit CMOS, noise under half a DN": EmvaSensor(8, 0.022, 6.0, 4.3, 9000.0, seed=2),
    "10-bit CMOS, light varied": EmvaSensor(10, 0.1, 9.0, 12.0, 9000.0, fixed_exposure=True, seed=3),
    "12-bit CCD, high gain": EmvaSensor(12, 2.0, 8.0, 60.0, 1900.0, seed=4),
}
