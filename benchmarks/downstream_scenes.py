"""What the denoisers are tested on: clean real RAW with simulated photons and real dark frames (semi-synthetic).

A RAW file is reduced by averaging 3x3 sites of one colour, about each site of the smaller mosaic: that leaves the Bayer
phase as it is, and a ninth of the variance of the file's own noise and of its codec's loss. Photons are drawn by
Poisson's law; read noise is what real dark frames, kept from the calibration, are off their mean by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from downstream_sensor import Sensor
from torch import Tensor
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import pack
from rawsynth.raw.files import RAW_SUFFIXES, read_raw

REDUCTION = 3
TALLEST, WIDEST = 160, 208
_FLOWER = "flower_768x512_rggb_u16le.raw"
_FLOWER_LEVELS = (600, 16383)


@dataclass(frozen=True, eq=False)
class Scene:
    """Crops of one RAW file.

    Attributes:
        name: the file's.
        crops: ``(4, h, w)`` float32 each, black 0, white 1, RGGB.
        white_balance: (red, blue), for pictures.
        noise_db: the file's own noise; see :func:`own_noise`.
    """

    name: str
    crops: tuple[Tensor, ...]
    white_balance: tuple[float, float]
    noise_db: float


@dataclass(frozen=True, eq=False)
class Shot:
    """One noisy crop.

    Attributes:
        scene, crop: which.
        electrons: at white.
        clean, noisy: ``(4, h, w)`` on the unit scale.
        shot, read: the calibrated S and O, ``(4,)``.
    """

    scene: str
    crop: int
    electrons: float
    clean: Tensor
    noisy: Tensor
    shot: Tensor
    read: Tensor


def reduce_sites(packed: Tensor) -> Tensor:
    """Average 3x3 sites of one colour about each site of a mosaic a third as large.

    Sensor site (6i + 2 + 3r, 6j + 2 + 3c) is in the middle of the nine that make site (r, c) of tile (i, j), so that
    the four colours lie half a tile apart, as on a sensor.
    """
    height, width = packed.shape[-2] - 1, packed.shape[-1] - 1
    shifted = [packed[k, k // 2 : k // 2 + height, k % 2 : k % 2 + width] for k in range(4)]
    return F.avg_pool2d(torch.stack(shifted)[None], REDUCTION)[0]


def own_noise(packed: Tensor) -> float:
    """Estimate the noise of a RAW file as crops have it, roughly: PSNR in dB in its evenest tenth of 8x8 blocks.

    Of differences of differences across and down, whose variance is four times that of white noise.
    """
    second = packed[:, 1:, 1:] - packed[:, 1:, :-1] - packed[:, :-1, 1:] + packed[:, :-1, :-1]
    blocks = F.unfold(second[:, None], 8, stride=8).square().mean(dim=1) / 4
    return float(-10 * torch.quantile(blocks.flatten()[:2_000_000].clamp(min=1e-9), 0.1).log10())


def read_scenes(files: Sequence[Path]) -> list[Scene]:
    """Read RAW files of RGGB sensors, or with an RGGB tile within.

    Raises:
        UsageError: none of them.
    """
    scenes = [_read_scene(path) for path in files]
    if not scenes:
        raise UsageError("a test needs clean RAW files; name them, or a folder of them, with --raws.")
    return scenes


def raw_files(places: Sequence[str]) -> list[Path]:
    """Return the RAW files among files and folders, none twice, in the order of their names."""
    found: dict[str, Path] = {}
    for place in map(Path, places):
        for path in sorted(place.iterdir()) if place.is_dir() else [place]:
            if path.suffix[1:].lower() in RAW_SUFFIXES:
                # A raw strip and a DNG of one scene are one scene.
                found.setdefault(path.name.split("_768x512")[0].removesuffix(path.suffix), path)
    return list(found.values())


def _read_scene(path: Path) -> Scene:
    if path.name == _FLOWER:
        mosaic = np.fromfile(path, "<u2").reshape(512, 768)
        black, white, gains = (_FLOWER_LEVELS[0],) * 4, _FLOWER_LEVELS[1], (1.95, 1.34)
        top, left = 0, 0
    else:
        raw = read_raw(str(path))
        mosaic, black, white, gains = raw.mosaic, raw.black, raw.white, raw.white_balance or (2.0, 1.6)
        red = raw.cfa.index("R")
        # Begins with the red site, so that every layout becomes RGGB.
        top, left = red // 2, red % 2
        mosaic = mosaic[top:, left:]
    mosaic = mosaic[: mosaic.shape[0] // 2 * 2, : mosaic.shape[1] // 2 * 2]
    planes = pack(torch.from_numpy(mosaic.astype(np.float32)))
    levels = torch.tensor([black[(k // 2 + top) % 2 * 2 + (k % 2 + left) % 2] for k in range(4)])[:, None, None]
    reduced = reduce_sites((planes - levels) / (white - levels)).clamp(0, 1)
    name = path.name.split("_768x512")[0].removesuffix(path.suffix)
    return Scene(name, tuple(_crops(reduced)), gains, own_noise(reduced))


def _crops(packed: Tensor) -> Iterator[Tensor]:
    full = packed.shape[-2:]
    high, wide = min(TALLEST, full[0] // 4 * 4), min(WIDEST, full[1] // 4 * 4)
    for row in range(full[0] // high):
        for column in range(full[1] // wide):
            yield packed[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide].contiguous()


def take_shots(scenes: Sequence[Scene], sensor: Sensor, electrons: Sequence[float], *, seed: int) -> Iterator[Shot]:
    """Expose every crop at every level of light, with another piece of a dark frame each.

    Args:
        scenes: clean RAW.
        sensor: whose gain and dark frames are used.
        electrons: levels: electrons at white.
        seed: of photons and pieces.
    """
    rng = np.random.default_rng(seed)
    range_dn = sensor.profile.levels.range_dn
    for scene in scenes:
        for number, clean in enumerate(scene.crops):
            height, width = clean.shape[-2:]
            for level in electrons:
                dark = sensor.darks[int(rng.integers(len(sensor.darks)))]
                top, left = (int(rng.integers(n - m + 1)) for n, m in zip(dark.shape[-2:], (height, width)))
                piece = dark[:, top : top + height, left : left + width]
                photons = rng.poisson(clean.double().numpy() * level) / level
                noisy = torch.from_numpy(photons).float() + piece * sensor.amplification(level) / range_dn
                yield Shot(scene.name, number, level, clean, noisy, *sensor.levels(level))
