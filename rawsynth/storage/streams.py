"""Read files: as streams whose failures to read are faults of access and stay known, or whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import InputAccessError
from rawsynth.storage.ahead import BLOCK_BYTES, DEPTH, ReadAhead
from rawsynth.storage.faults import cause
from rawsynth.storage.listing import file_info
from rawsynth.storage.ranges import download, fetch_range
from rawsynth.storage.retrying import retry
from rawsynth.storage.urls import resolve

T = TypeVar("T")


class GuardedStream(io.RawIOBase):
    """Binary stream whose failures to read become InputAccessError, and are kept.

    Archive readers take an OSError for a fault of the content and go on; ``failure`` tells the two apart afterwards.
    """

    def __init__(self, stream: Any, url: str) -> None:
        super().__init__()
        self._stream, self._url = stream, url
        self.failure: InputAccessError | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes, all if negative."""
        return bytes(self._guard(lambda: self._stream.read(-1 if size is None else size)))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as a file does."""
        return int(self._guard(lambda: self._stream.seek(offset, whence)))

    def tell(self) -> int:
        """Return the position."""
        return int(self._stream.tell())

    def seekable(self) -> bool:
        """Streams of this package are."""
        return True

    def readable(self) -> bool:
        """Streams of this package are."""
        return True

    def close(self) -> None:
        """Close the stream under it too."""
        self._stream.close()
        super().close()

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except InputAccessError as error:
            self.failure = error
            raise
        except Exception as error:  # noqa: BLE001 - as in retry()
            self.failure = InputAccessError(f"cannot read {self._url}: {cause(error)}")
            raise self.failure from error


def open_read(url: str) -> GuardedStream:
    """Open a seekable binary stream; the caller closes it. A remote file is read ahead in blocks, in the background.

    Raises:
        InputAccessError: it is not there, or cannot be reached.
    """
    fs, path = resolve(url)
    if isinstance(fs, LocalFileSystem):
        return GuardedStream(retry(lambda: open(path, "rb"), url), url)
    return _open_remote(fs, path, url, file_info(fs, path, url))


def _open_remote(fs: fsspec.AbstractFileSystem, path: str, url: str, info: dict[str, Any]) -> GuardedStream:
    if info["type"] == "directory":
        raise InputAccessError(f"cannot read {url}: it is a folder")
    size = info.get("size")
    if size is None or info.get("partial") is False:
        return GuardedStream(download(fs, path, url, size), url)

    def fetch(start: int, end: int) -> bytes | None:
        return fetch_range(fs, path, url, start=start, end=end, size=int(size), stop=stream.stop)

    # Drivers that are not asynchronous are not made for several threads at once.
    threads = DEPTH if getattr(fs, "async_impl", False) else 1
    stream = ReadAhead(fetch, lambda: download(fs, path, url, size), size=int(size), threads=threads)
    return GuardedStream(stream, url)


def read_bytes(url: str, *, listed: int | None = None) -> bytes:
    """Read a whole file.

    Args:
        url: of the file.
        listed: its size as a listing states it, which saves a remote store one of two requests. What comes back has
            another length only if the file has.

    Raises:
        InputAccessError: it is not there, or cannot be read to its end.
    """
    fs, path = resolve(url)
    if isinstance(fs, LocalFileSystem):
        return retry(lambda: bytes(fs.cat_file(path)), url)
    if listed is not None and 0 < listed < BLOCK_BYTES:
        # One byte more than there should be shows that a file has grown.
        data = retry(lambda: bytes(fs.cat_file(path, start=0, end=listed + 1)), url, size=listed)
        if len(data) == listed:
            return data
    with _open_remote(fs, path, url, file_info(fs, path, url)) as stream:
        return stream.read()
