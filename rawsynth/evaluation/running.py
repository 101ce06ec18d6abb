"""Running a reverse ISP over pairs: which colour it is told, on which device, in which type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rawsynth.counting import counted
from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs import Pair
from rawsynth.transforms import ReverseISP

COLOR_FIELDS = ("cam_from_srgb", "white_balance", "rgb_gain")
PAIR_CFA = "RGGB"


@dataclass(frozen=True)
class Job:
    """One pair with the parameters that the method runs with.

    Attributes:
        index: of the pair in its set.
        pair: what is scored.
        params: JSON-ready, from ``ReverseISP.make_params``.
        known: the fields of colour and exposure that came from the pair's metadata.
    """

    index: int
    pair: Pair
    params: Mapping[str, Any]
    known: tuple[str, ...]


class Runner(Protocol):
    """What can be scored: a method, or a reference that is none.

    Attributes:
        name, version: for the report.
        color: what it was told, see :class:`rawsynth.evaluation.result.Evaluation`.
        device: where its RAW is.
    """

    color: str
    device: torch.device

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def prepare(self, index: int, pair: Pair) -> Job:
        """Decide a pair's parameters."""

    def evaluation_mode(self) -> AbstractContextManager[None]:
        """Be on the device and in evaluation mode meanwhile."""

    def __call__(self, jobs: Sequence[Job]) -> Tensor:
        """Make the RAW of pairs of one size."""


class MethodRunner:
    """Apply a method to pairs, in evaluation mode and without gradients.

    Args:
        to_raw: the method with its options; its planes must be RGGB, as pairs' are.
        device: where it runs.
        dtype: of the arithmetic, where the method follows autocast.
        known_color: pass on the colour and exposure that a pair's metadata state.

    Attributes:
        color: ``"known"`` or ``"drawn"``, or ``"own"`` for a method whose weights decide it.
    """

    def __init__(self, to_raw: ReverseISP, *, device: torch.device, dtype: torch.dtype, known_color: bool) -> None:
        self.to_raw, self.device, self.dtype = to_raw, device, dtype
        self.color = ("known" if known_color else "drawn") if to_raw.method.takes_color else "own"

    @property
    def name(self) -> str:
        """The method's name."""
        return self.to_raw.method.name

    @property
    def version(self) -> str:
        """Of what the method computes; a learned one's names its weights."""
        return self.to_raw.method.version

    def prepare(self, index: int, pair: Pair) -> Job:
        """Decide a pair's parameters.

        Raises:
            SampleError: its metadata state a colour that cannot be.
            UsageError: the method makes planes in another order than RGGB.
        """
        stated = {name: pair.meta[name] for name in COLOR_FIELDS if pair.meta.get(name) is not None}
        overrides = stated if self.color == "known" else {}
        try:
            (params,) = self.to_raw.make_params(1, keys=[pair.key], overrides=overrides)
        except UsageError as error:
            if not overrides:
                raise
            raise SampleError(f"the pair's metadata: {error} Mend them, or have the colour drawn.") from error
        if params.get("cfa", PAIR_CFA) != PAIR_CFA:
            raise UsageError(f"pairs are {PAIR_CFA}; this method makes {params['cfa']}. Use cfa={PAIR_CFA!r}.")
        return Job(index, pair, params, tuple(overrides))

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Have the method on the device and in evaluation mode meanwhile; its modules' modes come back afterwards."""
        modes = {module: module.training for module in self.to_raw.modules()}
        # Outside inference mode: parameters that are moved within it could never be trained again.
        self.to_raw.to(self.device)
        self.to_raw.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    def __call__(self, jobs: Sequence[Job]) -> Tensor:
        """Make the RAW of pairs of one size, of their sRGB and of their frames: ``(B, 4, h, w)`` float32 on the device.

        Raises:
            UsageError: the device's memory is too small.
        """
        srgb = torch.stack([job.pair.srgb for job in jobs]).to(self.device, non_blocking=True)
        frames = [job.pair.frame for job in jobs if job.pair.frame is not None]
        frame = torch.stack(frames).to(self.device, non_blocking=True) if frames else None
        lower = self.dtype != torch.float32
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, self.dtype if lower else None, enabled=lower):
                return self.to_raw.apply_params(srgb, [dict(job.params) for job in jobs], frame=frame).packed.float()
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"{self.device} has too little memory for "
                f"{counted(len(jobs), 'image')} of {srgb.shape[-2]}x{srgb.shape[-1]} "
                "at once; ask for a smaller batch."
            ) from error
