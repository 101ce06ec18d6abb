"""Read one remote file in blocks, a few of them ahead of the reader."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import BinaryIO

from rawsynth.storage.faults import ShortTransfer
from rawsynth.storage.workers import Workers

# Large enough that a request's latency is small beside its transfer, small enough that all blocks of a stream, at most
# DEPTH + 2 of them, are a small part of a worker's memory.
BLOCK_BYTES = 8 << 20
DEPTH = 4


class ReadAhead:
    """Seekable binary stream over a file of known size.

    Blocks begin where the reader began, or where it last sought to outside of what is there; the further it reads on
    from there, the more blocks are fetched ahead, so that a look at the file's end costs a few bytes.

    Args:
        fetch: returns the bytes from ``start`` to ``end``, checked; ``None`` if the store reads no ranges.
        whole: returns the file as a local one, for such a store.
        size: of the file, in bytes.
        threads: that fetch at the same time.
    """

    def __init__(
        self, fetch: Callable[[int, int], bytes | None], whole: Callable[[], BinaryIO], *, size: int, threads: int
    ) -> None:
        self._fetch, self._open_whole, self._size = fetch, whole, size
        self._workers: Workers[bytes | None] = Workers(threads, "rawsynth-read-ahead")
        self._whole: BinaryIO | None = None
        self._position = self._anchor = 0
        self._blocks: dict[int, Future[bytes | None]] = {}
        self.stop = threading.Event()

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, all if negative."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        pieces = []
        while self._position < end:
            piece = self._piece(end)
            if not piece:
                raise ShortTransfer(f"read cut short at byte {self._position} of {self._size}")
            pieces.append(piece)
            self._position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, end: int) -> bytes:
        if self._whole is None:
            index, offset = self._locate()
            block = self._blocks[index].result()
            if block is not None:
                return block[offset : offset + end - self._position]
            self._drop(set(self._blocks))
            self._whole = self._open_whole()
        self._whole.seek(self._position)
        return self._whole.read(end - self._position)

    def _locate(self) -> tuple[int, int]:
        """Return the block of the position and the place in it; it and those after it are under way."""
        if self.stop.is_set():
            raise ValueError("read of a closed stream")
        index, offset = divmod(self._position - self._anchor, BLOCK_BYTES)
        if index not in self._blocks and index - 1 not in self._blocks:
            self._drop(set(self._blocks))
            self._anchor, index, offset = self._position, 0, 0
        # None at first, one from the middle of the first block on, all of them after two.
        ahead = min(DEPTH, 2 * (self._position - self._anchor) // BLOCK_BYTES)
        # One behind stays: archive readers step back a little.
        self._drop({i for i in self._blocks if i < index - 1})
        for wanted in range(index, index + ahead + 1):
            start = self._anchor + wanted * BLOCK_BYTES
            if wanted not in self._blocks and start < self._size:
                self._blocks[wanted] = self._submit(start, min(start + BLOCK_BYTES, self._size))
        return index, offset

    def _submit(self, start: int, end: int) -> Future[bytes | None]:
        return self._workers.submit(lambda: self._fetch(start, end))

    def _drop(self, indices: set[int]) -> None:
        for index in indices:
            self._blocks.pop(index).cancel()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as a file does; nothing is fetched before the next read."""
        position = offset + (0, self._position, self._size)[whence]
        if position < 0:
            raise ValueError(f"seek to {position}, before the beginning")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def close(self) -> None:
        """Fetch nothing more; what is under way is dropped when it comes."""
        self.stop.set()
        self._drop(set(self._blocks))
        self._workers.close()
        if self._whole is not None:
            self._whole.close()
