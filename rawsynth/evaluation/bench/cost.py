"""What methods cost here: time an image and peak memory, methods in turn, so that a machine's drift hits all alike."""

from __future__ import annotations

import ctypes
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rawsynth.evaluation.bench.entries import Entry
from rawsynth.pairs import Pair

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """One method on one image.

    Attributes:
        ms: milliseconds an image, the median of the rounds; from uint8 sRGB in memory to RAW on the device.
        images_per_s: the same, inverted.
        memory_mb: peak during a call above what was held before it; ``None`` where that cannot be measured.
        height, width: of the image.
        rounds: how often it was timed, after a warm-up.
    """

    ms: float
    images_per_s: float
    memory_mb: float | None
    height: int
    width: int
    rounds: int


def measure_costs(entries: Sequence[Entry], pair: Pair, *, rounds: int) -> dict[str, Cost]:
    """Time methods in turn on one pair's sRGB; a method that fails has no cost, its failure shows elsewhere.

    Args:
        entries: what is timed; the oracle is left out.
        pair: whose sRGB they get, with its frame.
        rounds: after one call of each to warm up.
    """
    calls: dict[str, Callable[[], object]] = {}
    memory: dict[str, float | None] = {}
    for entry in entries:
        if not entry.is_method:
            continue
        try:
            call = _call(entry, pair)
            call()
            memory[entry.name] = _peak_mb(call, entry.runner.device)
            calls[entry.name] = call
        except Exception:  # noqa: BLE001, S112 - whatever a method does on this pair is told where it is scored
            continue
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    height, width = pair.srgb.shape[-2:]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        name: Cost(1000 * median, 1 / median, memory[name], height, width, rounds) for name, median in medians.items()
    }


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return the device in words and the threads that the CPU's part may use."""
    cpu = device.type == "cpu"
    name = _cpu_name() if cpu else torch.cuda.get_device_name(device)
    return {"device": str(device), "device_name": name, "threads": torch.get_num_threads()}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _call(entry: Entry, pair: Pair) -> Callable[[], object]:
    runner = entry.runner
    job = runner.prepare(0, pair)

    def run() -> object:
        with runner.evaluation_mode():
            made = runner([job])
        if runner.device.type == "cuda":
            torch.cuda.synchronize(runner.device)
        return made

    return run


def _peak_mb(call: Callable[[], object], device: torch.device) -> float | None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    if not _STATUS.exists():
        return None
    _return_freed_memory()
    try:
        # Linux then counts the peak anew.
        _CLEAR.write_text("5")
        before = _held_kb()["VmRSS"]
        call()
        return max(0.0, (_held_kb()["VmHWM"] - before) * 1024 / 1e6)
    except (OSError, KeyError, ValueError):
        return None


def _return_freed_memory() -> None:
    """Give freed memory back, or a call would live off what an earlier one has left."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def _held_kb() -> Mapping[str, int]:
    rows = (line.partition(":") for line in _STATUS.read_text().splitlines())
    return {name: int(value.split()[0]) for name, _, value in rows if value.strip().endswith("kB")}
