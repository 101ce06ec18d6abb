"""An index of JSON lines, on a disk or in memory: any row by its number or key, without parsing the others."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.corpus.index_rows import IndexHeader, Row
from rawsynth.corpus.records import is_gone
from rawsynth.errors import CorpusError, InputAccessError

_NEWLINE = ord("\n")
_CHUNK = 16 << 20
_KEY_START = len(b'{"key":"')


class IndexFile:
    """Rows of an index; a local one is mapped, a remote one is held in memory.

    Besides the text, a row takes 8 bytes, and 16 more once a key is looked up.

    Raises:
        CorpusError: there is none, or it is damaged.
        InputAccessError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._text = _load(url)
        try:
            end = self._text.find(b"\n") + 1
            self.header = IndexHeader.from_json(self._text[:end])
        except ValueError as error:
            raise CorpusError(f"{url} is damaged, or no index that this version reads: {error}") from error
        self._starts = _line_starts(self._text)[1:]
        if len(self._starts) != self.header.samples + 1 or self._starts[-1] != len(self._text):
            raise CorpusError(f"{url} is damaged: it has not the {self.header.samples} rows that it should have")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def row(self, number: int) -> Row:
        """Return a row by its number."""
        try:
            row: Row = json.loads(self._line(number))
        except ValueError as error:
            raise CorpusError(f"{self.url} is damaged: row {number} is no JSON: {error}") from error
        return row

    def rows(self) -> Iterator[Row]:
        """Yield all rows in order."""
        return map(self.row, range(len(self)))

    def key(self, number: int) -> str:
        """Return a row's key, which needs no escapes in JSON and so no parsing."""
        line = self._line(number)
        return line[_KEY_START : line.index(b'"', _KEY_START)].decode("ascii")

    def find(self, key: str) -> int | None:
        """Return the number of the row of a key; ``None`` if there is none."""
        hashes, numbers = self._by_hash
        wanted = _hash(key)
        for at in range(int(np.searchsorted(hashes, wanted)), len(hashes)):
            if hashes[at] != wanted:
                break
            if self.key(int(numbers[at])) == key:
                return int(numbers[at])
        return None

    @cached_property
    def _by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        hashes = np.fromiter((_hash(self.key(number)) for number in range(len(self))), np.uint64, len(self))
        numbers = np.argsort(hashes, kind="stable")
        return hashes[numbers], numbers

    def _line(self, number: int) -> bytes:
        return bytes(self._text[self._starts[number] : self._starts[number + 1]])

    def __getstate__(self) -> dict[str, Any]:
        mapped = isinstance(self._text, mmap.mmap)
        return {**vars(self), "_text": len(self._text) if mapped else self._text}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self._text, int):
            size, self._text = self._text, _load(self.url)
            end = int(self._starts[0])
            if len(self._text) != size or IndexHeader.from_json(self._text[:end]) != self.header:
                raise CorpusError(f"{self.url} was written anew since it was opened: open it again")


def _load(url: str) -> bytes | mmap.mmap:
    try:
        if not storage.is_local(url):
            return storage.read_bytes(url)
        with storage.retry(lambda: open(storage.resolve(url)[1], "rb"), url) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise CorpusError(f"{url} is empty") from error
    except InputAccessError as error:
        if is_gone(error):
            raise CorpusError(f"there is no index at {url}") from error
        raise


def _line_starts(text: bytes | mmap.mmap) -> NDArray[np.int64]:
    """Return where lines begin, with the end of the last one."""
    found = [np.zeros(1, np.int64)]
    for start in range(0, len(text), _CHUNK):
        piece = np.frombuffer(text[start : start + _CHUNK], np.uint8)
        found.append(np.flatnonzero(piece == _NEWLINE).astype(np.int64) + start + 1)
    return np.concatenate(found)


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
