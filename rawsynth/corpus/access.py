"""Random access to a corpus through its index: any sample by its key or number, reading its bytes alone."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.corpus.index import INDEX_FILE
from rawsynth.corpus.index_file import IndexFile
from rawsynth.corpus.index_rows import Row
from rawsynth.corpus.ranges import read_members
from rawsynth.corpus.reading import check_members, named_members, sample_pairs
from rawsynth.corpus.records import list_records, read_record
from rawsynth.errors import CorpusError, UnknownKeyError, UsageError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.linear_target import LINEAR_MEMBER
from rawsynth.pipeline.record import ShardRecord

_AGAIN = "#"


class CorpusIndex(Mapping[str, dict[str, Any]]):
    """Samples of a corpus by key, in the order of the corpus; by number too, so it is a map-style dataset of torch's.

    ``index[key]`` and ``index[17]`` give what :func:`~rawsynth.open_corpus` gives for that pair. With several
    realizations, ``KEY``, ``KEY#1``, ``KEY#2``, ... are the pairs of one sample. It can be pickled, and read from by
    threads and by the workers of a ``DataLoader``.

    That the index fits the corpus is checked when it is opened by the plan, and by a shard's record when the shard is
    first read from.
    """

    def __init__(
        self,
        corpus: str,
        file: IndexFile,
        kept: NDArray[np.int64] | None = None,
        *,
        members: tuple[str, ...] = (),
    ) -> None:
        self.corpus, self._file, self._kept, self._members = corpus, file, kept, members
        noise = file.row(0)["noise"] if len(file) else []
        self._pairs_a_row = max(1, sum(entry["member"] is not None for entry in noise))
        self._checked: set[str] = set()

    @classmethod
    def open(
        cls,
        corpus: str | os.PathLike[str],
        index: str | os.PathLike[str] | None = None,
        *,
        members: Sequence[str] = (),
    ) -> CorpusIndex:
        """Open the index of a corpus.

        Args:
            corpus: folder or URL.
            index: path or URL of the index in JSON lines; ``index.jsonl`` in the corpus if ``None``.
            members: others that pairs are to have, as :func:`~rawsynth.open_corpus` takes them.

        Raises:
            UsageError: samples of the corpus have no such member.
            CorpusError: there is no corpus or no index, the index is damaged, or the corpus has changed since.
            InputAccessError: the store cannot be reached.
        """
        corpus, members = os.fspath(corpus), named_members(members)
        dataset = Dataset.of(corpus)
        try:
            file = IndexFile(os.fspath(index) if index else storage.join(corpus, INDEX_FILE))
        except CorpusError as error:
            raise CorpusError(f"{error}. Run rawsynth index {corpus}.") from error
        check_members(dataset, members)
        opened = cls(corpus, file, members=members)
        opened._check_plan(dataset)
        return opened

    def __len__(self) -> int:
        return self._pairs_a_row * len(self._file) if self._kept is None else len(self._kept)

    def __iter__(self) -> Iterator[str]:
        return map(self._key, self._numbers())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str | SupportsIndex) -> dict[str, Any]:
        row = self.row(key)
        self._check_shard(row["shard"])
        url = storage.join(self.corpus, row["part"])
        noisy = [] if row["member"] is None else [row["member"]]
        others = (name for name in (LINEAR_MEMBER, *self._members) if name in row["members"])
        wanted = dict.fromkeys(["json", "clean.npy", *noisy, *others])
        try:
            pieces = read_members(url, row["key"], {name: row["members"][name] for name in wanted})
        except KeyError as error:
            raise self._stale(f"its row of {row['key']} lacks {error}") from error
        sample = {**pieces, "__url__": url, "__key__": row["key"]}
        (pair,) = sample_pairs(sample, row["realization"], members=self._members)
        return pair

    def row(self, key: str | SupportsIndex) -> Row:
        """Return what the index says of a pair, without reading from its part.

        Returns:
            ``key``, ``shard``, ``part``, ``split``, ``members``, ``camera``, ``cct``, ``method``, ``source``, ``url``,
            ``crop``; of its noise ``noise`` (the model), ``noise_camera``, ``iso``, ``shot``, ``read``; and
            ``realization`` and ``member``, the noisy image.

        Raises:
            UnknownKeyError: there is no such pair.
        """
        number = self._find(key) if isinstance(key, str) else self._nth(operator.index(key))
        if number is None:
            raise UnknownKeyError(self._unknown(key))
        return self._row(number)

    def rows(self) -> Iterator[Row]:
        """Yield what :meth:`row` gives, for every pair in order."""
        return map(self._row, self._numbers())

    def filter(self, where: Callable[[Row], bool] | None = None, **columns: Any) -> CorpusIndex:
        """Return the index of some of the pairs.

        Args:
            where: takes a row and says whether its pair is wanted.
            **columns: what a column must hold: a value, a tuple ``(least, most)``, or a list or set of values.

        Raises:
            UsageError: there is no such column, or a tuple is not a pair.

        For example ``index.filter(camera="Sony ILCE-7SM2", iso=(800, 3200), split="train")``.
        """
        for name, wanted in columns.items():
            if isinstance(wanted, tuple) and len(wanted) != 2:
                raise UsageError(f"a tuple is a range (least, most); got {name}={wanted!r}. Give values as a list.")
        numbers = list(self._numbers())
        if numbers and (unknown := columns.keys() - self._row(numbers[0]).keys()):
            names = ", ".join(self._row(numbers[0]))
            raise UsageError(f"an index has no column {', '.join(sorted(unknown))}; it has {names}.")

        def is_wanted(row: Row) -> bool:
            fits = all(_fits(row[name], wanted) for name, wanted in columns.items())
            return fits and (where is None or bool(where(row)))

        kept = np.array([number for number in numbers if is_wanted(self._row(number))], np.int64)
        return CorpusIndex(self.corpus, self._file, kept, members=self._members)

    def __eq__(self, other: object) -> bool:
        # A mapping's own would read every sample.
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"CorpusIndex({self.corpus!r}, {len(self)} samples)"

    def _numbers(self) -> Iterator[int]:
        return iter(range(len(self))) if self._kept is None else map(int, self._kept)

    def _nth(self, position: int) -> int | None:
        count = len(self)
        if not -count <= position < count:
            return None
        return position % count if self._kept is None else int(self._kept[position])

    def _find(self, key: str) -> int | None:
        stem, again, realization = key.partition(_AGAIN)
        nth = int(realization) if realization.isdecimal() else 0
        row = self._file.find(stem)
        if row is None or nth >= self._pairs_a_row or key != _pair_key(stem, nth):
            return None
        number = row * self._pairs_a_row + nth
        if self._kept is None:
            return number
        at = int(np.searchsorted(self._kept, number))
        return number if at < len(self._kept) and self._kept[at] == number else None

    def _key(self, number: int) -> str:
        row, nth = divmod(number, self._pairs_a_row)
        return _pair_key(self._file.key(row), nth)

    def _row(self, number: int) -> Row:
        which, nth = divmod(number, self._pairs_a_row)
        row = self._file.row(which)
        source, noise = row.pop("source"), row.pop("noise")[nth]
        told = {"noise": noise.pop("model"), "noise_camera": noise.pop("camera"), **noise}
        return {**row, "source": source["key"], "url": source["url"], **told, "realization": nth}

    def _unknown(self, key: str | SupportsIndex) -> str:
        if not isinstance(key, str):
            return f"{self!r} has no number {key}: they run from 0 to {len(self) - 1}."
        such = next(iter(self), None)
        hint = "it is empty" if such is None else f"keys are like {such!r}; list(index) gives all"
        return f"{self!r} has no key {key!r}: {hint}. Of samples made since: run rawsynth index {self.corpus} again."

    def _check_plan(self, dataset: Dataset) -> None:
        header = self._file.header
        planned = {shard.name for shard in dataset.shards}
        if header.config_digest != dataset.digest:
            raise self._stale("it is of another configuration")
        if gone := header.shards.keys() - planned:
            raise self._stale(f"the corpus has no shard {min(gone)}")
        listing = list_records(self.corpus) if planned - header.shards.keys() else None
        for name in sorted(planned - header.shards.keys()):
            record = read_record(self.corpus, name) if listing and listing.may_hold(name) else None
            if isinstance(record, ShardRecord) and record.config_digest == dataset.digest:
                raise self._stale(f"shard {name} was made since")

    def _check_shard(self, shard: str) -> None:
        if shard in self._checked:
            return
        record = read_record(self.corpus, shard)
        if not isinstance(record, ShardRecord):
            raise self._stale(f"shard {shard} is not done any more" if record is None else str(record).rstrip("."))
        header = self._file.header
        if record.config_digest != header.config_digest or tuple(record.parts) != header.shards[shard]:
            raise self._stale(f"shard {shard} was made again")
        self._checked.add(shard)

    def _stale(self, why: str) -> CorpusError:
        return CorpusError(f"{self._file.url} does not fit {self.corpus}: {why}. Run rawsynth index {self.corpus}.")


def _pair_key(key: str, realization: int) -> str:
    return f"{key}{_AGAIN}{realization}" if realization else key


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        least, most = wanted
        return value is not None and least <= value <= most
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return value in wanted
    return bool(value == wanted)
