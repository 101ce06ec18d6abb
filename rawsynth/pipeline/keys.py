"""Sample keys: a readable, reversible function of the source's path and of nothing else.

A key has no dot, because WebDataset ends the key at the first one. Letters, digits, ``_`` and ``/`` stand for
themselves; the extension's dot becomes ``-``; every other character becomes ``=`` and two hex digits a UTF-8 byte; a
component over 180 characters ends in a hash. So no two paths share a key, and adding inputs changes no key.
"""

from __future__ import annotations

import re

from rawsynth.storage.naming import escape_character, shortened

# A slash that would make an absolute path or an empty component is escaped as well.
_ESCAPE = re.compile(r"[^\w/]|^/|(?<=/)/", re.ASCII)


def escape(path: str) -> str:
    """Escape a path without treating any dot as an extension's.

    >>> escape("cats & dogs/v1.2")
    'cats=20=26=20dogs/v1=2E2'
    """
    return "/".join(map(shortened, _ESCAPE.sub(escape_character, path).split("/")))


def key_from_path(path: str) -> str:
    """Return the key of a file from its path relative to the input.

    >>> key_from_path("cats/IMG_01.v2.jpg")
    'cats/IMG_01=2Ev2-jpg'
    """
    stem, dot, extension = path.rpartition(".")
    if not dot or "/" in extension or not stem or stem.endswith("/"):
        return escape(path)
    return f"{escape(stem)}-{escape(extension)}"


def crop_key(key: str, index: int, count: int) -> str:
    """Return the key of one of ``count`` crops; a single crop keeps the image's key.

    >>> crop_key("a-jpg", 3, 8)
    'a-jpg-c3'
    """
    return key if count == 1 else f"{key}-c{index}"
