"""Captures of simulated sensors, written from the physics with NumPy alone: none of it is rawsynth's noise."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rawsynth.calibration.sets import CaptureSet, Level, Shot


def tukey_lambda(rng: np.random.Generator, shape: float, size: tuple[int, ...]) -> Any:
    p = rng.random(size)
    return np.log(p / (1 - p)) if shape == 0 else (p**shape - (1 - p) ** shape) / shape


def shots(frames: Sequence[Any], name: str) -> tuple[Shot, ...]:
    return tuple(Shot(f"{name}{k}", lambda frame=frame: frame) for k, frame in enumerate(frames))


@dataclass
class Sensor:
    """A sensor with vignetting, pixel-to-pixel gain (1 %) and offsets (0.7 DN); noise in DN, K a plane."""

    gain: tuple[float, ...] = (1.1, 1.0, 1.02, 0.95)
    read_sigma: float = 3.0
    tukey: tuple[float, float] | None = None
    row_sigma: float = 0.0
    column_sigma: float = 0.0
    black: float = 200.0
    white: int = 4095
    height: int = 160
    width: int = 240
    cfa: str | None = "RGGB"
    seed: int = 0
    rng: Any = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        size = (self.height, self.width)
        y, x = np.linspace(-1, 1, self.height)[:, None], np.linspace(-1, 1, self.width)
        self.sensitivity = (1 - 0.15 * (x * x + y * y)) * self.rng.normal(1, 0.01, size)
        self.offset = self.black + self.rng.normal(0, 0.7, size)
        self.k = np.full(size, self.gain[0])
        if self.cfa is not None:
            self.k = np.tile(np.reshape(self.gain, (2, 2)), (self.height // 2, self.width // 2))

    def frame(self, electrons: Any) -> Any:
        rng, size = self.rng, (self.height, self.width)
        signal = self.k * rng.poisson(np.broadcast_to(electrons * self.sensitivity, size))
        if self.tukey is None:
            noise = rng.normal(0, self.read_sigma, size)
        else:
            noise = self.tukey[1] * tukey_lambda(rng, self.tukey[0], size)
        noise = noise + rng.normal(0, self.row_sigma, (self.height, 1)) + rng.normal(0, self.column_sigma, self.width)
        return np.clip(np.rint(signal + self.offset + noise), 0, self.white).astype(np.uint16)

    def shots(self, electrons: Any, count: int, name: str) -> tuple[Shot, ...]:
        return shots([self.frame(electrons) for _ in range(count)], name)

    def captures(self, electrons: Sequence[float] | None = None, *, dark: int = 6, **fields: Any) -> CaptureSet:
        """Flats at these exposures (by default up to half of white), two of each, and darks."""
        if electrons is None:
            electrons = np.geomspace(0.01, 0.5, 9) * (self.white - self.black) / max(self.gain)
        levels = tuple(Level(f"{e:.4g} e", self.shots(e, 2, f"{e:.4g} e "), exposure_s=float(e)) for e in electrons)
        known: dict[str, Any] = {"iso": 800.0, "cfa": self.cfa, "white_level": self.white, "bits": 12, **fields}
        return CaptureSet("sim", levels, self.shots(0.0, dark, "dark ") if dark else (), **known)
