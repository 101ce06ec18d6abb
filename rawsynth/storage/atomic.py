"""Files that are committed as a whole or not at all.

On a local disk a file is written under a temporary name beside its target, flushed, synced and renamed. Anywhere else
it is written to a local temporary file and uploaded in one piece, because fsspec completes a half-written object when a
``with`` body raises. An object store shows an upload when all of it has arrived, in several parts too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import uuid
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import OutputError
from rawsynth.storage.faults import ShortTransfer, cause
from rawsynth.storage.retrying import retry
from rawsynth.storage.urls import resolve


def write_atomic(url: str, data: bytes) -> None:
    """Write a small file as a whole or not at all."""
    target = AtomicFile(url)
    try:
        target.write(data)
        target.commit()
    except BaseException:
        target.abort()
        raise


class AtomicFile:
    """Binary file that appears under its name only on :meth:`commit`.

    Attributes:
        sha256: running checksum of what was written.
        bytes_written: how much was written.

    Raises:
        OutputError: the disk is full, or the target cannot be written; nothing is left under the final name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._path = resolve(url)
        self._local = isinstance(self._fs, LocalFileSystem)
        self.sha256 = hashlib.sha256()
        self.bytes_written = 0
        try:
            if self._local:
                folder = Path(self._path).parent
                folder.mkdir(parents=True, exist_ok=True)
                self._temporary = folder / f".{Path(self._path).name}.{uuid.uuid4().hex[:12]}.tmp"
            else:
                handle, name = tempfile.mkstemp(prefix="rawsynth-", suffix=".tmp")
                os.close(handle)
                self._temporary = Path(name)
            self._file = open(self._temporary, "wb", buffering=1 << 16)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes, as a file does."""
        try:
            written = self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error
        self.sha256.update(data)
        self.bytes_written += written
        return written

    def commit(self) -> None:
        """Make the file appear under its name, whole and on disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._local:
                os.replace(self._temporary, self._path)
                _sync_folder(Path(self._path).parent)
            else:
                retry(self._upload, self.url, doing="write", size=self.bytes_written)
                self._temporary.unlink()
        except OutputError:
            self.abort()
            raise
        except OSError as error:
            self.abort()
            raise self._failed(error) from error

    def _upload(self) -> None:
        self._fs.put_file(str(self._temporary), self._path)
        try:
            size = self._fs.info(self._path).get("size")
        except FileNotFoundError as error:
            raise ShortTransfer("the store does not have it after the upload") from error
        if size is not None and size != self.bytes_written:
            with contextlib.suppress(Exception):
                # Nothing is better than part of it; if this fails too, the next try replaces it.
                self._fs.rm_file(self._path)
            raise ShortTransfer(f"{size} bytes arrived of {self.bytes_written}")

    def abort(self) -> None:
        """Leave nothing behind; safe to call after :meth:`commit` too."""
        try:
            self._file.close()
        except OSError:
            # A full disk fails again when the buffer is flushed on close; the file goes away all the same.
            pass
        self._temporary.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OutputError:
        hint = " Free some space, or choose another disk, and run again." if error.errno == errno.ENOSPC else ""
        return OutputError(f"cannot write {self.url}: {cause(error)}.{hint}")


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
