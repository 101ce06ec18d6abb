"""Threads between the stages: order is kept, memory is bounded, and an exception anywhere ends all of them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_POLL_S = 0.1


def ordered_map(pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], window: int) -> Iterator[B]:
    """Map on a pool's threads, yielding results in the order of the items; at most ``window`` are under way."""
    pending: deque[Future[B]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Nothing of this goes on once it is left: the pool may have other work next.
        wait([future for future in pending if not future.cancel()])


class Pools:
    """The threads of a shard's stages. One for many shards saves each the start, and the memory that threads leave.

    A context manager: leaving it ends the threads.

    Attributes:
        decoders: read, decode and cut images; ``decoding`` is their number.
        makers: turn batches into encoded samples; ``making`` is their number.
    """

    def __init__(self, decoding: int, making: int) -> None:
        self.decoding, self.making = decoding, making
        self.decoders = ThreadPoolExecutor(decoding, "rawsynth-decode")
        self.makers = ThreadPoolExecutor(making, "rawsynth-synthesize")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.decoders.shutdown()
        self.makers.shutdown()


class Prefetch(Generic[A]):
    """Run an iterator in a thread, ``depth`` items ahead. A context manager: leaving it stops the thread."""

    def __init__(self, items: Iterator[A], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, A | BaseException | None]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rawsynth-prefetch", daemon=True)

    def __enter__(self) -> Prefetch[A]:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(("item", item)):
                    return
            self._put(("end", None))
        except BaseException as error:  # noqa: BLE001 - handed to the consuming thread, which raises it
            self._put(("error", error))
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def _put(self, entry: tuple[str, A | BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[A]:
        while True:
            kind, value = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
