"""The Extreme Low-light Denoising dataset: short exposures with the long ones beside them.

Wei et al., "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising", CVPR 2020. A folder holds
``CAMERA/scene-N/IMG_0001`` to ``IMG_0016`` (``.CR2``, ``.nef``, ``.ARW``). By the public evaluation (github.com/
Vandermode/ELD, test_ELD.py and dataset/sid_dataset.py; MIT) 1, 6, 11 and 16 are long exposures; 4, 9 and 14 are 100
times shorter, 5, 10 and 15 are 200 times shorter; each goes with the long exposure whose number is nearest. The short
one is multiplied by the ratio of ISO times exposure time. White is 16383 for every camera, values are clipped to
[0, 1], before and after the multiplication.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.noisy import NoisyPair, NoisyPairs
from rawsynth.raw.cfa import pack
from rawsynth.raw.files import RAW_SUFFIXES, RawFile, read_raw

CAMERAS = ("CanonEOS70D", "CanonEOS700D", "NikonD850", "SonyA7S2")
"""The cameras of the published evaluation."""

REFERENCES = (1, 6, 11, 16)
SHORT = {100: (4, 9, 14), 200: (5, 10, 15)}
"""Numbers of the short exposures, by how many times shorter they are than their reference."""

WHITE_DN = 16383
_SHOT = re.compile(r"IMG_(\d{4})\.([a-z0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Exposures:
    camera: str
    scene: str
    ratio: int
    short: str
    long: str


class EldPairs(NoisyPairs):
    """Pairs of the ELD dataset.

    Args:
        url: folder of the cameras' folders.
        cameras: names of those folders.
        ratios: 100, 200 or both.

    Raises:
        UsageError: another ratio, no pairs there, or a short exposure without its reference; the message names it.
        InputAccessError: it cannot be reached.
    """

    def __init__(
        self, url: str, *, cameras: Collection[str] = CAMERAS, ratios: Collection[int] = tuple(SHORT)
    ) -> None:
        if not ratios or set(ratios) - set(SHORT):
            raise UsageError(f"ELD has ratios of {', '.join(map(str, SHORT))}; got {tuple(ratios)!r}.")
        shots: dict[tuple[str, str], dict[int, str]] = {}
        for name, _ in storage.walk_files(url):
            *above, file = name.split("/")
            shot = _SHOT.fullmatch(file)
            if shot and shot[2].lower() in RAW_SUFFIXES and len(above) >= 2 and above[-2] in cameras:
                shots.setdefault((above[-2], above[-1]), {})[int(shot[1])] = storage.join(url, name)
        self._pairs = {
            f"{camera}/{scene}/IMG_{number:04d}": _Exposures(
                camera, scene, ratio, numbers[number], _reference(numbers, number, f"{url}: {camera}/{scene}")
            )
            for (camera, scene), numbers in sorted(shots.items())
            for ratio in sorted(ratios)
            for number in SHORT[ratio]
            if number in numbers
        }
        if not self._pairs:
            wanted = f"{'|'.join(sorted(cameras))}/scene-N/IMG_0004.ARW and the like"
            raise UsageError(f"{url}: no short exposures of ELD; wanted {wanted}.")
        self.keys = list(self._pairs)
        self.scenes = [f"{pair.camera}/{pair.scene}" for pair in self._pairs.values()]

    def __getitem__(self, index: int) -> NoisyPair:
        """Read one pair; see :meth:`NoisyPairs.__getitem__`."""
        key = self.keys[index]
        pair = self._pairs[key]
        short, long = read_raw(pair.short), read_raw(pair.long)
        if short.mosaic.shape != long.mosaic.shape or short.cfa != long.cfa:
            raise SampleError(f"{pair.short} and {pair.long} differ in size or layout; they are no pair.")
        ratio = _light(long) / _light(short)
        noisy = (_unit(short) * ratio).clamp(0.0, 1.0)
        meta = {"camera": short.camera, "iso": short.iso, "ratio": ratio, "nominal_ratio": pair.ratio}
        return NoisyPair(key, self.scenes[index], noisy, _unit(long), short.cfa, meta)


def _reference(numbers: dict[int, str], number: int, where: str) -> str:
    nearest = min(REFERENCES, key=lambda reference: abs(reference - number))
    if nearest not in numbers:
        raise UsageError(f"{where} has IMG_{number:04d} and not its reference IMG_{nearest:04d}; unpack it again.")
    return numbers[nearest]


def _light(raw: RawFile) -> float:
    if raw.iso is None or raw.exposure_s is None:
        raise SampleError(f"{raw.url} states no ISO or no exposure time, so its ratio is not known: not the original?")
    return raw.iso * raw.exposure_s


def _unit(raw: RawFile) -> Tensor:
    height, width = (side // 2 * 2 for side in raw.mosaic.shape)
    planes = pack(torch.from_numpy(raw.mosaic[:height, :width].astype(np.float32)))
    black = torch.tensor(raw.black, dtype=torch.float32)[:, None, None]
    return ((planes - black) / (WHITE_DN - black)).clamp(0.0, 1.0)
