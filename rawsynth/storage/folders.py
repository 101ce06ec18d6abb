"""Output folders: make them, and take files away."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import OutputError
from rawsynth.storage.faults import cause
from rawsynth.storage.retrying import retry
from rawsynth.storage.urls import resolve

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


def remove(url: str) -> None:
    """Remove a file; nothing happens if it is not there.

    Raises:
        OutputError: it cannot be removed.
    """
    fs, path = resolve(url)

    def take_away() -> None:
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            pass

    retry(take_away, url, doing="remove")


def prepare_folder(url: str) -> None:
    """Create an output folder and check that it takes files.

    Raises:
        OutputError: it cannot be created or written.
    """
    fs, path = resolve(url)
    if not isinstance(fs, LocalFileSystem):
        retry(lambda: fs.makedirs(path, exist_ok=True), url, doing="write to")
        return
    try:
        fs.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {url}: {cause(error)}. Choose a folder that you may write to.") from error


def remove_stale(folder: str) -> None:
    """Remove what killed runs left under temporary names anywhere in a folder; local disks only."""
    fs, path = resolve(folder)
    if isinstance(fs, LocalFileSystem):
        for leftover in Path(path).rglob(".*.tmp"):
            if is_temporary(leftover.name):
                leftover.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file has the name of one that was being written and not committed."""
    return _TEMPORARY.fullmatch(name) is not None
