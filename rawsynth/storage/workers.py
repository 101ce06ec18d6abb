"""Threads for calls to a store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Workers(Generic[T]):
    """A pool of daemon threads, started as they are needed.

    The threads of ``concurrent.futures`` are waited for at the end of the process; a store that hangs would hold it up.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most, self._name = threads, name
        self._tasks: queue.SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = queue.SimpleQueue()
        self._threads = 0

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have a call made; calls begin in their order. Only one thread may submit at a time."""
        future: Future[T] = Future()
        self._tasks.put((future, call))
        if self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end when they have made the calls that nobody has cancelled."""
        for _ in range(self._threads):
            self._tasks.put(None)
        self._threads = 0

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            _make(*task)
            # Or the last result would stay in memory while this thread waits.
            del task


def _make(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
        future.set_exception(error)
