"""Where the samples of tars lie, so that any of them can be read alone, locally and from remote stores."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from braceexpand import braceexpand

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError, UsageError

_END_MARK = bytes(2 * tarfile.BLOCKSIZE)
_DRAIN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TarSample:
    """One sample of a tar, as WebDataset splits names: at the first dot of the last path part.

    Attributes:
        url: the tar.
        key: names the sample.
        members: offset and size of each by its extension, in lower case; ``None`` for what is no regular file.
    """

    url: str
    key: str
    members: Mapping[str, tuple[int, int] | None]

    def read(self) -> dict[str, bytes]:
        """Read all members that are regular files, those bytes of the tar only.

        Raises:
            InputAccessError: the tar cannot be reached, or is shorter than when it was indexed.
        """
        # Some stores refuse an empty range.
        places = {name: place for name, place in self.members.items() if place is not None and place[1]}
        fs, path = storage.resolve(self.url)
        starts, ends = [at for at, _ in places.values()], [at + size for at, size in places.values()]

        def read_ranges() -> list[bytes]:
            chunks = fs.cat_ranges([path] * len(places), starts, ends, on_error="raise")
            for chunk in chunks:
                # Some releases of fsspec return the exceptions whatever they are asked for.
                if isinstance(chunk, Exception):
                    raise chunk
            return [bytes(chunk) for chunk in chunks]

        data = dict(zip(places, storage.retry(read_ranges, self.url), strict=True))
        for name, (_, size) in places.items():
            if len(data[name]) != size:
                raise InputAccessError(
                    f"cannot read {self.url}: {self.key}.{name} had {size} bytes, now {len(data[name])}. The tar has "
                    "changed since it was opened: open it again."
                )
        return data | {name: b"" for name, place in self.members.items() if place is not None and not place[1]}


def list_tars(urls: Sequence[str]) -> list[str]:
    """Return the tars that folders (with their subfolders), files and patterns name, each once.

    Raises:
        UsageError: there is none.
        InputAccessError: a folder cannot be listed.
    """
    tars: dict[str, None] = {}
    for url in urls:
        # What is there under just this name is meant, even if the name looks like a pattern.
        for name in [url] if storage.exists(url) else braceexpand(url):
            if any(char in name for char in "*?[") and not storage.exists(name):
                tars |= dict.fromkeys(found for found in storage.glob(name) if found.endswith(".tar"))
            elif storage.is_folder(name):
                paths = [path for path, _ in storage.walk_files(name) if path.endswith(".tar")]
                tars |= dict.fromkeys(storage.join(name, path) for path in paths if not _is_hidden(path))
            else:
                tars[name] = None
    if not tars:
        raise UsageError(f"no tars in {', '.join(urls)}: give a folder that has some, or tars such as 'pairs/*.tar'.")
    return list(tars)


def index_tar(url: str, extensions: Collection[str]) -> list[tuple[TarSample, bytes | None]]:
    """Read through a tar once and return its samples in order, each with its ``json`` member.

    Args:
        url: the tar, not compressed.
        extensions: members of other extensions are passed over.

    Raises:
        UsageError: two members of one name.
        CorpusError: it is no tar, is damaged, does not end with the end-of-archive mark, or goes on behind it.
        InputAccessError: it cannot be reached.
    """
    groups: dict[str, dict[str, tuple[int, int] | None]] = {}
    documents: dict[str, bytes] = {}
    with storage.open_read(url) as stream:
        for member, document in _tar_members(stream, url):
            folder, slash, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            key, extension = f"{folder}{slash}{stem}", extension.lower()
            if extension not in extensions or member.isdir():
                continue
            group = groups.setdefault(key, {})
            if extension in group:
                raise UsageError(f"{url} has two members {key}.{extension}; leave one of them out.")
            # What a link or a sparse file stands for is not at its place in the archive.
            group[extension] = (member.offset_data, member.size) if _is_plain(member) else None
            if document is not None:
                documents[key] = document
    return [(TarSample(url, key, members), documents.get(key)) for key, members in groups.items()]


def _tar_members(stream: storage.GuardedStream, url: str) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Yield the members, JSON with its bytes; ``tarfile`` alone takes any unreadable header for the end."""
    count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            while (member := archive.next()) is not None:
                # Members once seen would pile up in the archive object.
                archive.members = []  # type: ignore[attr-defined]
                count += 1
                wanted = _is_plain(member) and member.name.lower().endswith(".json")
                handle = archive.extractfile(member) if wanted else None
                yield member, None if handle is None else handle.read()
            stream.seek(archive.offset)
            cause = _end_fault(stream)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
    if stream.failure is not None:
        raise stream.failure
    if cause:
        raise CorpusError(
            f"{url} is no tar, or damaged or cut short after {count} members: {cause}. Fetch or make it again."
        )


def _end_fault(stream: storage.GuardedStream) -> str | None:
    tail = stream.read(len(_END_MARK))
    if tail != _END_MARK:
        return "an unreadable header" if any(tail) else "the end-of-archive mark is missing"
    while chunk := stream.read(_DRAIN_BYTES):
        if any(chunk):
            return "there is more behind the end-of-archive mark, perhaps another tar"
    return None


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse()


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
