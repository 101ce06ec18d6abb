"""Check that an index says of a corpus what its parts hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rawsynth import storage
from rawsynth.corpus.index_parquet import read_parquet
from rawsynth.corpus.index_rows import IndexHeader, encode_line
from rawsynth.corpus.verify_part import PartFindings
from rawsynth.errors import CorpusError, InputAccessError, UsageError

_CHUNK = 1 << 20


def check_index(url: str, header: IndexHeader, findings: Sequence[PartFindings]) -> Iterator[str]:
    """Yield what is wrong with an index, JSON lines or Parquet by its name, if every part is sound.

    JSON lines are compared byte for byte, a Parquet file by its values and the checksums of its pages.
    """
    again = f"run rawsynth index again, or delete {url}"
    expected = encode_line(header.to_json())
    try:
        first, lines = _open(url)
        if first != expected:
            yield f"it does not fit the corpus: {again}"
            return
        for part in findings:
            name, samples = part.indexed.part.name, part.indexed.part.samples
            if _checksum(islice(lines, samples)) != part.rows:
                yield f"its rows of {name} are not what the part holds: {again}"
                return
        if next(lines, None) is not None:
            yield f"it has rows that no part has: {again}"
    except (CorpusError, InputAccessError, UsageError) as error:
        yield f"{error}: {again}" if isinstance(error, CorpusError) else str(error)


def _checksum(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _open(url: str) -> tuple[bytes, Iterator[bytes]]:
    if url.endswith(".parquet"):
        header, rows = read_parquet(url)
        return header + b"\n", map(encode_line, rows)
    lines = _lines(url)
    return next(lines, b""), lines


def _lines(url: str) -> Iterator[bytes]:
    rest = b""
    with storage.open_read(url) as stream:
        while chunk := stream.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
