"""Files on this machine's disks, told from what only looks like one in a listing: reading a pipe may wait for ever."""

from __future__ import annotations

import os
import stat

from rawsynth import storage
from rawsynth.errors import InputAccessError
from rawsynth.storage.faults import cause

_KINDS = (
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def local_size(url: str) -> int | None:
    """Return the bytes of a file on a local disk, links followed; ``None`` for what is in another store.

    Raises:
        InputAccessError: it is not there or out of reach, or it is a pipe, a socket, a device or a folder.
    """
    path = _local_path(url)
    if path is None:
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise InputAccessError(f"cannot read {url}: {cause(error)}") from error
    _refuse_special(url, found.st_mode)
    return found.st_size


def listed_size(url: str, size: int | None) -> int | None:
    """Return the size that a listing gave, but ``None`` for what is out of reach now, such as a link to nowhere.

    Raises:
        InputAccessError: it is a pipe, a socket, a device or a folder.
    """
    path = _local_path(url)
    if path is None:
        return size
    try:
        _refuse_special(url, os.stat(path).st_mode)
    except InputAccessError:
        raise
    except (OSError, ValueError):
        return None
    return size


def _local_path(url: str) -> str | None:
    # Resolving takes longer than all the rest, and most names are plain paths.
    if "://" not in url and not url.startswith("~"):
        return url
    return storage.resolve(url)[1] if storage.is_local(url) else None


def _refuse_special(url: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise InputAccessError(f"{url} is {kind}, want a file: remove it from the input, or put a file in its place.")
