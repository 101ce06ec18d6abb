"""What is in a part, by the headers of its tar and its JSON members; pixels are passed over."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fsspec.implementations.local import LocalFileSystem

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import CorpusError, InputAccessError

END_MARK = bytes(2 * tarfile.BLOCKSIZE)
_CHUNK = 1 << 20
_KEPT = 2 * tarfile.BLOCKSIZE
# A damaged header may state any size; nothing is read into memory on its word.
_LARGEST_READ = 64 << 20
_NO_ARCHIVE = (tarfile.TarError, EOFError, UnicodeDecodeError, ValueError, OSError)


@dataclass
class StoredSample:
    """One sample as it lies in its part.

    Attributes:
        key: names the sample.
        members: offset and size by extension.
        json: its JSON member, undecoded; ``None`` if it has none.
        faults: members that should not be there.
    """

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    json: bytes | None = None
    faults: list[str] = field(default_factory=list)


class Seekable(Protocol):
    """What a part is read from."""

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes."""

    def seek(self, offset: int, /) -> int:
        """Go to an offset from the start."""


def walk_samples(stream: Seekable) -> Iterator[StoredSample]:
    """Yield the samples of a part in their order, then check its end; ``tarfile`` takes unreadable headers for the end.

    Raises:
        CorpusError: it is no tar, is damaged or cut short, or goes on behind the end-of-archive mark.
        InputAccessError: it cannot be reached.
    """
    count, sample = 0, None
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                # Members once seen would pile up in the archive object.
                archive.members = []
                key, extension = split_name(member.name)
                if sample is None or key != sample.key:
                    if sample is not None:
                        count += 1
                        yield sample
                    sample = StoredSample(key)
                _add(sample, extension, member, stream)
            if sample is not None:
                yield sample
                count, sample = count + 1, None
            fault = _end_fault(stream, archive.offset)
    except InputAccessError:
        raise
    except _NO_ARCHIVE as error:
        fault = f"unreadable after {counted(count, 'sample')}: {(str(error) or type(error).__name__).splitlines()[0]}"
    if fault:
        raise CorpusError(fault)


def _add(sample: StoredSample, extension: str, member: tarfile.TarInfo, stream: Seekable) -> None:
    if not member.isreg() or member.issparse():
        sample.faults.append(f"{extension or 'a member without extension'} is no regular file")
        return
    if extension in sample.members:
        sample.faults.append(f"{extension} occurs twice")
        return
    sample.members[extension] = (member.offset_data, member.size)
    if extension == "json":
        stream.seek(member.offset_data)
        sample.json = stream.read(member.size)


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name into key and extension, as WebDataset does: at the first dot of its last part."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension


def _end_fault(stream: Seekable, offset: int) -> str | None:
    stream.seek(offset)
    tail = stream.read(len(END_MARK))
    if tail != END_MARK:
        return "an unreadable header follows its last sample" if any(tail) else "the end-of-archive mark is missing"
    while chunk := stream.read(_CHUNK):
        if any(chunk):
            return "there is more behind the end-of-archive mark"
    return None


class OncePassed(io.RawIOBase):
    """Reads a stream from front to back, once, with its checksum, and lets ``tarfile`` believe that it seeks.

    So a part is fetched once, wherever it lies. Only the last kilobyte can be gone back to.
    """

    def __init__(self, stream: storage.GuardedStream) -> None:
        super().__init__()
        self._stream = stream
        self._buffer, self._start, self._at = b"", 0, 0
        self.sha256, self.size, self.tail = hashlib.sha256(), 0, b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        if size is None or not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header that asks for {size} bytes")
        self._fill(self._at + size)
        begin = self._at - self._start
        data = self._buffer[begin : begin + size]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to an offset from the start, not far back."""
        if whence or offset < self._start:
            raise tarfile.ReadError(f"a header that leads back to byte {offset}")
        self._at = offset
        return offset

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def finish(self) -> None:
        """Read what is left, for the checksum."""
        while self._next():
            pass

    def _fill(self, end: int) -> None:
        while self.size < end and (chunk := self._next()):
            self._buffer += chunk
            passed = min(self._at - _KEPT - self._start, len(self._buffer))
            if passed > 0:
                self._buffer, self._start = self._buffer[passed:], self._start + passed

    def _next(self) -> bytes:
        chunk = self._stream.read(_CHUNK)
        self.sha256.update(chunk)
        self.size += len(chunk)
        self.tail = (self.tail + chunk[-len(END_MARK) :])[-len(END_MARK) :]
        return chunk


def open_sparsely(url: str) -> storage.GuardedStream:
    """Open a part to read little of it: a remote store is asked for a megabyte at a time, and large members are passed.

    A megabyte takes a store about as long as a request does, so smaller members are read through.
    """

    def open_stream() -> object:
        fs, path = storage.resolve(url)
        local = isinstance(fs, LocalFileSystem)
        return open(path, "rb") if local else fs.open(path, "rb", block_size=_CHUNK, cache_type="readahead")

    return storage.GuardedStream(storage.retry(open_stream, url), url)
