"""What a training reports of the steps since its last look at the device."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from rawsynth.errors import TrainingError
from rawsynth.training.data import TrainBatch
from rawsynth.training.distributed import Place


class Window:
    """The steps since the last look at the device: scalars stay there until then.

    Args:
        place: of this process.
        scaled: gradients may overflow, as they do under a loss scaler, which then leaves the step out.
    """

    def __init__(self, place: Place, *, scaled: bool) -> None:
        self.place, self.scaled = place, scaled
        self._begin()

    def _begin(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.keys: list[tuple[int, tuple[str, ...]]] = []
        self.watched: list[Tensor] = []
        self.images, self.started = 0, time.perf_counter()

    def resume(self) -> None:
        """Begin to measure the rate anew if nothing was learned since the last look."""
        if not self.images:
            self.started = time.perf_counter()

    def add(self, step: int, batch: TrainBatch, scalars: dict[str, Tensor]) -> None:
        """Take in one step."""
        for name, value in scalars.items():
            self.sums[name] = self.sums[name] + value.float() if name in self.sums else value.float()
        self.keys.append((step, batch.keys))
        norm = scalars["loss"] if self.scaled else scalars["grad_norm"]
        self.watched.append(torch.stack([scalars["loss"], norm]))
        self.images += len(batch.keys)

    def close(self) -> dict[str, float]:
        """Return the means over the window and over the processes, and begin the next one.

        Raises:
            TrainingError: a loss or a gradient was not finite; the message names its step and batch.
        """
        self._check(torch.stack(self.watched).cpu())
        names = list(self.sums)
        means = self.place.mean(torch.stack([self.sums[name] for name in names]) / len(self.watched)).tolist()
        values = dict(zip(names, means, strict=True))
        rate = self.images * self.place.world / max(1e-9, time.perf_counter() - self.started)
        self._begin()
        return {**values, "images_per_s": round(rate, 2)}

    def _check(self, watched: Tensor) -> None:
        bad = (~torch.isfinite(watched).all(dim=1)).nonzero()
        if len(bad):
            first = int(bad[0])
            step, keys = self.keys[first]
            loss, norm = watched[first].tolist()
            raise TrainingError(
                f"step {step + 1} has loss {loss:g} and gradient norm {norm:g}, on the pairs {', '.join(keys)}. The "
                "checkpoint before it is kept. Look at these pairs, lower lr, or use a wider dtype."
            )
