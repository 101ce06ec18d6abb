"""Binary streams whose failures to read are faults of access, and stay known."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import InputAccessError
from rawsynth.storage.urls import cause, resolve, retry

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
        except Exception as error:  # noqa: BLE001 - as in retry()
            self.failure = InputAccessError(f"cannot read {self._url}: {cause(error)}")
            raise self.failure from error


def open_read(url: str) -> GuardedStream:
    """Open a seekable binary stream; the caller closes it."""

    def open_stream() -> Any:
        fs, path = resolve(url)
        return open(path, "rb") if isinstance(fs, LocalFileSystem) else fs.open(path, "rb", cache_type="readahead")

    return GuardedStream(retry(open_stream, url), url)
