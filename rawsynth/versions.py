"""Versions of what computed a result, for the records that go with it."""

from __future__ import annotations

from importlib import metadata


def package_versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package by its name, ``"unknown"`` where there is none.

    >>> package_versions("no-such-package")
    {'no-such-package': 'unknown'}
    """
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
