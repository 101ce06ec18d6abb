"""Members of a sample, read without the rest of its tar."""

from __future__ import annotations

from collections.abc import Mapping
from tarfile import BLOCKSIZE, LENGTH_NAME, HeaderError, TarInfo

from rawsynth import storage
from rawsynth.errors import CorpusError

# What lies between two members of a sample is a header and a JSON member: less than another request costs.
_GAP = 64 << 10


def read_members(url: str, key: str, places: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
    """Read members of a sample by extension, each with its tar header, which must say that it is the one wanted.

    Args:
        url: the tar.
        key: of the sample.
        places: offset and size of each member's content.

    Raises:
        CorpusError: something else lies there.
        InputAccessError: as :func:`~rawsynth.storage.read_range`.
    """
    with_headers = {name: (at - BLOCKSIZE, size + BLOCKSIZE) for name, (at, size) in places.items()}
    members = {}
    for name, data in _read_pieces(url, with_headers).items():
        if not _is_header_of(data[:BLOCKSIZE], f"{key}.{name}", len(data) - BLOCKSIZE):
            raise CorpusError(f"{url} does not hold {key}.{name} where the index says: run rawsynth verify.")
        members[name] = data[BLOCKSIZE:]
    return members


def _is_header_of(block: bytes, name: str, size: int) -> bool:
    try:
        header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except HeaderError:
        return False
    # Of a name over 100 characters, all stands in an extended header before, and its beginning here.
    fits = header.name == name or (len(name) > LENGTH_NAME and header.name == name[:LENGTH_NAME])
    return fits and header.size == size and header.isreg()


def _read_pieces(url: str, places: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
    """Read several ``(offset, size)`` of one file by name, those that nearly touch in one request."""
    runs: list[tuple[int, int, list[str]]] = []
    for name, (at, size) in sorted(places.items(), key=lambda item: item[1]):
        if runs and at - runs[-1][1] <= _GAP:
            start, end, names = runs.pop()
            runs.append((start, max(end, at + size), [*names, name]))
        else:
            runs.append((at, at + size, [name]))
    pieces = {}
    for start, end, names in runs:
        data = storage.read_range(url, start, end - start)
        for name in names:
            at, size = places[name]
            pieces[name] = data[at - start : at - start + size]
    return pieces
