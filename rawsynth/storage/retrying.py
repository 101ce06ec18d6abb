"""Calls to a store: each with a deadline, and made again after a wait where the store fails in passing."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rawsynth.errors import InputAccessError, OutputError, RawsynthError, UsageError
from rawsynth.storage.faults import cause, is_transient
from rawsynth.storage.urls import is_local, resolve

T = TypeVar("T")

# Waits of about 0.5, 1, 2 and 4 s: a store that throttles or restarts is back within seconds, and drivers such as s3fs
# have tried a few times on their own before an attempt counts here. Who waits longer holds up a shard that the next run
# would make anyway.
_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5
# A thousand workers that were refused together must not come back together.
_JITTER = 0.25

TIMEOUT_VARIABLE = "RAWSYNTH_IO_TIMEOUT"
_TIMEOUT_S = 60.0
# A connection slower than this is as good as a hung one.
_SLOWEST_BYTES_PER_S = 1e6


def retry(
    action: Callable[[], T],
    url: str,
    *,
    doing: str = "read",
    size: int = 0,
    since: Callable[[], float] | None = None,
    stop: threading.Event | None = None,
) -> T:
    """Run ``action``; on a remote store with a deadline, and again after a growing wait if it fails in passing.

    Args:
        action: the call; after a deadline it may still be running when it is called again.
        url: what it is about.
        doing: ``"read"``, or what else cannot be done: ``"write"``, ``"remove"``.
        size: bytes that it moves, which lengthen the deadline.
        since: returns the monotonic time at which it last got on, for calls of unknown length.
        stop: once set, there is no further attempt.

    Raises:
        InputAccessError: a read still fails, or at once where waiting cannot help.
        OutputError: the same of anything else.
    """
    kind = InputAccessError if doing == "read" else OutputError
    local = is_local(url)
    limit = None if local else timeout_seconds() + size / _SLOWEST_BYTES_PER_S
    attempts = 1 if local else _ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            return action() if limit is None else within(action, limit, since)
        except RawsynthError:
            raise
        except Exception as error:  # noqa: BLE001 - drivers raise their libraries' own; all are faults of access
            if attempt == attempts or not is_transient(error) or (stop is not None and stop.is_set()):
                tried = f" (tried {attempt} times)" if attempt > 1 else ""
                raise kind(f"cannot {doing} {_place(error, url)}: {cause(error)}{tried}") from error
        time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(1 - _JITTER, 1 + _JITTER))
    raise AssertionError("unreachable")


def _place(error: Exception, url: str) -> str:
    """Of a folder that cannot be listed, the subfolder that is at fault is named; all else is the URL itself."""
    below = getattr(error, "filename", None)
    inside = isinstance(below, str) and is_local(url) and below.startswith(resolve(url)[1].rstrip("/") + "/")
    return str(below) if inside else url


def within(action: Callable[[], T], seconds: float, since: Callable[[], float] | None = None) -> T:
    """Run ``action`` in a thread of its own and wait so long for it.

    Args:
        action: left to itself when the time is over; its thread does not hold up the end of the process.
        seconds: how long it may take, or may stand still where ``since`` is given.
        since: returns the monotonic time at which it last got on.

    Raises:
        TimeoutError: it has not come back.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            future.set_exception(error)

    started = time.monotonic()
    threading.Thread(target=run, name="rawsynth-store-call", daemon=True).start()
    left = seconds
    while left > 0:
        try:
            return future.result(left)
        except TimeoutError:
            if future.done():
                # Its own, or it came back just now.
                return future.result()
        left = seconds - (time.monotonic() - (started if since is None else max(started, since())))
    raise TimeoutError(f"the store has not answered for {seconds:.3g} s; {TIMEOUT_VARIABLE} sets how long to wait")


def timeout_seconds() -> float:
    """Return how long one call to a remote store may take, before what it moves is added.

    Raises:
        UsageError: the environment variable is no positive number.
    """
    stated = os.environ.get(TIMEOUT_VARIABLE)
    if stated is None:
        return _TIMEOUT_S
    try:
        seconds = float(stated)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise UsageError(f"{TIMEOUT_VARIABLE} wants a positive number of seconds, got {stated!r}")
    return seconds
