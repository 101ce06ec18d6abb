"""One run on many machines without a coordinator: each process finds out which of how many it is.

torchrun sets RANK and WORLD_SIZE, SLURM's srun its own variables. Shards are split by number, so no process needs to
hear of another: rank 0 writes the plan where there is none, the others wait until it is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from rawsynth.errors import EngineError, UsageError
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.dataset import Dataset

T = TypeVar("T")

_VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # Of a job step: a batch script itself, which is no step of several tasks, has not the second one.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)
_POLL_S = 0.5


@dataclass(frozen=True)
class Rank:
    """Which of how many processes this is, and which on its machine.

    >>> Rank(1, 3, 1).share(["a", "b", "c", "d", "e"])
    ['b', 'e']
    """

    number: int = 0
    world: int = 1
    local: int = 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.world > 1

    def share(self, items: Sequence[T]) -> list[T]:
        """Return this process's part of a list that all have."""
        return list(items[self.number :: self.world])

    def use_gpu(self, config: GenerateConfig) -> None:
        """Take the GPU of this process's number on its machine, where the configuration leaves it open."""
        if self.several and config.compute.device == "cuda":
            torch.cuda.set_device(self.local % torch.cuda.device_count())


def current_rank(environ: Mapping[str, str] = os.environ) -> Rank:
    """Return what the launcher says of this process; the only one where there is no launcher.

    Raises:
        UsageError: the launcher's variables contradict each other.

    >>> current_rank({"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"})
    Rank(number=2, world=4, local=0)
    """
    for number, world, local in _VARIABLES:
        if number not in environ or world not in environ:
            continue
        try:
            rank = Rank(int(environ[number]), int(environ[world]), int(environ.get(local, "0")))
        except ValueError as error:
            raise UsageError(f"{number}, {world} and {local} must be whole numbers: {error}.") from error
        if not 0 <= rank.number < rank.world:
            raise UsageError(f"{number}={rank.number} is none of {world}={rank.world} processes.")
        return rank
    return Rank()


def check_ranked(config: GenerateConfig) -> None:
    """Raise UsageError for what one process has to do before several can work."""
    for name in ("overwrite", "extend", "retry_errors"):
        if getattr(config.run, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} changes the plan, which several ranks cannot do at once: first run the command once, in one "
                "process, with --plan-only; then on all of them without the option."
            )


def wait_for_plan(config: GenerateConfig, *, patience_s: float = 600.0) -> None:
    """Wait until rank 0 has written the plan.

    Raises:
        EngineError: it has not after ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while Dataset.load(config.output) is None:
        if time.monotonic() >= deadline:
            raise EngineError(
                f"rank 0 has written no plan to {config.output} for {patience_s:.0f} s: see what it says, or write the "
                "plan beforehand with --plan-only."
            )
        time.sleep(_POLL_S)
