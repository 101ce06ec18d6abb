"""Read a shard's samples in order: encoded image bytes with the members that travel along.

A fault of the content (a tar cut short, a member that is no file) becomes a :class:`LostSample`; a fault of access (a
file that is gone, a store that fails) raises, and the shard stays undone.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.errors import InputAccessError
from rawsynth.pipeline.inputs import IMAGE_EXTENSIONS, InputFile, Shard
from rawsynth.pipeline.keys import escape, key_from_path

_BLOCK = tarfile.BLOCKSIZE
_DRAIN_BYTES = 1 << 20
# What damaged content makes the archive reader and the decompressors raise; OSError is bz2's and gzip's.
_ARCHIVE_FAULTS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, UnicodeDecodeError, ValueError)


@dataclass(frozen=True)
class SourceSample:
    """One source image, still encoded.

    Attributes:
        key: the sample's key in the corpus.
        source_key: its name in the source: a path, or a tar's key.
        url: file or tar that it comes from.
        load: returns the image's bytes; from a file it reads them, so call it off the main thread.
        kept: other members by extension.
    """

    key: str
    source_key: str
    url: str
    load: ImageBytes
    kept: Mapping[str, ImageBytes] = field(default_factory=dict)


@dataclass(frozen=True)
class LostSample:
    """Something that could not become a sample, for the record."""

    key: str
    stage: str
    cause: str


@dataclass(frozen=True)
class ImageBytes:
    """Bytes at hand, or in a file of known size: read on call, or before it by ``ahead``."""

    data: bytes | None = None
    url: str = ""
    size: int | None = None
    ahead: Callable[[], bytes] | None = None

    def __call__(self) -> bytes:
        """Return the bytes.

        Raises:
            InputAccessError: the file cannot be read, or is not as long as when the inputs were listed.
        """
        if self.data is not None:
            return self.data
        data = storage.read_bytes(self.url) if self.ahead is None else self.ahead()
        check_size(self.url, len(data), self.size)
        return data


def check_size(url: str, now: int, listed: int | None) -> None:
    """Raise InputAccessError if a file has changed since the inputs were listed."""
    if listed is not None and now != listed:
        raise InputAccessError(
            f"{url} has {now} bytes, {listed} when the inputs were listed; it changed or was read short. Restore it, "
            "or accept the change with --retry-errors."
        )


def read_shard(shard: Shard, keep: tuple[str, ...]) -> Iterator[SourceSample | LostSample]:
    """Yield the shard's samples in their order.

    Raises:
        InputAccessError: an input cannot be reached.
    """
    samples = _read_files(shard) if shard.kind == "images" else _read_tar(shard, keep)
    seen: set[str] = set()
    sources = 0
    for sample in samples:
        if isinstance(sample, SourceSample):
            if sample.key in seen:
                sample = LostSample(sample.key, "read", "a second sample with this key in the same shard")
            elif shard.limit is not None and sources >= shard.limit:
                return
            else:
                seen.add(sample.key)
                sources += 1
        yield sample


def count_samples(shard: Shard, limit: int) -> int:
    """Count a tar's images, up to ``limit``; it is read as far as that takes."""
    count = 0
    for sample in read_shard(shard, ()):
        count += isinstance(sample, SourceSample)
        if count == limit:
            break
    return count


def _read_files(shard: Shard) -> Iterator[SourceSample | LostSample]:
    # In the order in which they are handed out below.
    ahead = storage.FilesAhead(
        (storage.join(shard.place, path), size)
        for file in shard.files
        for path, size in ((file.path, file.size), *((path, None) for _, path in file.siblings))
    )
    try:
        for file in shard.files:
            image = ImageBytes(url=shard.url(file), size=file.size, ahead=ahead.next())
            places = {ext: storage.join(shard.place, path) for ext, path in file.siblings}
            kept = {ext: ImageBytes(url=url, ahead=ahead.next()) for ext, url in places.items()}
            yield SourceSample(key_from_path(file.path), file.path, shard.source_url(file), image, kept)
    except GeneratorExit:
        ahead.stop()
        raise


