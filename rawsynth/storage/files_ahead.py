"""Read many small remote files ahead of whoever decodes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future

from rawsynth.storage.streams import read_bytes
from rawsynth.storage.urls import is_local
from rawsynth.storage.workers import Workers

# A request takes some 50 ms whatever its size, so 16 at once give 300 files a second; twice as many wait in memory.
_THREADS = 16
_FILES = 32
_BYTES = 256 << 20
# What a file is taken for whose size no listing states.
_UNKNOWN_BYTES = 8 << 20


class FilesAhead:
    """Hand out reads of files in their order; those of remote files are under way before they are asked for.

    Args:
        files: URL, and size where it is known, of each.
    """

    def __init__(self, files: Iterable[tuple[str, int | None]]) -> None:
        self._files = iter(files)
        self._window: deque[_Read] = deque()
        self._held = 0
        self._waiting: _Read | None = None
        self._lock = threading.Lock()
        self._workers: Workers[bytes] = Workers(_THREADS, "rawsynth-files-ahead")
        self._stopped = False

    def next(self) -> Callable[[], bytes]:
        """Return what reads the next file, once: it waits for the bytes, or raises InputAccessError.

        Never waits itself: where the reads handed out before are not taken, it returns one that is not under way.
        """
        with self._lock:
            self._fill()
            read = self._window.popleft() if self._window else self._take_waiting()
            self._fill()
        return read

    def _take_waiting(self) -> _Read:
        read, self._waiting = self._waiting, None
        if read is None:
            raise IndexError("every file has been handed out")
        return read

    def _fill(self) -> None:
        while not self._stopped and len(self._window) < _FILES:
            if self._waiting is None:
                file = next(self._files, None)
                if file is None:
                    self._stopped = True
                    self._workers.close()
                    return
                self._waiting = _Read(*file, self._release)
            if not self._start(self._waiting):
                return
            self._window.append(self._waiting)
            self._waiting = None

    def _start(self, read: _Read) -> bool:
        """Start a read if it fits into memory; local ones are made on call, as the disk's own cache reads ahead."""
        if not is_local(read.url):
            if self._held and self._held + read.weight > _BYTES:
                return False
            self._held += read.weight
            read.under_way = self._workers.submit(read.read)
        return True

    def _release(self, weight: int) -> None:
        with self._lock:
            self._held -= weight
            self._fill()

    def stop(self) -> None:
        """Start nothing more, and give up what has not begun; reads handed out read for themselves then."""
        with self._lock:
            self._stopped = True
            for read in self._window:
                if read.under_way is not None:
                    read.under_way.cancel()
            self._workers.close()


class _Read:
    """One file's read, under way or not."""

    def __init__(self, url: str, size: int | None, release: Callable[[int], None]) -> None:
        self.url, self._size, self._release = url, size, release
        self.weight = _UNKNOWN_BYTES if size is None else size
        self.under_way: Future[bytes] | None = None

    def read(self) -> bytes:
        return read_bytes(self.url, listed=self._size)

    def __call__(self) -> bytes:
        future, self.under_way = self.under_way, None
        if future is None:
            return self.read()
        try:
            return future.result()
        except CancelledError:
            return self.read()
        finally:
            self._release(self.weight)
