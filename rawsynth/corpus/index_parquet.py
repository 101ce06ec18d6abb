"""An index as a Parquet file, through pyarrow."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rawsynth import storage
from rawsynth.corpus.index_rows import IndexHeader, Row
from rawsynth.errors import CorpusError
from rawsynth.storage.parquet import ParquetDamage, damage_told, parquet_file, require_pyarrow

HEADER_KEY = b"rawsynth_index"
_GROUP_ROWS = 65_536
_BATCH_ROWS = 4_096


def schema(header: IndexHeader) -> Any:
    """Return the table's schema: the fields of a row, ``members`` as a list, and the header as metadata."""
    pa = require_pyarrow()
    members = pa.list_(pa.struct([("name", pa.string()), ("offset", pa.int64()), ("size", pa.int64())]))
    planes = pa.list_(pa.float64())
    texts = {name: pa.string() for name in ("member", "model", "camera")}
    noise = pa.struct([*texts.items(), ("iso", pa.float64()), ("shot", planes), ("read", planes)])
    fields = {
        **{name: pa.string() for name in ("key", "shard", "part", "split")},
        "members": members,
        "camera": pa.string(),
        "cct": pa.float64(),
        "method": pa.string(),
        "noise": pa.list_(noise),
        "source": pa.struct([("key", pa.string()), ("url", pa.string())]),
        "crop": pa.list_(pa.int32()),
    }
    return pa.schema(list(fields.items()), metadata={HEADER_KEY: json.dumps(header.to_json(), separators=(",", ":"))})


class ParquetSink:
    """A row group every 65,536 rows; parts stay in order."""

    def __init__(self, file: storage.AtomicFile, header: IndexHeader) -> None:
        self._pa = require_pyarrow()
        self._schema = schema(header)
        self._waiting: list[Any] = []
        options = {"compression": "zstd", "write_page_checksum": True}
        self._writer = self._pa.parquet.ParquetWriter(_AsStream(file), self._schema, **options)

    def encode(self, rows: Iterable[Row]) -> Any:
        """Make a table of a part's rows, a few at a time, since rows take more memory than their columns."""
        pa, rows = self._pa, iter(rows)
        tables = []
        while batch := [_to_columns(row) for row in islice(rows, _BATCH_ROWS)]:
            tables.append(pa.Table.from_pylist(batch, schema=self._schema))
        return pa.concat_tables(tables) if tables else self._schema.empty_table()

    def write(self, chunk: Any) -> None:
        """Append a table."""
        self._waiting.append(chunk)
        if sum(table.num_rows for table in self._waiting) >= _GROUP_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write the last rows and the file's footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._pa.concat_tables(self._waiting), row_group_size=_GROUP_ROWS)
            self._waiting.clear()


class _AsStream(io.RawIOBase):
    """What pyarrow takes for a file; closing it leaves the commit to whoever owns the target."""

    def __init__(self, file: storage.AtomicFile) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._file.write(bytes(data))

    def tell(self) -> int:
        return self._file.bytes_written


def _to_columns(row: Row) -> Row:
    members = [{"name": name, "offset": at, "size": size} for name, (at, size) in row["members"].items()]
    return {**row, "members": members}


def _from_columns(row: Row) -> Row:
    return {**row, "members": {member["name"]: [member["offset"], member["size"]] for member in row["members"]}}


def read_parquet(url: str) -> tuple[bytes, Iterator[Row]]:
    """Read an index back: its header as text, and its rows as :func:`~rawsynth.corpus.index_rows.index_row` made them.

    Raises:
        UsageError: pyarrow is not installed.
        CorpusError: the file is damaged; while rows are read, too.
        InputAccessError: it cannot be reached.
    """
    stream = storage.open_read(url)
    try:
        file = parquet_file(stream)
    except ParquetDamage as error:
        raise CorpusError(f"{url} is no Parquet file, or damaged: {error}") from error
    return (file.schema_arrow.metadata or {}).get(HEADER_KEY, b""), _rows(file, stream, url)


def _rows(file: Any, stream: storage.GuardedStream, url: str) -> Iterator[Row]:
    try:
        with damage_told(stream):
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from map(_from_columns, batch.to_pylist())
    except ParquetDamage as error:
        raise CorpusError(f"{url} is damaged: {error}") from error
