"""The corpora of the downstream proof: the same scenes, one factor changed at a time.

Light is a photograph taken back through a random inverse curve (a surrogate, synthetic); a random forward ISP makes the
sRGB of it. `oracle` is that light itself on the sensor; `unprocess` and `network` see the sRGB alone, and are told the
same camera matrix and white balance. Exposure is each method's own affair.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from downstream_sensor import SHOT_LAW, Sensor
from numpy.typing import NDArray
from torch import Tensor

from rawsynth import AddNoise, ReverseISP, storage
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.photographs import read_photographs
from rawsynth.pairs.renderings import load_renderings
from rawsynth.raw.cfa import mosaic
from rawsynth.training.surrogates import RenderedSurrogates, collate

CFA = "RGGB"
_PART = 100
_WHITE = 65535


@dataclass(frozen=True)
class Corpus:
    """One corpus.

    Attributes:
        isp: where its clean RAW comes from: ``"unprocess"``, ``"network"`` or ``"oracle"``.
        noise: ``"brooks"``, ``"poisson_gaussian"`` or ``"physics"``; the last two as calibrated.
    """

    isp: str
    noise: str

    @property
    def name(self) -> str:
        """Both in one."""
        return f"{self.isp}+{self.noise}"


BROOKS, OURS = Corpus("unprocess", "brooks"), Corpus("network", "physics")
CORPORA = (
    BROOKS,
    OURS,
    Corpus("network", "brooks"),
    Corpus("unprocess", "physics"),
    Corpus("oracle", "physics"),
    Corpus("network", "poisson_gaussian"),
)
"""Every corpus; the first two are the deciding comparison, each other one differs from one of them in one factor."""

ISPS = ("unprocess", "network", "oracle")


def noise_of(corpus: Corpus, sensor: Sensor) -> AddNoise:
    """Return what draws a corpus's noise, afresh at every step.

    All draw S by the same law. Brooks' read noise follows from S by Brooks' line; calibrated noise is the sensor's,
    amplified by the ratio that gives that S.
    """
    if corpus.noise == "brooks":
        return AddNoise("heteroscedastic_gaussian")
    isos = [sensor.iso_of(shot) for shot in SHOT_LAW]
    return AddNoise(corpus.noise, camera=sensor.profile, iso=isos, extrapolate=True)


def clean_corpora(
    photographs: str, sensor: Sensor, work: Path, *, count: int, crop: int, seed: int, observe: Callable[[str], None]
) -> dict[str, NDArray[np.uint16]]:
    """Make the clean RAW of every corpus, or read what earlier runs made.

    Args:
        photographs: folder.
        sensor: whose colour the RAW has.
        work: folder that keeps it.
        count: crops, a multiple of 100.
        crop: their side in sRGB pixels.
        seed: of everything.
        observe: is told of the progress.

    Returns:
        ``(count, 4, crop/2, crop/2)`` uint16 by name of :data:`ISPS`; 65535 is white.
    """
    folder = work / "clean"
    folder.mkdir(exist_ok=True)
    places = [folder / f"{crop}-{seed}-{first:06d}.npz" for first in range(0, count, _PART)]
    if not all(place.exists() for place in places):
        maker = _Maker(photographs, sensor, work, crop, seed)
        for k, place in enumerate(places):
            if not place.exists():
                buffer = io.BytesIO()
                np.savez(buffer, **maker.make(k * _PART))  # type: ignore[arg-type]
                storage.write_atomic(str(place), buffer.getvalue())
                observe(f"clean RAW: {(k + 1) * _PART}/{count}")
    parts = [np.load(place) for place in places]
    return {isp: np.concatenate([part[isp] for part in parts]) for isp in ISPS}


class _Maker:
    def __init__(self, photographs: str, sensor: Sensor, work: Path, crop: int, seed: int) -> None:
        taken = read_photographs(photographs, cache=str(work / "photographs"))
        isp = ForwardISP(load_renderings())
        self.samples = RenderedSurrogates(taken, [sensor.profile], isp=isp, seed=seed, crop=crop)
        self.unprocess, self.network = ReverseISP("unprocess", seed=seed), ReverseISP("rst_isp_net_small", seed=seed)

    def make(self, first: int) -> dict[str, NDArray[np.uint16]]:
        batch = collate([self.samples[k] for k in range(first, first + _PART)])
        assert batch.crop_srgb is not None and batch.crop_raw is not None
        color = {"cam_from_srgb": _rows_to_one(batch.cam_from_srgb), "white_balance": batch.white_balance}
        keys = [str(first + k) for k in range(_PART)]
        raw = {
            "oracle": mosaic(batch.crop_raw, CFA),
            "unprocess": self.unprocess(batch.crop_srgb, keys=keys, overrides=color).packed,
            # As generate does: the style is that of the frame, whatever the crop.
            "network": self.network(batch.crop_srgb, keys=keys, overrides=color, frame=batch.frame_srgb).packed,
        }
        return {isp: (planes.clamp(0, 1) * _WHITE).round().numpy().astype(np.uint16) for isp, planes in raw.items()}


def _rows_to_one(matrices: Tensor) -> Tensor:
    return matrices / matrices.sum(dim=-1, keepdim=True)


def describe(clean: dict[str, NDArray[np.uint16]]) -> dict[str, dict[str, float]]:
    """Return the brightness of each clean corpus, and how near it comes to the oracle, for the report."""
    oracle = torch.from_numpy(clean["oracle"].astype(np.float32) / _WHITE)
    figures = {}
    for isp, planes in clean.items():
        unit = torch.from_numpy(planes.astype(np.float32) / _WHITE)
        ratio = unit.mean(dim=(1, 2, 3)) / oracle.mean(dim=(1, 2, 3)).clamp(min=1e-4)
        figures[isp] = {
            "mean": float(unit.mean()),
            "median": float(unit.mean(dim=(1, 2, 3)).median()),
            "saturated": float((unit >= 0.999).float().mean()),
            "exposure_ev": float(ratio.clamp(min=1e-4).log2().median()),
            "detail": float((unit - unit.roll(1, -1))[..., 1:].abs().mean()),
        }
    return figures
