"""The members of a tar, one after the other, in bounded memory, with whatever is wrong with them said.

``tarfile`` believes what headers state: it reads a header of any length in one piece, goes back to where a negative
size points, and looks for ever for a place that a sparse map leaves out. So its reads have a budget here, its offset
may only rise, and maps are checked before they are followed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rawsynth import storage

LARGEST_FILE = 1 << 30
"""Bytes of an image or of what is kept with it; 100 million pixels of 16-bit RGB take 600 million."""

_BLOCK = tarfile.BLOCKSIZE
_DRAIN_BYTES = 1 << 20
# Of one member, with its extended headers and sparse map; names are some hundred bytes.
_HEADER_BYTES = 1 << 20
# What damaged content makes the archive reader and the decompressors raise; OSError is bz2's and gzip's.
_FAULTS = (
    tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, LookupError, ArithmeticError,
    TypeError, AttributeError, AssertionError, RecursionError,
)  # fmt: skip
_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
    (b"\x5d\0\0", lzma.LZMAFile),
)


@dataclass(frozen=True)
class Member:
    """One regular file: its name as WebDataset splits it, and its bytes if they were wanted."""

    key: str
    extension: str
    data: bytes | None


@dataclass(frozen=True)
class MemberFault:
    """Something in an archive that is no sample's member; ``name`` is ``None`` where it ends the archive."""

    name: str | None
    cause: str


class _Metered:
    """What ``tarfile`` reads from: no more than ``left`` bytes before it is topped up, and none beyond ``end``."""

    def __init__(self, stream: Any, end: int | None) -> None:
        self._stream, self._end = stream, end
        self.left = _HEADER_BYTES
        self.tell, self.close = stream.tell, stream.close

    def seek(self, offset: int) -> int:
        # To the file system an offset that it cannot have is an error, which would pass for one of access.
        if offset < 0 or self._end is not None and offset > self._end:
            raise tarfile.ReadError("unexpected end of data")
        return int(self._stream.seek(offset))

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.left:
            raise tarfile.ReadError("a header of impossible length")
        self.left -= size
        return bytes(self._stream.read(size))


def tar_members(stream: storage.GuardedStream, wanted: Container[str]) -> Iterator[Member | MemberFault]:
    """Yield the regular files of a tar, compressed or not, in their order, with the bytes of ``wanted`` extensions.

    Raises:
        InputAccessError: the stream failed; whatever else goes wrong is a :class:`MemberFault`.
    """
    try:
        source = _metered(stream)
        archive = tarfile.TarFile(fileobj=source)  # type: ignore[arg-type]
    except _FAULTS as error:
        if stream.failure is not None:
            raise stream.failure from error
        yield MemberFault(None, f"not a tar archive: {_said(error)}")
        return
    count = 0
    try:
        for count, member in enumerate(_headers(archive, source), 1):
            if not member.isdir():
                yield _read(archive, source, member, wanted)
        cause = _end_fault(archive, source)
    except _FAULTS as error:
        if stream.failure is not None:
            raise stream.failure from error
        cause = _said(error)
    if stream.failure is not None:
        raise stream.failure
    if cause:
        yield MemberFault(None, f"tar damaged or cut short after {count} members: {cause}")


def _metered(stream: storage.GuardedStream) -> _Metered:
    """Look through compression; the length of what is compressed shows at its end only."""
    head = stream.read(8)
    opener = next((opener for start, opener in _COMPRESSED if head.startswith(start)), None)
    end = stream.seek(0, 2) if opener is None else None
    stream.seek(0)
    return _Metered(stream if opener is None else opener(stream), end)


def _headers(archive: tarfile.TarFile, source: _Metered) -> Iterator[tarfile.TarInfo]:
    end = 0
    while (member := archive.next()) is not None:
        if archive.offset <= end:
            raise tarfile.ReadError(f"member {member.name} ends before it starts")
        end = archive.offset
        # Members once read would pile up in the archive object over a long shard.
        archive.members = []  # type: ignore[attr-defined]
        yield member
        source.left = _HEADER_BYTES


def _read(
    archive: tarfile.TarFile, source: _Metered, member: tarfile.TarInfo, wanted: Container[str]
) -> Member | MemberFault:
    if not member.isreg():
        return MemberFault(member.name, "not a regular file")
    folder, slash, base = member.name.rpartition("/")
    stem, _, extension = base.partition(".")
    extension = extension.lower()
    if extension not in wanted:
        return Member(f"{folder}{slash}{stem}", extension, None)
    if not stem:
        return MemberFault(member.name, "no name before the first dot, so WebDataset has no key for it")
    if not 0 <= member.size <= LARGEST_FILE:
        return MemberFault(member.name, f"{member.size} bytes, want {LARGEST_FILE} or fewer")
    if member.issparse() and not _is_sound(member):
        return MemberFault(member.name, "a sparse file whose map is damaged")
    source.left = member.size + _BLOCK
    handle = archive.extractfile(member)
    data = handle.read() if handle is not None else b""
    if len(data) != member.size:
        raise tarfile.ReadError(f"member {member.name} has {len(data)} of {member.size} bytes")
    return Member(f"{folder}{slash}{stem}", extension, data)


def _is_sound(member: tarfile.TarInfo) -> bool:
    """Whether a sparse member's pieces follow each other within its size."""
    at = 0
    pieces: Iterable[tuple[int, int]] = member.sparse or ()  # type: ignore[assignment]
    for offset, size in pieces:
        if not at <= offset <= offset + size <= member.size:
            return False
        at = offset + size
    return True


def _end_fault(archive: tarfile.TarFile, source: _Metered) -> str | None:
    """Say what stands where the end-of-archive mark, two zero blocks, belongs; ``tarfile`` itself never checks."""
    source.seek(archive.offset)
    source.left = 2 * _BLOCK
    tail = source.read(2 * _BLOCK)
    if tail == bytes(2 * _BLOCK):
        source.left = _DRAIN_BYTES
        while source.read(_DRAIN_BYTES):
            # To the end: a compressed archive's checksum stands there.
            source.left = _DRAIN_BYTES
        return None
    if len(tail) < 2 * _BLOCK and not any(tail):
        return "the end-of-archive mark is missing"
    return "an unreadable header"


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
