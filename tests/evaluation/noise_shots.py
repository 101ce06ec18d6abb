"""Simulated captures of a static scene, made with NumPy alone, for the tests of the noise report."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.evaluation.noise_stack import FrameStack, stack_frames
from rawsynth.raw.frames import Frame

BLACK, WHITE = 64, 4095


def ramp(height: int = 96, width: int = 128, *, low: float = 0.0, high: float = 800.0) -> NDArray[np.float64]:
    """Return DN above black that rise from left to right."""
    return np.tile(np.linspace(low, high, width), (height, 1))


def shoot(
    rng: np.random.Generator,
    light_dn: NDArray[np.float64],
    count: int,
    *,
    gain: float = 0.5,
    read: float = 3.0,
    row: float = 0.0,
    column: float = 0.0,
    flicker: float = 0.0,
) -> NDArray[np.uint16]:
    """Expose ``count`` frames: Poisson shot noise through the gain (DN per electron), read, row and column noise (DN).

    ``flicker`` is the standard deviation of an offset of the whole frame.
    """
    height, width = light_dn.shape
    dn = gain * rng.poisson(np.broadcast_to(light_dn / gain, (count, height, width))).astype(np.float64)
    for sigma, shape in ((read, dn.shape), (row, (count, height, 1)), (column, (count, 1, width))):
        dn += rng.normal(0, sigma, shape)
    dn += rng.normal(0, flicker, (count, 1, 1))
    return np.rint(dn + BLACK).clip(0, WHITE).astype(np.uint16)


def as_stack(frames: Any, cfa: str | None = None, name: str = "shots", white: int | None = WHITE) -> FrameStack:
    """Put arrays into a stack."""
    made: Iterable[Frame] = (Frame(f"{name} {k}", dn, white_level=white) for k, dn in enumerate(frames))
    return stack_frames(name, made, len(frames), cfa=cfa)


def save(folder: Path, frames: Any) -> Path:
    """Write frames as NPY files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, dn in enumerate(frames):
        np.save(folder / f"shot_{index:02d}.npy", dn)
    return folder
