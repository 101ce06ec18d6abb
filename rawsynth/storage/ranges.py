"""Get bytes of one remote file: a range of them, or all in a local temporary file."""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from typing import BinaryIO, cast

import fsspec
import fsspec.asyn
from fsspec.callbacks import Callback

from rawsynth.storage.faults import ShortTransfer
from rawsynth.storage.retrying import retry
from rawsynth.storage.urls import resolve, speaks_http


def read_range(url: str, start: int, length: int) -> bytes:
    """Read ``length`` bytes of a file from ``start``.

    Raises:
        InputAccessError: the file cannot be reached, or ends before.
    """
    if not length:
        # Some stores refuse an empty range.
        return b""
    fs, path = resolve(url)

    def read() -> bytes:
        data = bytes(fs.cat_file(path, start=start, end=start + length))
        if len(data) > length and len(data) >= start + length:
            # A plain web server may not know ranges, and sends all of the file.
            return data[start : start + length]
        if len(data) != length:
            raise ShortTransfer(f"wanted {length} bytes from {start}, got {len(data)}; was it cut short or replaced?")
        return data

    return retry(read, url, size=length)


def fetch_range(
    fs: fsspec.AbstractFileSystem, path: str, url: str, *, start: int, end: int, size: int, stop: threading.Event
) -> bytes | None:
    """Return the bytes from ``start`` to ``end`` of a file of ``size``; ``None`` if the store gives no ranges.

    Raises:
        InputAccessError: they cannot be had.
    """

    def fetch() -> bytes | None:
        data = _http_range(fs, path, start, end, size) if speaks_http(fs) else fs.cat_file(path, start=start, end=end)
        if data is None or len(data) > end - start:
            return None
        if len(data) < end - start:
            raise ShortTransfer(f"read cut short: {len(data)} of {end - start} bytes from {start} on")
        return bytes(data)

    return retry(fetch, url, size=end - start, stop=stop)


def _http_range(fs: fsspec.AbstractFileSystem, path: str, start: int, end: int, size: int) -> bytes | None:
    """Not ``cat_file``: where a server ignores ranges that reads all of the file into memory."""
    with fs.open(path, "rb", block_size=end - start, cache_type="none", size=size) as stream:
        stream.seek(start)
        try:
            return bytes(stream.read(end - start))
        except ValueError:
            return None


def download(fs: fsspec.AbstractFileSystem, path: str, url: str, size: int | None) -> BinaryIO:
    """Copy a file whose store gives no ranges, or no size, to a temporary one, which goes away when it is closed.

    Raises:
        InputAccessError: it cannot be read.
    """
    got_on = time.monotonic()

    class Pulse(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            nonlocal got_on
            got_on = time.monotonic()

    def copy() -> BinaryIO:
        nonlocal got_on
        got_on = time.monotonic()
        target = cast(BinaryIO, tempfile.TemporaryFile(prefix="rawsynth-"))
        try:
            _copy(fs, path, target, Pulse())
            length = target.seek(0, 2)
            if size is not None and length != size:
                raise ShortTransfer(f"read {length} bytes of {size}")
            target.seek(0)
            return target
        except BaseException:
            target.close()
            raise

    return retry(copy, url, since=lambda: got_on)


def _copy(fs: fsspec.AbstractFileSystem, path: str, target: BinaryIO, pulse: Callback) -> None:
    if not speaks_http(fs):
        fs.get_file(path, target, callback=pulse)
        return
    import aiohttp

    # By itself the HTTP client ends every download after five minutes, however well it goes. fsspec keeps an argument
    # of this name to itself, so the call is bound first.
    unlimited = functools.partial(fs._get_file, timeout=aiohttp.ClientTimeout(total=None))
    fsspec.asyn.sync(fs.loop, unlimited, path, target, callback=pulse)
