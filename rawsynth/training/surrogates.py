"""Endless samples of rendered surrogates by position: the position decides photograph, camera, ISP and crop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rawsynth.cameras import CameraProfile
from rawsynth.cameras.color import draw_cct
from rawsynth.methods.global_inverse import srgb_decoding
from rawsynth.methods.style_encoder import GRID
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.photographs import Photograph
from rawsynth.pairs.surrogate import draw_surrogate, exposure_of, scene_light, to_camera, uneven_light
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.seeding import sample_seed, scalar_rng

_TWO_PHOTOGRAPHS = 0.35


@dataclass(frozen=True)
class RenderedBatch:
    """Frames, seen by a grid of single pixels, and crops of them.

    Attributes:
        frame_srgb: ``(B, 3, GRID, GRID)`` uint8.
        frame_raw: ``(B, 3, GRID, GRID)`` float32, all three camera colours at each pixel, in [0, 1].
        crop_srgb, crop_raw: the same of a crop, or ``None``.
        cam_from_srgb: ``(B, 3, 3)``.
        white_balance: ``(B, 2)``.
    """

    frame_srgb: Tensor
    frame_raw: Tensor
    crop_srgb: Tensor | None
    crop_raw: Tensor | None
    cam_from_srgb: Tensor
    white_balance: Tensor

    def to(self, device: torch.device) -> RenderedBatch:
        """Move it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> RenderedBatch:
        """Copy it to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> RenderedBatch:
        changed: dict[str, Any] = {name: None if t is None else change(t) for name, t in vars(self).items()}
        return RenderedBatch(**changed)


class RenderedSurrogates(Dataset[tuple[Tensor | None, ...]]):
    """Samples by position; see :class:`RenderedBatch`.

    Args:
        photographs: material.
        cameras: with colour; one is drawn a sample.
        isp: makes sRGB.
        seed: of everything.
        crop: side of the crops, even; 0 for none.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        cameras: Sequence[CameraProfile],
        *,
        isp: ForwardISP,
        seed: int,
        crop: int = 0,
    ) -> None:
        self.photographs, self.cameras, self.isp, self.seed, self.crop = photographs, cameras, isp, seed, crop

    def __getitem__(self, position: int) -> tuple[Tensor | None, ...]:
        """Return one sample's tensors in the order of :class:`RenderedBatch`."""
        rng = scalar_rng(sample_seed(self.seed, str(position), "surrogate"))
        photograph = self.photographs[int(rng.integers(len(self.photographs)))]
        camera = self.cameras[int(rng.integers(len(self.cameras)))]
        cam_from_srgb, white_balance = camera.color(draw_cct(rng))
        window, beside = _Window.draw(photograph, rng), self._beside(rng)
        surrogate, params = draw_surrogate(rng), self.isp.draw(rng)
        params |= {"cam_from_srgb": cam_from_srgb, "white_balance": white_balance}
        params["cfa"] = BAYER_LAYOUTS[int(rng.integers(4))]

        def sensor(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
            srgb = window.look(photograph, rows, columns)
            if beside is not None:
                srgb = beside.put_into(srgb, rows, columns)
            light = scene_light(srgb_decoding(srgb), surrogate) * uneven_light(rows, columns, surrogate["lamps"])
            return srgb, to_camera(light, cam_from_srgb, white_balance)

        even = (torch.arange(GRID) + 0.5) / GRID
        seen, frame = sensor(even, even)
        exposure = exposure_of(frame, seen, surrogate)
        frame_raw = (frame * exposure).clamp(0.0, surrogate["ceiling"])
        params = self.isp.measure(frame_raw, params)
        frame_srgb = self.isp.render(frame_raw, params, detail=False)
        color = (torch.tensor(np.asarray(cam_from_srgb)).float(), torch.tensor(white_balance).float())
        if not self.crop:
            return frame_srgb, frame_raw, None, None, *color
        rows, columns, part = window.crop(self.crop, rng)
        crop_raw = (sensor(rows, columns)[1] * exposure).clamp(0.0, surrogate["ceiling"])
        crop_srgb = self.isp.render(crop_raw, params, part=part)
        return frame_srgb, frame_raw, crop_srgb, crop_raw, *color

    def _beside(self, rng: np.random.Generator) -> _Beside | None:
        if rng.random() >= _TWO_PHOTOGRAPHS:
            return None
        other = self.photographs[int(rng.integers(len(self.photographs)))]
        return _Beside(
            other, _Window.draw(other, rng), upright=bool(rng.random() < 0.5), begins=float(rng.uniform(0.3, 0.8))
        )


@dataclass(frozen=True)
class _Window:
    """A part of a photograph that is taken for a whole frame, perhaps mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    @staticmethod
    def draw(photograph: Photograph, rng: np.random.Generator) -> _Window:
        height, width = photograph.codes.shape[1:]
        share = float(rng.uniform(0.55, 1.0)) if rng.random() < 0.6 else 1.0
        h, w = max(256, int(height * share)), max(256, int(width * share))
        h, w = min(h, height), min(w, width)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        return _Window(top, left, h, w, bool(rng.random() < 0.5))

    def look(self, photograph: Photograph, rows: Tensor, columns: Tensor) -> Tensor:
        """Return ``(3, len(rows), len(columns))`` sRGB at places given as shares of the window."""
        across = 1 - columns if self.mirrored else columns
        picked = (
            self.top + (rows * self.height).long().clamp(0, self.height - 1),
            self.left + (across * self.width).long().clamp(0, self.width - 1),
        )
        return photograph.srgb(*picked)

    def crop(self, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, tuple[float, float, float, float]]:
        """Draw a square of pixels; returns their rows and columns and its borders, as shares of the window."""
        top, left = (int(rng.integers(n - side + 1)) for n in (self.height, self.width))
        rows = (torch.arange(top, top + side) + 0.5) / self.height
        columns = (torch.arange(left, left + side) + 0.5) / self.width
        part = (top / self.height, left / self.width, (top + side) / self.height, (left + side) / self.width)
        return rows, columns, part


@dataclass(frozen=True)
class _Beside:
    """Another photograph that has part of the frame: two scenes in one, as through a door."""

    photograph: Photograph
    window: _Window
    upright: bool
    begins: float

    def put_into(self, srgb: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the picture with this photograph's part in it."""
        places = columns if self.upright else rows
        mine = places >= self.begins
        if not bool(mine.any()):
            return srgb
        own = self.window.look(self.photograph, rows, columns)
        return torch.where(mine if self.upright else mine[:, None], own, srgb)


def collate(samples: Sequence[tuple[Tensor | None, ...]]) -> RenderedBatch:
    """Stack samples."""
    stacked: list[Any] = [
        None if column[0] is None else torch.stack([t for t in column if t is not None])
        for column in zip(*samples, strict=True)
    ]
    return RenderedBatch(*stacked)


def split_photographs(
    photographs: Sequence[Photograph], share: float
) -> tuple[list[Photograph], list[Photograph]]:
    """Keep back a share of the photographs, by the hashes of their files: the same ones in every run."""
    ordered = sorted(photographs, key=lambda p: p.sha256)
    kept_back = max(1, round(len(ordered) * share))
    held: Mapping[str, Photograph] = {p.name: p for p in ordered[:kept_back]}
    return [p for p in photographs if p.name not in held], list(held.values())
