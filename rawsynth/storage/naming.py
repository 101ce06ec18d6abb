"""Names that every store takes, made reversibly from any path."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 180


def escape_character(found: re.Match[str]) -> str:
    """Return the escape of one matched character: ``=`` and two hex digits for each of its UTF-8 bytes.

    Undecodable bytes of a POSIX name (surrogateescape) give those bytes. Half of a surrogate pair, which Windows
    allows in names, stands for no byte and becomes ``=U`` and its code point.
    """
    try:
        return "".join(f"={byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return f"=U{ord(found[0]):04X}"


def shortened(component: str) -> str:
    """Keep a component of a path within what filesystems take; ``=H`` is no escape, so no two become equal."""
    if len(component) <= _LONGEST:
        return component
    return f"{component[: _LONGEST - 40]}=H{hashlib.blake2b(component.encode(), digest_size=16).hexdigest()}"
