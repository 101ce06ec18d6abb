"""Parquet files of images as sources, as Hugging Face's ``datasets`` writes them: a row an image.

Rows are read a few at a time, and damage costs the row group that it is in. Memory is that of a few rows and of the
largest page, which whoever wrote the file chose. A row may hold the path or URL of its image in the place of the bytes,
as ``Dataset.to_parquet`` writes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.archive import LARGEST_FILE
from rawsynth.pipeline.local_files import local_size
from rawsynth.pipeline.shards import Shard
from rawsynth.pipeline.source_sample import ImageBytes, LostSample, SourceSample, check_size
from rawsynth.raw.files import RAW_SUFFIXES
from rawsynth.storage.parquet import ParquetDamage, damage_told, parquet_file, require_pyarrow

_ROWS = 8
_MOST_LISTED = 20
_BYTES = ("binary", "large_binary", "binary_view")
_USUAL_NAMES = ("image", "img")


@dataclass(frozen=True)
class _Rows:
    """Where a file's images come from, and what each of them is called."""

    url: str
    prefix: str
    image: str
    kept: Mapping[str, str]

    def sample(self, number: int, row: Mapping[str, Any]) -> SourceSample | LostSample:
        """Return one row as a sample: its key is the shard's name and its number in the file, from 0."""
        key = f"{self.prefix}{number:08d}"
        data, path = _image(row[self.image])
        load = ImageBytes(data=data)
        if data is None:
            if path is None or not (path.startswith("/") or "://" in path):
                there = "null" if path is None else f"only the name {path!r}; write the bytes into the table"
                return LostSample(key, "read", f"no image in column {self.image!r}: {there}")
            load = ImageBytes(url=path)
        elif len(data) > LARGEST_FILE:
            return LostSample(key, "read", f"{len(data)} bytes, want {LARGEST_FILE} or fewer")
        values = {name: row[column] for name, column in self.kept.items()}
        kept = {name: ImageBytes(data=_as_bytes(value)) for name, value in values.items() if value is not None}
        raw = (path or "").rpartition(".")[2].lower() in RAW_SUFFIXES
        name = f"{number:08d}/{path}" if path else f"{number:08d}"
        return SourceSample(key, name, self.url, load, kept, raw)


def read_parquet(shard: Shard, keep: tuple[str, ...], image_column: str | None) -> Iterator[SourceSample | LostSample]:
    """Yield a file's rows in their order.

    Args:
        shard: of kind ``"parquet"``.
        keep: columns that travel along, whatever the case of their letters: bytes as they are, text as UTF-8, and
            everything else as JSON.
        image_column: which column holds the images, if not the only one that does, or ``image``.

    Raises:
        UsageError: pyarrow is not installed.
        InputAccessError: the file cannot be reached. Whatever is wrong with its content is a
            :class:`~rawsynth.pipeline.source_sample.LostSample`.
    """
    require_pyarrow()
    place, url = shard.url(shard.files[0]), shard.source_url(shard.files[0])
    here = local_size(place)
    with storage.open_read(place) as stream:
        check_size(place, stream.seek(0, 2) if here is None else here, shard.files[0].size)
        stream.seek(0)
        try:
            file = parquet_file(stream)
            image = pick_image_column(file, url, image_column)
        except (ParquetDamage, UsageError) as error:
            cause = f"not a Parquet file, or damaged: {error}"
            if isinstance(error, UsageError):
                cause = f"{error} All {file.metadata.num_rows} rows are lost."
            yield LostSample(url, "read", cause)
            return
        columns = {name.lower(): name for name in file.schema_arrow.names if name != image}
        kept = {name: columns[name] for name in keep if name in columns}
        yield from _read_groups(file, stream, _Rows(url, f"{shard.name}/", image, kept))


def count_rows(shard: Shard) -> int:
    """Return the number of rows that a file states; 0 for one that is damaged.

    Raises:
        UsageError: pyarrow is not installed.
        InputAccessError: it cannot be reached.
    """
    with storage.open_read(shard.url(shard.files[0])) as stream:
        try:
            return max(0, int(parquet_file(stream).metadata.num_rows))
        except ParquetDamage:
            return 0


