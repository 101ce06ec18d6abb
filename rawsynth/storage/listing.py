"""What is there. A fault of the store is never taken for an answer, as fsspec's own ``exists`` and ``walk`` do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import InputAccessError
from rawsynth.storage.faults import is_transient
from rawsynth.storage.retrying import retry
from rawsynth.storage.urls import resolve, speaks_http

T = TypeVar("T")


def exists(url: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = resolve(url)
    if isinstance(fs, LocalFileSystem):
        return bool(fs.exists(path))
    return retry(lambda: _found(lambda: bool(fs.info(path)), False), url)


def is_folder(url: str) -> bool:
    """Whether a URL is a folder (on an object store, a prefix; on a web server, a page with links)."""
    fs, path = resolve(url)
    if isinstance(fs, LocalFileSystem) or speaks_http(fs):
        return retry(lambda: bool(fs.isdir(path)), url)
    # Not isdir(): on S3 it lists all of the folder, and other drivers take a fault for a no.
    return retry(lambda: _found(lambda: bool(fs.info(path)["type"] == "directory"), False), url)


def size(url: str) -> int:
    """Return a file's size in bytes.

    Raises:
        InputAccessError: it cannot be had, or the store does not state sizes.
    """
    fs, path = resolve(url)
    info = file_info(fs, path, url)
    if info.get("size") is None:
        raise InputAccessError(f"cannot read the size of {url}: the server does not state it")
    return int(info["size"])


def file_info(fs: fsspec.AbstractFileSystem, path: str, url: str) -> dict[str, Any]:
    """Return what the store says about a file; ``size`` is ``None`` where it does not say."""
    return retry(lambda: dict(fs.info(path)), url)


def walk_files(url: str) -> list[tuple[str, int | None]]:
    """List a folder recursively.

    Returns:
        ``(path relative to the folder, bytes)`` of each file, sorted by path; no bytes where the store does not say.
    """
    fs, root = resolve(url)
    nothing: dict[str, dict[str, Any]] = {}
    if isinstance(fs, LocalFileSystem):
        found = retry(lambda: _found(lambda: _local_files(fs, root), nothing), url)
    else:
        found = retry(lambda: _found(lambda: _all_or_fail(fs.find, root, detail=True, withdirs=False), nothing), url)
    prefix = root.rstrip("/") + "/"
    sizes: dict[str, Any] = {str(p): info.get("size") for p, info in found.items() if str(p).startswith(prefix)}
    return [(p[len(prefix) :], None if sizes[p] is None else int(sizes[p])) for p in sorted(sizes)]


def list_names(folder: str) -> set[str]:
    """Return the names of what is directly in a folder."""
    fs, path = resolve(folder)
    return {str(entry).rstrip("/").rpartition("/")[2] for entry in retry(lambda: fs.ls(path, detail=False), folder)}


def glob(url: str) -> list[str]:
    """Return the URLs that match a pattern with ``*``, ``?`` or ``[...]``, sorted."""
    fs, pattern = resolve(url)
    nothing: list[str] = []
    matches = retry(lambda: _found(lambda: _all_or_fail(fs.glob, pattern), nothing), url)
    return sorted(str(m) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(m)) for m in matches)


def _found(look: Callable[[], T], otherwise: T) -> T:
    """What a look finds, or ``otherwise`` where there is nothing."""
    try:
        return look()
    except FileNotFoundError as error:
        if is_transient(error):
            raise
        return otherwise


def _all_or_fail(listing: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """List a store; fsspec's own walk leaves out what it cannot list, unless told to raise."""
    try:
        return listing(*args, on_error="raise", **options)
    except TypeError:
        # A driver that lists by itself knows no such option, and raises.
        return listing(*args, **options)


def _local_files(fs: LocalFileSystem, root: str) -> dict[str, dict[str, Any]]:
    """Return what fsspec's ``find`` does, which leaves out subfolders that cannot be listed, whatever it is told."""
    found: dict[str, dict[str, Any]] = {}
    folders = [root] if os.path.isdir(root) else []
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found[entry.path] = fs.info(entry)
    return found
