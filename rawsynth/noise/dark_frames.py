"""Poisson shot noise with crops of real dark frames as read noise.

Zhang et al., "Rethinking Noise Synthesis and Modeling in Raw Denoising", ICCV 2021: what a sensor reads without light
holds every noise that light does not cause, with its distribution, rows, columns and fixed pattern, better than a model
of them can. "Pattern-aligned patch sampling": a crop keeps the frame's Bayer phase, so that each colour gets the noise
of its own sites and each row that of one sensor row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.noise import stages
from rawsynth.noise.base import ModelParams, NoiseModel
from rawsynth.noise.dark_frame_store import DarkFrameStore, open_dark_frames
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.metadata import float32
from rawsynth.raw.noise_params import four_planes
from rawsynth.raw.sensor_noise import SensorNoise

_FIELDS = {"shot", "read", "cfa", "frames", "frame", "offset"}


class DarkFrames(NoiseModel):
    """Poisson shot noise through the gain S, and a crop of a real dark frame.

    Of the sensor's noise only S is used, and its ISO and CFA, to find the frames and align them. The frames' offset is
    subtracted and their rounding undone (:class:`~rawsynth.noise.dark_frame_store.DarkFrameSet`).

    Args:
        store: the frames, from :func:`~rawsynth.noise.dark_frame_store.open_dark_frames`.
    """

    name: ClassVar[str] = "dark_frames"
    takes_frames: ClassVar[bool] = True

    def __init__(self, store: DarkFrameStore) -> None:
        self.store = store
        self._places = {name: (s, f) for s, of in enumerate(store.sets) for f, name in enumerate(of.names)}
        self._lengths = [of.tilt.shape[1] for of in store.sets]
        flat = np.concatenate([of.tilt.ravel() for of in store.sets])
        self._tilt: dict[torch.device, Tensor] = {torch.device("cpu"): torch.from_numpy(flat)}
        # Where in it a set's tables begin.
        self._starts = np.cumsum([0, *(4 * length for length in self._lengths)])

    @classmethod
    def create(cls, dark_frames: str | None = None) -> Self:
        """Build the model from a folder, pattern or tar of dark frames.

        Raises:
            UsageError: none given, or they cannot serve; the message names the frame and what is wrong with it.
        """
        if dark_frames is None:
            raise UsageError(
                "noise model 'dark_frames' takes real dark frames: give dark_frames=... (--dark-frames), a folder, "
                "pattern or tar of frames taken with the cap on, one ISO a folder (iso800/)."
            )
        return cls(open_dark_frames(dark_frames))

    @property
    def isos(self) -> tuple[float, ...]:
        """ISOs that there are frames of; empty where nobody states them, and any ISO is served."""
        return tuple(s.iso for s in self.store.sets if s.iso is not None)

    @property
    def largest(self) -> tuple[int, int]:
        """The frames' size; images of another layout have two sensor pixels less."""
        return self.store.height // 2 * 2, self.store.width // 2 * 2

    def draw(self, noise: SensorNoise, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a frame of the sensor's ISO and where to cut it.

        Returns:
            ``shot``; ``read``, the frames' variance a plane on the unit scale; ``cfa``; ``frames``, the store's digest;
            ``frame``, its name; ``offset``, down and right, as shares of the room that the image leaves in the frame.

        Raises:
            UsageError: no frames of that ISO.
        """
        chosen = self.store.sets[self.store.at(noise.iso)]
        planes = _frame_planes(self.store.cfa, noise.cfa)
        return {
            "shot": float32(noise.shot),
            "read": float32([chosen.variance_dn2[plane] / chosen.range_dn**2 for plane in planes]),
            "cfa": noise.cfa,
            "frames": self.store.digest,
            "frame": chosen.names[int(rng.integers(len(chosen.names)))],
            "offset": float32(rng.random(2)),
        }

    def tensors(self, params: Sequence[ModelParams], device: torch.device) -> dict[str, Tensor]:
        """Stack the samples' parameters; where to cut stays on the host, where the frames are.

        Raises:
            UsageError: parameters of other frames, or incomplete.
        """
        places = [self._place(p) for p in params]
        planes = [_frame_planes(self.store.cfa, p["cfa"]) for p in params]
        sets = [self.store.sets[s] for s, _ in places]
        tables = [[self._starts[s] + plane * self._lengths[s] for plane in of] for (s, _), of in zip(places, planes)]
        on_device = {
            "shot": torch.tensor([four_planes(p["shot"], "shot") for p in params], dtype=torch.float32),
            # Offsets count from the lowest DN, where float32 is finest.
            "mean": torch.tensor([[s.mean_dn[k] - s.lowest for k in of] for s, of in zip(sets, planes)]),
            "lowest": torch.tensor([s.lowest for s in sets], dtype=torch.int32),
            "unit": torch.tensor([1.0 / s.range_dn for s in sets], dtype=torch.float32),
            "table": torch.tensor(tables, dtype=torch.int32),
        }
        if device not in self._tilt:
            self._tilt[device] = self._tilt[torch.device("cpu")].to(device)
        return {
            **{name: tensor.to(device, non_blocking=True) for name, tensor in on_device.items()},
            "tilt": self._tilt[device],
            "place": torch.tensor(places, dtype=torch.int64),
            "shift": torch.tensor([_shift(self.store.cfa, p["cfa"]) for p in params], dtype=torch.int64),
            "offset": torch.tensor([list(p["offset"]) for p in params], dtype=torch.float64),
        }

    def add(self, clean: Tensor, words: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """Add the noise; see :meth:`NoiseModel.add`. ``params``: what :meth:`tensors` made.

        Raises:
            UsageError: the image is larger than the frames.
        """
        crops: Tensor = self._cut(params, clean.shape[-2], clean.shape[-1], clean.device)
        index = crops.to(torch.int32) - params["lowest"][:, None, None, None]
        tilt = params["tilt"][index + params["table"][..., None, None]]
        one_dn = torch.ones(len(words), device=words.device)
        uniform = stages.uniform_quantization(words, one_dn, clean.shape[-2], clean.shape[-1])
        dn = _within_step(uniform, tilt).add_(index).sub_(params["mean"][..., None, None])
        lit = stages.poisson_shot(clean, words, params["shot"])
        return lit.add_(dn.mul_(params["unit"][:, None, None, None]))

    def _place(self, params: ModelParams) -> tuple[int, int]:
        """Return set and index of a sample's frame."""
        missing = _FIELDS - set(params)
        if missing:
            raise UsageError(f"noise parameters lack {sorted(missing)}; take them from make_params.")
        if params["frames"] != self.store.digest or params["frame"] not in self._places:
            raise UsageError(
                f"these parameters were drawn from other dark frames (digest {params['frames']}, frame "
                f"{params['frame']!r}) than {self.store.url} ({self.store.digest}); open the same ones to replay them."
            )
        return self._places[params["frame"]]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _cut(self, params: Mapping[str, Tensor], height: int, width: int, device: torch.device) -> Tensor:
        """Cut each sample's window out of its frame: ``(B, 4, height, width)`` uint16 DN."""
        shape = (len(params["place"]), 4, height, width)
        host = torch.empty(shape, dtype=torch.uint16, pin_memory=device.type == "cuda")
        view = host.numpy()
        rows = zip(params["place"].tolist(), params["shift"].tolist(), params["offset"].tolist(), strict=True)
        for sample, ((s, f), shift, offset) in enumerate(rows):
            frame = self.store.sets[s].frames[f]
            room = [(side - by) // 2 - want for side, by, want in zip(frame.shape, shift, (height, width), strict=True)]
            if min(room) < 0:
                raise UsageError(
                    f"dark frames {self.store.url} have {self.store.width}x{self.store.height} sensor pixels, too few "
                    f"for an image of {2 * width}x{2 * height} (and {shift[1]}x{shift[0]} to align colours); repeated "
                    "they would be no sensor's noise. Crop the image, or take full-size dark frames."
                )
            top, left = (by + 2 * min(int(u * (n + 1)), n) for by, u, n in zip(shift, offset, room, strict=True))
            window = frame[top : top + 2 * height, left : left + 2 * width]
            for plane in range(4):
                view[sample, plane] = window[plane // 2 :: 2, plane % 2 :: 2]
        return host.to(device, non_blocking=True)


def _within_step(uniform: Tensor, tilt: Tensor) -> Tensor:
    """Draw from the density ``exp(tilt e)`` on [-1/2, 1/2]: its inverse CDF of a uniform on the same interval."""
    return torch.log1p((uniform + 0.5) * torch.expm1(tilt)).div_(tilt).sub_(0.5)


def _shift(frames_cfa: str, cfa: str) -> tuple[int, int]:
    """Return by how many rows and columns the frames' mosaic is cut so that it begins as ``cfa`` does."""
    check_cfa(cfa)
    for row in (0, 1):
        for column in (0, 1):
            if all(frames_cfa[2 * ((k // 2 + row) % 2) + (k % 2 + column) % 2] == cfa[k] for k in range(4)):
                return row, column
    raise AssertionError("Bayer layouts are one tile, shifted")


def _frame_planes(frames_cfa: str, cfa: str) -> Sequence[int]:
    """Return the frames' plane that each plane of ``cfa`` is cut from."""
    row, column = _shift(frames_cfa, cfa)
    return [2 * ((k // 2 + row) % 2) + (k % 2 + column) % 2 for k in range(4)]
