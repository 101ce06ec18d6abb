"""fsspec URLs: what they name, what is there, and reading it, again after a wait where a store fails in passing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import InputAccessError, OutputError, UsageError

T = TypeVar("T")

_RETRIES = 4
_FIRST_WAIT_S = 0.5
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


def absolute(url: str) -> str:
    """Return a local path as an absolute one with links resolved; any other URL as it is, without a last slash."""
    fs, path = resolve(url)
    return os.path.realpath(path) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path)).rstrip("/")


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
            raise InputAccessError(f"cannot read {url}: {cause(error)}") from error
        except Exception as error:  # noqa: BLE001 - drivers raise their libraries' own; all are faults of access
            if attempt + 1 == attempts:
                raise InputAccessError(f"cannot read {url}: {cause(error)}") from error
            time.sleep(_FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def cause(error: Exception) -> str:
    """Say in a few words what went wrong."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def read_bytes(url: str) -> bytes:
    """Read a whole file."""

    def read() -> bytes:
        fs, path = resolve(url)
        return bytes(fs.cat_file(path))

    return retry(read, url)


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
        raise OutputError(f"cannot remove {url}: {cause(error)}") from error


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
        raise OutputError(f"cannot write to {url}: {cause(error)}. Choose a folder that you may write to.") from error
