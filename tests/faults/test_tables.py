"""Damaged Parquet files: every row that one states comes out, or a loss says why not."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawsynth.pipeline.reader import count_samples, read_shard
from rawsynth.pipeline.shards import InputFile, Shard
from rawsynth.pipeline.source_sample import LostSample, SourceSample
from tests.faults.effort import cases, time_limit
from tests.faults.image_files import image_seeds
from tests.faults.mutation import mutate

SECONDS = 5.0
ROWS = 6
WRITTEN: dict[str, dict[str, Any]] = {
    "snappy": {"compression": "snappy", "row_group_size": 2},
    "zstd": {"compression": "zstd", "row_group_size": 3, "write_page_checksum": True},
    "plain": {"compression": "none", "row_group_size": 2, "use_dictionary": False, "data_page_version": "2.0"},
}


@cache
def table(name: str) -> bytes:
    """A small table of images, of bytes that `struct` has with a path, and of labels."""
    image = image_seeds()["png"]
    rows = [{"image": {"bytes": image, "path": f"{i}.png"}, "label": i, "text": "a cat" * i} for i in range(ROWS)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, **WRITTEN[name])
    return buffer.getvalue()


def read(folder: Path, data: bytes) -> list[SourceSample | LostSample]:
    (folder / "z.parquet").write_bytes(data)
    shard = Shard("z", "parquet", str(folder), (InputFile("z.parquet", len(data)),))
    assert count_samples(shard, 1) in (0, 1)
    return list(read_shard(shard, ("label", "text")))


@pytest.mark.soak
@pytest.mark.parametrize("name", WRITTEN)
def test_a_damaged_table_loses_nothing_in_silence(name: str, tmp_path: Path) -> None:
    damaged = 0
    for case, rng in cases(f"table/{name}", 0.1 / len(WRITTEN)):
        data = mutate(table(name), rng, table("plain"))
        with time_limit(SECONDS):
            samples = read(tmp_path, data)
        keys = [sample.key for sample in samples if isinstance(sample, SourceSample)]
        losses = [sample for sample in samples if isinstance(sample, LostSample)]
        assert len(set(keys)) == len(keys), case
        for loss in losses:
            assert loss.stage == "read" and loss.key and "\n" not in loss.cause and 0 < len(loss.cause) < 1000, case
        assert losses or len(keys) == ROWS or stated_rows(data) == len(keys), case
        damaged += bool(losses)
    assert damaged


def stated_rows(data: bytes) -> int:
    """What the footer states; damage there may make it a table of fewer rows."""
    return int(pq.ParquetFile(io.BytesIO(data)).metadata.num_rows)
