"""How much damage is tried, and how long one case may take.

``RAWSYNTH_CASES`` is the number of mutated inputs in all (``make soak`` sets it), ``RAWSYNTH_SEED`` their seed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

CASES = int(os.environ.get("RAWSYNTH_CASES", "1200"))
SEED = int(os.environ.get("RAWSYNTH_SEED", "0"))
# A watchdog a case would take longer than most cases do.
WATCHDOG_SECONDS = 300 + 0.1 * CASES


class TookTooLong(BaseException):
    """A case that hangs; no `except Exception` takes it for a fault of the content."""


def cases(kind: str, share: float) -> Iterator[tuple[str, Random]]:
    """Yield a name and a generator for each case of one kind, a share of all."""
    for index in range(max(1, round(CASES * share))):
        name = f"{SEED}/{kind}/{index}"
        yield name, Random(name)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong after a time; compiled code that hangs is left to the watchdog of the whole test."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
