"""TIFF files: directories of tags, images in one uncompressed or ready-made strip (TIFF 6.0, little-endian).

Our own, because an EXIF directory beside a directory of images is what common writers leave out, and because equal
input has to give equal bytes whatever is installed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from rawsynth.errors import UsageError

STRIP_OFFSETS, STRIP_BYTES, SUB_DIRECTORIES, EXIF_DIRECTORY = 273, 279, 330, 34665

_LARGEST = 2**32 - 1
_DENOMINATOR = 1_000_000


class Kind(IntEnum):
    """Types of a field's values."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    UNDEFINED = 7
    SRATIONAL = 10
    DOUBLE = 12


_CODES = {Kind.SHORT: "H", Kind.LONG: "I", Kind.DOUBLE: "d"}
_FRACTIONS = {Kind.RATIONAL: "I", Kind.SRATIONAL: "i"}

Field = tuple[Kind, str | bytes | Sequence[float]]
"""Type and values: text for ASCII, numbers for all others."""


@dataclass(frozen=True)
class Directory:
    """One directory of a TIFF.

    Attributes:
        tags: fields by their number.
        strip: the image's bytes; none for a directory without an image.
        below: other directories by the tag that points at them.
    """

    tags: Mapping[int, Field]
    strip: bytes | None = None
    below: Mapping[int, Directory] = field(default_factory=dict)


def encode_tiff(directory: Directory) -> bytes:
    """Encode a TIFF with one top directory.

    Raises:
        UsageError: a value does not fit its type, or the file would pass 4 GiB.

    >>> encode_tiff(Directory({256: (Kind.SHORT, [7])}))[:4]
    b'II*\\x00'
    """
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    struct.pack_into("<I", out, 4, _append(out, directory))
    return bytes(out)


def _append(out: bytearray, directory: Directory) -> int:
    """Append what a directory points at, then the directory; returns where it begins."""
    tags = dict(directory.tags)
    for pointer, child in directory.below.items():
        tags[pointer] = (Kind.LONG, [_append(out, child)])
    if directory.strip is not None:
        tags[STRIP_OFFSETS] = (Kind.LONG, [_at_even(out)])
        tags[STRIP_BYTES] = (Kind.LONG, [len(directory.strip)])
        out += directory.strip
    start = _at_even(out)
    if start > _LARGEST:
        raise UsageError(f"a TIFF holds 4 GiB at most; this one would have its directory at byte {start}.")
    values, place = bytearray(), start + 2 + 12 * len(tags) + 4
    out += struct.pack("<H", len(tags))
    for number, (kind, value) in sorted(tags.items()):
        packed, count = _pack(number, kind, value)
        out += struct.pack("<HHI", number, kind, count)
        if len(packed) <= 4:
            out += packed.ljust(4, b"\0")
        else:
            out += struct.pack("<I", place + len(values))
            values += packed + bytes(len(packed) % 2)
    out += bytes(4) + values
    return start


def _at_even(out: bytearray) -> int:
    """Where the next thing may begin: TIFF wants even offsets."""
    out += bytes(len(out) % 2)
    return len(out)


def _pack(number: int, kind: Kind, value: str | bytes | Sequence[float]) -> tuple[bytes, int]:
    """Return a field's bytes and the number of its values."""
    try:
        if isinstance(value, str):
            # The type is 7-bit; what is not stands as an escape rather than as a question mark.
            text = value.replace("\0", " ").encode("ascii", "backslashreplace") + b"\0"
            return text, len(text)
        if kind in (Kind.BYTE, Kind.UNDEFINED):
            return bytes(int(v) for v in value), len(value)
        if kind in _FRACTIONS:
            pairs = [part for v in value for part in (round(v * _DENOMINATOR), _DENOMINATOR)]
            return struct.pack(f"<{len(pairs)}{_FRACTIONS[kind]}", *pairs), len(value)
        return struct.pack(f"<{len(value)}{_CODES[kind]}", *value), len(value)
    except (struct.error, ValueError, OverflowError) as error:
        raise UsageError(f"TIFF tag {number} holds values of type {kind.name}; got {value!r}: {error}.") from error
