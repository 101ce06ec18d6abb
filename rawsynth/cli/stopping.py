"""Ctrl-C and SIGTERM end a run within seconds, whatever its threads are computing: what is done is recorded."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# For what a run does on its way out: ending workers, removing its temporary files.
GRACE_S = 4.0


@contextmanager
def stopping_within_seconds(exit_code: int) -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM as on Ctrl-C; a process that is still there some seconds later is ended.

    A thread in the middle of a large image cannot be interrupted. What it leaves has a temporary name, and the next run
    removes it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end() -> None:
        print("\nrawsynth: stopped; the same command goes on where this one stopped.", file=sys.stderr, flush=True)
        os._exit(exit_code)

    timer = threading.Timer(GRACE_S, end)
    timer.daemon = True

    def stop(number: int, frame: FrameType | None) -> None:
        if not timer.is_alive():
            timer.start()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        timer.cancel()
