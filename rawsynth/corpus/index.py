"""An index of a corpus: a row a sample, so that any tool can select samples and read each alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rawsynth import storage
from rawsynth.corpus.index_parquet import HEADER_KEY, ParquetSink
from rawsynth.corpus.index_rows import IndexedPart, IndexHeader, Row, encode_line, part_rows
from rawsynth.corpus.records import list_records, read_many, read_record
from rawsynth.errors import CorpusError, UsageError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.flow import ordered_map
from rawsynth.pipeline.own_files import INDEX_FILES, begins_as_index
from rawsynth.pipeline.record import ShardRecord
from rawsynth.storage.parquet import require_pyarrow

INDEX_FILE = INDEX_FILES[0]
Format = Literal["jsonl", "parquet"]
_REMOTE_THREADS = 16


@dataclass(frozen=True)
class IndexSummary:
    """What :func:`write_index` wrote.

    Attributes:
        url: the index.
        samples, parts, shards: that it covers.
        missing: shards that are not done; run it again when they are.
    """

    url: str
    samples: int
    parts: int
    shards: int
    missing: int


class Sink(Protocol):
    """A format that an index is written in."""

    def encode(self, rows: Iterable[Row]) -> Any:
        """Turn the rows of a part into what :meth:`write` takes; called from several threads."""

    def write(self, chunk: Any) -> None:
        """Append what :meth:`encode` made of a part."""

    def finish(self) -> None:
        """Write what belongs to the end."""


class JsonLines:
    """A header line, then a line a sample."""

    def __init__(self, file: storage.AtomicFile, header: IndexHeader) -> None:
        self._file = file
        file.write(encode_line(header.to_json()))

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Encode a line a row."""
        return b"".join(map(encode_line, rows))

    def write(self, chunk: bytes) -> None:
        """Append lines."""
        self._file.write(chunk)

    def finish(self) -> None:
        """Nothing follows the rows."""


def write_index(
    corpus: str,
    output: str | None = None,
    *,
    format: Format | None = None,
    threads: int | None = None,
    watch: Callable[[str], None] = lambda part: None,
) -> IndexSummary:
    """Write an index of what is done of a corpus: by the headers and the JSON of its tars, without reading pixels.

    Args:
        corpus: folder or URL.
        output: file or URL; ``index.jsonl`` or ``index.parquet`` in the corpus if ``None``.
        format: ``"jsonl"`` or ``"parquet"``; by the name of ``output`` if ``None``.
        threads: parts that are read at a time.
        watch: called with each part's name before it is read.

    Raises:
        CorpusError: there is no corpus, or a plan, a record or a part is damaged.
        UsageError: the format needs a package that is not installed, or ``output`` is there and no index.
        InputAccessError, OutputError: the corpus cannot be read, or the index cannot be written.
    """
    dataset = Dataset.of(corpus)
    if format is None:
        format = "parquet" if output is not None and output.endswith(".parquet") else "jsonl"
    url = output or storage.join(corpus, f"index.{format}")
    make = sink_of(format)
    refuse_foreign(url)
    header = IndexHeader.of(dataset, finished_records(dataset))
    file = storage.AtomicFile(url)
    try:
        sink = make(file, header)
        for chunk in _chunks(corpus, header, sink, threads or default_threads(corpus), watch):
            sink.write(chunk)
        sink.finish()
        file.commit()
    except BaseException:
        file.abort()
        raise
    missing = len(dataset.shards) - len(header.shards)
    return IndexSummary(url, header.samples, len(header.parts), len(header.shards), missing)


def refuse_foreign(url: str) -> None:
    """Raise UsageError if a file is there that is no index: it is the user's own."""
    if not storage.exists(url) or storage.is_folder(url):
        return
    if storage.size(url) and (not begins_as_index(url) or _is_other_table(url)):
        raise UsageError(f"{url} is there already and no index of rawsynth's; name another file, or remove it.")


def _is_other_table(url: str) -> bool:
    """Whether a file is a whole Parquet table whose footer has no index's header: by its bytes, without pyarrow."""
    with storage.open_read(url) as stream:
        end = stream.seek(-8, os.SEEK_END)
        last = stream.read(8)
        if not last.endswith(b"PAR1"):
            return False
        stream.seek(max(0, end - int.from_bytes(last[:4], "little")))
        return HEADER_KEY not in stream.read(end)


def sink_of(format: Format) -> Callable[[storage.AtomicFile, IndexHeader], Sink]:
    """Return what writes a format.

    Raises:
        UsageError: it needs a package that is not installed.
    """
    if format == "jsonl":
        return JsonLines
    require_pyarrow()
    return ParquetSink


def finished_records(dataset: Dataset) -> Iterator[ShardRecord]:
    """Yield the records of the shards that are done, in the order of the plan.

    Raises:
        CorpusError: a record is damaged.
    """
    corpus, digest = dataset.config.output, dataset.digest
    listing = list_records(corpus)
    names = [shard.name for shard in dataset.shards if listing.may_hold(shard.name)]
    for record in read_many(corpus, lambda name: read_record(corpus, name), names):
        if isinstance(record, CorpusError):
            raise record
        if record is not None and record.config_digest == digest:
            yield record


def default_threads(corpus: str) -> int:
    """How many parts to read at a time: a core each on a disk, more where a store lets one wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if storage.is_local(corpus) else max(cores, _REMOTE_THREADS)


def _chunks(
    corpus: str, header: IndexHeader, sink: Sink, threads: int, watch: Callable[[str], None]
) -> Iterator[Any]:
    def parts() -> Iterator[IndexedPart]:
        for indexed in header.parts:
            watch(indexed.part.name)
            yield indexed

    with ThreadPoolExecutor(threads, "rawsynth-index") as pool:
        encode: Callable[[IndexedPart], Any] = lambda indexed: sink.encode(part_rows(corpus, indexed))  # noqa: E731
        yield from ordered_map(pool, encode, parts(), window=threads + 1)
