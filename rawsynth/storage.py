"""Every path of the package: fsspec URLs in, streams, listings and atomic commits out.

A file is committed as a whole or not at all. On a local disk it is written under a temporary name beside its target,
flushed, synced and renamed. Anywhere else it is written to a local temporary file and uploaded in one piece, because
fsspec completes a half-written object when a ``with`` body raises.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import InputAccessError, OutputError, UsageError

T = TypeVar("T")

_RETRIES = 4
_FIRST_WAIT_S = 0.5
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_NOT_TRANSIENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def resolve(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the filesystem of a URL and the path on it.

    Raises:
        UsageError: the scheme is unknown, or its driver is not installed.
    """
    try:
        fs, path = fsspec.core.url_to_fs(os.fspath(url))
    except (ValueError, ImportError) as error:
        raise UsageError(f"{url}: {error}") from error
    return fs, str(path)


def is_local(url: str) -> bool:
    """Whether a URL is on a local disk."""
    return isinstance(resolve(url)[0], LocalFileSystem)


def join(url: str, *parts: str) -> str:
    """Append path parts to a URL; a part that is absolute or a URL of its own stands alone."""
    for part in parts:
        url = part if "://" in part or part.startswith("/") else f"{url.rstrip('/')}/{part}" if url else part
    return url


def retry(action: Callable[[], T], url: str) -> T:
    """Run ``action``, again after a growing wait if a remote store fails in passing.

    Raises:
        InputAccessError: it still fails, or at once where waiting cannot help.
    """
    attempts = 1 if is_local(url) else _RETRIES
    for attempt in range(attempts):
        try:
            return action()
        except _NOT_TRANSIENT as error:
            raise InputAccessError(f"cannot read {url}: {_cause(error)}") from error
        except Exception as error:  # noqa: BLE001 - drivers raise their libraries' own; all are faults of access
            if attempt + 1 == attempts:
                raise InputAccessError(f"cannot read {url}: {_cause(error)}") from error
            time.sleep(_FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def read_bytes(url: str) -> bytes:
    """Read a whole file."""

    def read() -> bytes:
        fs, path = resolve(url)
        return bytes(fs.cat_file(path))

    return retry(read, url)


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
            self.failure = InputAccessError(f"cannot read {self._url}: {_cause(error)}")
            raise self.failure from error


def open_read(url: str) -> GuardedStream:
    """Open a seekable binary stream; the caller closes it."""

    def open_stream() -> Any:
        fs, path = resolve(url)
        return open(path, "rb") if isinstance(fs, LocalFileSystem) else fs.open(path, "rb", cache_type="readahead")

    return GuardedStream(retry(open_stream, url), url)


def exists(url: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = resolve(url)
    return retry(lambda: bool(fs.exists(path)), url)


def is_folder(url: str) -> bool:
    """Whether a URL is a folder (on an object store, a prefix)."""
    fs, path = resolve(url)
    return retry(lambda: bool(fs.isdir(path)), url)


def size(url: str) -> int:
    """Return a file's size in bytes."""
    fs, path = resolve(url)
    return retry(lambda: int(fs.size(path)), url)


def walk_files(url: str) -> list[tuple[str, int | None]]:
    """List a folder recursively.

    Returns:
        ``(path relative to the folder, bytes)`` of each file, sorted by path; no bytes where the store does not say.
    """
    fs, root = resolve(url)
    found = retry(lambda: fs.find(root, detail=True, withdirs=False), url)
    prefix = root.rstrip("/") + "/"
    rows = {str(p): info.get("size") for p, info in found.items() if str(p).startswith(prefix)}
    return [(p[len(prefix) :], None if rows[p] is None else int(rows[p])) for p in sorted(rows)]


def list_names(folder: str) -> set[str]:
    """Return the names of what is directly in a folder."""
    fs, path = resolve(folder)
    return {str(entry).rstrip("/").rpartition("/")[2] for entry in retry(lambda: fs.ls(path, detail=False), folder)}


def glob(url: str) -> list[str]:
    """Return the URLs that match a pattern with ``*``, ``?`` or ``[...]``, sorted."""
    fs, pattern = resolve(url)
    matches = retry(lambda: fs.glob(pattern), url)
    return sorted(str(m) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(m)) for m in matches)


def remove(url: str) -> None:
    """Remove a file; nothing happens if it is not there."""
    fs, path = resolve(url)
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot remove {url}: {_cause(error)}") from error


def prepare_folder(url: str) -> None:
    """Create an output folder and check that it takes files.

    Raises:
        OutputError: it cannot be created or written.
    """
    fs, path = resolve(url)
    try:
        fs.makedirs(path, exist_ok=True)
        if isinstance(fs, LocalFileSystem):
            with tempfile.TemporaryFile(dir=path):
                pass
    except OSError as error:
        raise OutputError(f"cannot write to {url}: {_cause(error)}. Choose a folder that you may write to.") from error


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
                retry(lambda: self._fs.put_file(str(self._temporary), self._path), self.url)
                self._temporary.unlink()
        except OSError as error:
            self.abort()
            raise self._failed(error) from error

    def abort(self) -> None:
        """Leave nothing behind; safe to call after :meth:`commit` too."""
        try:
            self._file.close()
        except OSError:
            # A full disk fails again when the buffer is flushed on close; the file goes away all the same.
            pass
        self._temporary.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OutputError:
        hint = " Free some space and run again: finished shards are kept." if error.errno == errno.ENOSPC else ""
        return OutputError(f"cannot write {self.url}: {_cause(error)}.{hint}")


def remove_stale(folder: str) -> None:
    """Remove what killed runs left under temporary names anywhere in a folder; local disks only."""
    fs, path = resolve(folder)
    if isinstance(fs, LocalFileSystem):
        for leftover in Path(path).rglob(".*.tmp"):
            if _TEMPORARY.fullmatch(leftover.name):
                leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def absolute(url: str) -> str:
    """Return a local path as an absolute one with links resolved; any other URL as it is, without a last slash."""
    fs, path = resolve(url)
    return os.path.realpath(path) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path)).rstrip("/")
