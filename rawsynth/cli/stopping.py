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
    """Raise KeyboardInterrupt on Ctrl-C and SIGTERM; a process that is still there some seconds later is ended.

    A thread in the middle of a large image cannot be interrupted. What it leaves has a temporary name, and the next run
    removes it.

    Args:
        exit_code: after Ctrl-C; who sends SIGTERM sees that this is what ended the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def end() -> None:
        print("\nrawsynth: stopped; the same command goes on where this one stopped.", file=sys.stderr, flush=True)
        _end_by_sigterm(received)
        os._exit(exit_code)

    timer = threading.Timer(GRACE_S, end)
    timer.daemon = True

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
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
        _end_by_sigterm(received)


def _end_by_sigterm(received: list[int]) -> None:
    if signal.SIGTERM in received:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(128 + signal.SIGTERM)