def _read_tar(shard: Shard, keep: tuple[str, ...]) -> Iterator[SourceSample | LostSample]:
    file: InputFile = shard.files[0]
    url = shard.source_url(file)
    prefix = f"{shard.name}/"
    with storage.open_read(shard.url(file)) as stream:
        check_size(shard.url(file), stream.seek(0, 2), file.size)
        stream.seek(0)
        members: dict[str, bytes] = {}
        current: str | None = None
        for entry in _tar_members(stream, url):
            if isinstance(entry, LostSample):
                if current is not None and entry.key == url:
                    # Damage ends the archive: what was being read counts only if nothing wanted can be missing.
                    whole = all(extension in members for extension in keep)
                    sample = _tar_sample(prefix, current, url, members, keep)
                    yield sample if whole else LostSample(prefix + escape(current), "read", f"cut off: {entry.cause}")
                    current = None
                yield entry
                continue
            name, extension, data = entry
            if name != current:
                if current is not None:
                    yield _tar_sample(prefix, current, url, members, keep)
                current, members = name, {}
            members[extension] = data
        if current is not None:
            yield _tar_sample(prefix, current, url, members, keep)


def _tar_sample(
    prefix: str, name: str, url: str, members: dict[str, bytes], keep: tuple[str, ...]
) -> SourceSample | LostSample:
    key = prefix + escape(name)
    images = [e for e in IMAGE_EXTENSIONS if e in members and e not in keep]
    if not images:
        return LostSample(key, "read", f"no image among its members ({', '.join(sorted(members)) or 'none'})")
    kept = {ext: ImageBytes(data=members[ext]) for ext in keep if ext in members}
    return SourceSample(key, name, url, ImageBytes(data=members[images[0]]), kept)


def _tar_members(stream: storage.GuardedStream, url: str) -> Iterator[tuple[str, str, bytes] | LostSample]:
    """Yield ``(key, extension, bytes)`` as WebDataset splits names, and what is wrong with the archive."""
    try:
        archive = tarfile.open(fileobj=stream, mode="r:*")
    except _ARCHIVE_FAULTS as error:
        if stream.failure is not None:
            raise stream.failure from error
        yield LostSample(url, "read", f"not a tar archive: {(str(error) or type(error).__name__).splitlines()[0]}")
        return
    count = 0
    try:
        while (member := archive.next()) is not None:
            count += 1
            # Members once read would pile up in the archive object over a long shard.
            archive.members = []  # type: ignore[attr-defined]
            if member.isdir():
                continue
            if not member.isreg():
                yield LostSample(f"{url}:{member.name}", "read", "not a regular file")
                continue
            handle = archive.extractfile(member)
            data = handle.read() if handle is not None else b""
            if len(data) != member.size:
                raise tarfile.ReadError(f"member {member.name} has {len(data)} of {member.size} bytes")
            folder, slash, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            yield f"{folder}{slash}{stem}", extension.lower(), data
        cause = _end_fault(archive)
    except _ARCHIVE_FAULTS as error:
        if stream.failure is not None:
            raise stream.failure from error
        cause = str(error) or type(error).__name__
    if stream.failure is not None:
        raise stream.failure
    if cause:
        yield LostSample(url, "read", f"tar damaged or cut short after {count} members: {cause}")


def _end_fault(archive: tarfile.TarFile) -> str | None:
    """Say what stands where the end-of-archive mark, two zero blocks, belongs; ``tarfile`` itself never checks."""
    fileobj = archive.fileobj
    assert fileobj is not None
    fileobj.seek(archive.offset)
    tail = fileobj.read(2 * _BLOCK)
    if tail == bytes(2 * _BLOCK):
        while fileobj.read(_DRAIN_BYTES):
            # To the end: a compressed archive's checksum stands there.
            pass
        return None
    if len(tail) < 2 * _BLOCK and not any(tail):
        return "the end-of-archive mark is missing"
    return "an unreadable header"
