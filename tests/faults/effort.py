"""How much damage is tried, and how long one case may take.

``RAWSYNTH_CASES`` is the number of mutated inputs in all (``make soak`` sets it), ``RAWSYNTH_SEED`` their seed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

CASES = int(os.environ.get("RAWSYNTH_CASES", "1200"))
SEED = int(os.environ.get("RAWSYNTH_SEED", "0"))


class TookTooLong(BaseException):
    """A case that hangs; no `except Exception` takes it for a fault of the content."""


def cases(kind: str, share: float) -> Iterator[tuple[str, Random]]:
    """Yield a name and a generator for each case of one kind, a share of all."""
    for index in range(max(1, round(CASES * share))):
        name = f"{SEED}/{kind}/{index}"
        yield name, Random(name)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong after a time; where that cannot help, in compiled code, end the process with its stacks."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(4 * seconds, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
