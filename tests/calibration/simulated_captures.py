"""Folders of simulated captures: Poisson electrons, Gaussian or logistic read noise, rows, rounding; written as files.

Nothing here uses the package's noise models or fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.dng import dng

ISO_TAG, EXPOSURE_TAG, SHORT, RATIONAL = 34855, 33434, 3, 5


@dataclass(frozen=True)
class Sensor:
    """A sensor at one ISO; planes in reading order, one number for a monochrome one."""

    gain: Sequence[float]
    read_dn: Sequence[float]
    row_dn: float = 0.0
    black: int = 512
    white: int = 4095
    shading: float = 0.3
    logistic: bool = False

    def frame(self, rng: np.random.Generator, light_electrons: float, size: tuple[int, int]) -> np.ndarray:
        """One frame ``(H, W)`` uint16; its flat is shaded by up to ``shading``."""
        rows, columns = np.mgrid[: size[0], : size[1]]
        site = (rows % 2) * 2 + columns % 2 if len(self.gain) == 4 else np.zeros(size, dtype=int)
        gain, read = np.array(self.gain)[site], np.array(self.read_dn)[site]
        shade = 1 - self.shading * ((rows / size[0] - 0.5) ** 2 + (columns / size[1] - 0.5) ** 2)
        dn = gain * rng.poisson(light_electrons * shade)
        if self.logistic:
            dn = dn + rng.logistic(size=size) * read * np.sqrt(3) / np.pi
        else:
            dn = dn + read * rng.standard_normal(size)
        dn = dn + self.row_dn * rng.standard_normal((size[0], 1)) + self.black
        return np.rint(dn).clip(0, self.white).astype(np.uint16)


def write_frame(path: Path, dn: np.ndarray, *, iso: float | None = None, exposure_s: float | None = None) -> None:
    """As DNG with its settings, NPY, or 16-bit PNG, by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, dn)
    elif path.suffix == ".dng":
        data = bytearray(dng(dn))
        path.write_bytes(_with_settings(bytes(data), iso, exposure_s))
    else:
        from PIL import Image

        Image.fromarray(dn).save(path)


def _with_settings(data: bytes, iso: float | None, exposure_s: float | None) -> bytes:
    """Put ISO and exposure time into a DNG of tests.dng, which states ISO 800 and 1/100 s."""
    if iso is not None:
        old = np.array([ISO_TAG, SHORT], "<u2").tobytes() + np.array([1, 800], "<u4").tobytes()
        assert data.count(old) == 1
        data = data.replace(old, np.array([ISO_TAG, SHORT], "<u2").tobytes() + np.array([1, int(iso)], "<u4").tobytes())
    if exposure_s is not None:
        at = data.index(np.array([EXPOSURE_TAG, RATIONAL], "<u2").tobytes() + np.array([1], "<u4").tobytes())
        place = int.from_bytes(data[at + 8 : at + 12], "little")
        value = np.array([round(exposure_s * 1e6), 1_000_000], "<u4").tobytes()
        data = data[:place] + value + data[place + 8 :]
    return data


def write_captures(
    folder: Path,
    sensor: Sensor,
    *,
    iso: int | None = 100,
    levels: int = 8,
    darks: int = 8,
    size: tuple[int, int] = (128, 128),
    suffix: str = ".dng",
    seed: int = 0,
    **kwargs: Any,
) -> Path:
    """Flats of ``levels`` exposures, two of each, from 1 % of white to saturation, and a series of darks."""
    rng = np.random.default_rng(seed)
    full = (sensor.white - sensor.black) / max(sensor.gain)
    prefix = "" if iso is None else f"iso{iso}_"
    for share in np.geomspace(0.01, 1.3, levels):
        for k in "ab":
            seconds = round(share / 10, 6)
            name = f"{prefix}flat_{seconds:.6f}s_{k}{suffix}"
            dn = sensor.frame(rng, share * full, size)
            write_frame(folder / "flat" / name, dn, iso=iso, exposure_s=seconds, **kwargs)
    for k in range(darks):
        dn = sensor.frame(rng, 0, size)
        write_frame(folder / "dark" / f"{prefix}dark_{k}{suffix}", dn, iso=iso, exposure_s=0.001)
    return folder