def check_columns(shard: Shard, keep: tuple[str, ...], image_column: str | None) -> None:
    """Look at a file's columns before a run starts; a file that is damaged or out of reach is left to the run.

    Raises:
        UsageError: pyarrow is not installed, it is not clear which column holds the images, or there is none of the
            name of one that is to be kept.
    """
    require_pyarrow()
    try:
        with storage.open_read(shard.url(shard.files[0])) as stream:
            file, url = parquet_file(stream), shard.source_url(shard.files[0])
            pick_image_column(file, url, image_column)
    except (ParquetDamage, InputAccessError):
        return
    missing = set(keep) - {name.lower() for name in file.schema_arrow.names}
    if missing:
        raise UsageError(f"{url} has no column {min(missing)!r} to keep (--keep). Its columns: {_listed(file)}.")


def _read_groups(file: Any, stream: storage.GuardedStream, rows: _Rows) -> Iterator[SourceSample | LostSample]:
    """Yield row group by row group, so that what follows a damaged one is still read."""
    columns = [rows.image, *rows.kept.values()]
    first = 0
    for group in range(file.metadata.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        number, cause = first, ""
        try:
            for row in _rows_of(file, stream, group, columns):
                yield rows.sample(number, row)
                number += 1
        except ParquetDamage as error:
            cause = str(error)
        if number < end:
            told = f"rows {number} to {end - 1} cannot be read: {cause or 'they are not there'}"
            yield LostSample(f"{rows.url}:{number}", "read", told)
        first = end


def _rows_of(file: Any, stream: storage.GuardedStream, group: int, columns: list[str]) -> Iterator[dict[str, Any]]:
    with damage_told(stream):
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns, use_threads=False):
            yield from batch.to_pylist()


def pick_image_column(file: Any, url: str, asked: str | None) -> str:
    """Return the column that holds the images of a ``pyarrow.parquet.ParquetFile``.

    Args:
        file: the open file.
        url: what messages call it.
        asked: the column that the user wants, if any.

    Raises:
        UsageError: there is none, or several and none was asked for.
    """
    schema = file.schema_arrow
    candidates = [field.name for field in schema if _may_hold_images(field)]
    stated = _hugging_face_images(schema)
    usual = [name for name in _USUAL_NAMES if name in candidates]
    if asked is not None:
        if asked not in candidates:
            raise UsageError(f"{url} has no column {asked!r} of encoded images (bytes). Its columns: {_listed(file)}.")
        return asked
    if not candidates:
        raise UsageError(
            f"{url} has no column of encoded images (bytes, or Hugging Face's Image). Its columns: {_listed(file)}. "
            "Of paths or URLs make a list file (.txt); img2dataset fetches them into tars."
        )
    for some in ([name for name in stated if name in candidates], candidates):
        chosen = next((name for name in usual if name in some), some[0] if len(some) == 1 else None)
        if chosen is not None:
            return chosen
    raise UsageError(
        f"{url} has several columns that may hold the images; choose one with --image-column: {_listed(file)}."
    )


def _listed(file: Any) -> str:
    """Name a file's columns on one line; there may be any number of any type."""
    schema = file.schema_arrow
    more = f" and {len(schema) - _MOST_LISTED} more" if len(schema) > _MOST_LISTED else ""
    return ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in list(schema)[:_MOST_LISTED]) + more


def _may_hold_images(field: Any) -> bool:
    kind = str(field.type)
    if not kind.startswith("struct<"):
        return kind in _BYTES
    # Without any bytes pyarrow knows no type of them; there may be paths.
    return any(child.name == "bytes" and str(child.type) in (*_BYTES, "null") for child in field.type)


def _hugging_face_images(schema: Any) -> list[str]:
    """Return the columns that Hugging Face's ``datasets`` wrote as images; a struct of bytes may be audio, too."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [name for name, feature in features.items() if feature.get("_type") == "Image"]
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return []


def _image(value: Any) -> tuple[bytes | None, str | None]:
    """Return an image's bytes, and the name that it had or the file that it is in, where they are known."""
    if isinstance(value, Mapping):
        path = value.get("path")
        return value.get("bytes"), path if isinstance(path, str) and path else None
    return value, None


def _as_bytes(value: Any) -> bytes:
    data, _ = _image(value)
    if isinstance(data, bytes):
        return data
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, default=_as_text).encode()


def _as_text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
