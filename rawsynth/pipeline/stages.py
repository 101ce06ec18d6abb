"""Where a shard's time goes: seconds by stage, added up over its threads. Decides no byte of a corpus.

::

    read        input bytes off a disk or a store            to_device    a batch of pixels to the device
    decode      to sRGB, with downscaling and cropping       method       reverse ISP and the clean image's DN
    encode      samples to the bytes of members              noise        noise and the noisy images' DN
    write       tar, checksum, disk                          from_device  DN back to memory

    wait_input  making threads (a GPU: the one that feeds it) had no batch, because none was read and decoded yet
    wait_output they had none, because the batches that were ready waited for the writing of earlier ones
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")

STAGES = (
    "read", "decode", "to_device", "method", "noise", "from_device", "encode", "write", "wait_input", "wait_output",
)  # fmt: skip


class StageClock:
    """Seconds by stage; any thread may add to it. Where several threads work, a second of each counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(STAGES, 0.0)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds of a stage."""
        with self._lock:
            self._seconds[stage] += seconds

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count what the body takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def measure_items(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Count what it takes to get each item; what is done with it does not count."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage so far."""
        with self._lock:
            return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}


class Laps(Protocol):
    """Times of the stages that follow one another on a device."""

    def lap(self, stage: str) -> None:
        """What was asked of the device since the lap before was this stage."""

    def finish(self) -> None:
        """Count the laps; all their results are in memory by now."""


class HostLaps:
    """Laps of a CPU, which has done a thing when the call returns."""

    def __init__(self, clock: StageClock) -> None:
        self._clock, self._last = clock, time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the lap before."""
        now = time.perf_counter()
        self._clock.add(stage, now - self._last)
        self._last = now

    def finish(self) -> None:
        """Nothing is open."""


class GpuLaps:
    """Laps of a GPU, by events in its queue of work; nothing waits for them before :meth:`finish`.

    Args:
        clock: takes the seconds.
        mark: puts an event into the queue and returns it.
    """

    def __init__(self, clock: StageClock, mark: Callable[[], Any]) -> None:
        self._clock, self._mark = clock, mark
        self._marks = [("", mark())]

    def lap(self, stage: str) -> None:
        """Mark the end of a stage in the queue."""
        self._marks.append((stage, self._mark()))

    def finish(self) -> None:
        """Read the events. Call it after the results were copied back: the device has passed them, so this is quick."""
        self._marks[-1][1].synchronize()
        for (_, start), (stage, end) in pairwise(self._marks):
            self._clock.add(stage, start.elapsed_time(end) / 1000)


def device_laps(device: torch.device, clock: StageClock) -> Laps:
    """Start laps on a device."""
    if device.type == "cpu":
        return HostLaps(clock)

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        return torch.cuda.current_stream(device).record_event(event)

    return GpuLaps(clock, mark)


class MakerWaits:
    """What the threads that make batches waited for between two of them."""

    def __init__(self, clock: StageClock) -> None:
        self._clock, self._started, self._thread = clock, time.perf_counter(), threading.local()

    @contextmanager
    def working(self, ready: float) -> Iterator[None]:
        """Work on a batch that was ready at this ``time.perf_counter()``; the time before it, this thread waited."""
        began = time.perf_counter()
        free: float = getattr(self._thread, "free", self._started)
        late = min(max(ready - free, 0.0), began - free)
        self._clock.add("wait_input", late)
        self._clock.add("wait_output", began - free - late)
        try:
            yield
        finally:
            self._thread.free = time.perf_counter()
