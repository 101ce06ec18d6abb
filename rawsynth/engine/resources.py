"""What this machine has for a run: cores, memory, GPUs, and how many workers that makes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.shards import Shard

# A worker of the packaged network stays below this (benchmarks/README.md); one that does not fit swaps.
WORKER_BYTES = 2_000_000_000
# A process takes seconds to start; below this much input one process is done sooner.
AUTO_WORKERS_BYTES = 100_000_000


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that could be had now, ``None`` where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def visible_gpus() -> list[str]:
    """Names by which ``CUDA_VISIBLE_DEVICES`` knows the GPUs that this process sees."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return [name.strip() for name in named.split(",")]
    return [str(index) for index in range(torch.cuda.device_count())]


def worker_count(config: GenerateConfig, todo: Sequence[Shard]) -> int:
    """Return how many processes make the shards; 1: this one alone.

    On GPUs one for each share of ``gpus_per_worker``; on a CPU one a core, as far as memory goes and the input repays
    starting them.
    """
    asked = config.run.workers
    if asked != "auto":
        return min(asked, max(1, len(todo)))
    if config.compute.device == "cuda":
        most = int(len(visible_gpus()) / config.run.gpus_per_worker)
    elif config.compute.device != "cpu" or sum(shard.size for shard in todo) < AUTO_WORKERS_BYTES:
        most = 1
    else:
        memory = available_memory()
        most = min(available_cores(), available_cores() if memory is None else memory // WORKER_BYTES)
    return max(1, min(most, len(todo)))


def threads_of_each(config: GenerateConfig, workers: int) -> int:
    """Return a worker's threads: what was asked for, or its share of the cores, so that workers do not fight."""
    return config.run.threads or max(1, available_cores() // workers)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch split an operation over so many threads: one where the pipeline's own already use every core."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
