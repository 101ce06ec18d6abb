"""fsspec URLs: what they name."""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rawsynth.errors import UsageError

# What of rawsynth brings the driver of a store; fsspec names the package for others.
_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}


def resolve(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the filesystem of a URL and the path on it. Remote ones keep no listings: other processes write too.

    Raises:
        UsageError: the scheme is unknown, or its driver is not installed.
    """
    name = os.fspath(url)
    try:
        try:
            fs, path = fsspec.core.url_to_fs(name, **_without_listings_cache(name))
        except TypeError:
            # A driver that does not know the option.
            fs, path = fsspec.core.url_to_fs(name)
    except ImportError as error:
        extra = _EXTRAS.get(name.rpartition("::")[2].partition("://")[0])
        install = f": pip install 'rawsynth[{extra}]'" if extra else "."
        raise UsageError(f"{url}: {str(error).rstrip('.')}{install}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from error
    if getattr(fs, "dircache", None):
        # A driver that knows the option and keeps listings all the same.
        fs.invalidate_cache()
    return fs, str(path)


def _without_listings_cache(url: str) -> dict[str, Any]:
    store, marked, _ = url.rpartition("::")[2].partition("://")
    return {store: {"use_listings_cache": False}} if marked and store not in ("file", "local") else {}


def is_local(url: str) -> bool:
    """Whether a URL is on a local disk."""
    return isinstance(resolve(url)[0], LocalFileSystem)


def speaks_http(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether a filesystem is fsspec's own for web servers."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    return "http" in protocols


def absolute(url: str) -> str:
    """Return a local path as an absolute one with links resolved; any other URL as it is, without a last slash."""
    fs, path = resolve(url)
    return os.path.realpath(path) if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path)).rstrip("/")


def join(url: str, *parts: str) -> str:
    """Append path parts to a URL; a part that is absolute or a URL of its own stands alone."""
    for part in parts:
        url = part if "://" in part or part.startswith("/") else f"{url.rstrip('/')}/{part}" if url else part
    return url
