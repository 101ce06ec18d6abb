"""Tar files of WebDataset samples, written whole, with equal bytes for equal content."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping

from rawsynth.storage.atomic import AtomicFile

# Every write and every checksum hands the interpreter's lock to other threads and waits to get it back, so few large
# ones: WebDataset's TarWriter, which writes in pieces of 10 kB, took several times as long in a pipeline.
_WRITE_BYTES = 8 << 20


class TarFile:
    """Tar that appears under its name when it is committed.

    Attributes:
        file: what it is written to, with the running checksum.
        samples: how many were written.
        size: bytes of their entries.
    """

    def __init__(self, url: str) -> None:
        self.file = AtomicFile(url)
        self.samples = self.size = 0
        self._waiting: list[bytes] = []

    def write(self, entries: bytes) -> None:
        """Append one sample, as :func:`tar_entries` made it."""
        self._waiting.append(entries)
        self.samples += 1
        self.size += len(entries)
        if self.size - self.file.bytes_written >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self.file.write(b"".join(self._waiting))
        self._waiting.clear()

    def commit(self) -> None:
        """Write the end-of-archive mark, filled up to whole records as tar does, and commit the file."""
        end = self.size + 2 * tarfile.BLOCKSIZE
        self._waiting.append(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))
        self._flush()
        self.file.commit()

    def abort(self) -> None:
        """Leave nothing behind; safe to call after :meth:`commit` too."""
        self.file.abort()


def tar_entries(key: str, members: Mapping[str, bytes]) -> bytes:
    """Return a sample as the bytes of its tar entries, members in the order of their names."""
    pieces = []
    for extension, data in sorted(members.items()):
        # Time and owner are zero and empty, so that equal content makes equal bytes.
        entry = tarfile.TarInfo(f"{key}.{extension}")
        entry.size = len(data)
        pieces += [entry.tobuf(tarfile.PAX_FORMAT), data, bytes(-len(data) % tarfile.BLOCKSIZE)]
    return b"".join(pieces)
