"""One process among several under torchrun; alone otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rawsynth.pipeline.environment import check_device

# The first process validates and writes while the others wait for it.
_PATIENCE = timedelta(hours=2)

Row = TypeVar("Row")


@dataclass(frozen=True)
class Place:
    """Where this process stands.

    Attributes:
        rank, world: its number and how many there are.
        device: what it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process validates, writes and speaks."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Average gradients over all processes in the backward pass."""
        if self.world == 1:
            return network
        return DistributedDataParallel(network, broadcast_buffers=False)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(raised, op=distributed.ReduceOp.MAX)
        return bool(raised.item())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Average a tensor over all processes."""
        if self.world > 1:
            distributed.all_reduce(values)
            values = values / self.world
        return values

    def gather(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of all processes."""
        if self.world == 1:
            return list(rows)
        shares: list[Any] = [None] * self.world
        distributed.all_gather_object(shares, list(rows))
        return [row for share in shares for row in share]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def take_place(device: str) -> Iterator[Place]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    Raises:
        UsageError: the device is not there.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")) if world > 1 else None)
    if world == 1:
        yield Place(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Place(rank, world, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    return check_device(f"cuda:{local_rank}" if kind == "cuda" and local_rank is not None else kind)
