"""What an index says: a header that names the corpus as it was, and a row a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rawsynth import storage
from rawsynth.corpus.part import StoredSample, open_sparsely, walk_samples
from rawsynth.counting import counted
from rawsynth.errors import CorpusError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import PartRecord, ShardRecord

INDEX_VERSION = 1
Row = dict[str, Any]


@dataclass(frozen=True)
class IndexedPart:
    """A part that an index covers."""

    shard: str
    part: PartRecord


@dataclass(frozen=True)
class IndexHeader:
    """What an index was made of; whoever opens it compares.

    Attributes:
        config_digest: of the corpus.
        shards: the parts of each finished shard, in the order of the plan.
    """

    config_digest: str
    shards: Mapping[str, tuple[PartRecord, ...]]

    @classmethod
    def of(cls, dataset: Dataset, records: Iterable[ShardRecord]) -> IndexHeader:
        """Return the header of an index over the shards of these records, which are in the order of the plan."""
        return cls(dataset.digest, {record.shard: tuple(record.parts) for record in records})

    @property
    def parts(self) -> list[IndexedPart]:
        """All parts in the order of the corpus."""
        return [IndexedPart(shard, part) for shard, parts in self.shards.items() for part in parts]

    @property
    def samples(self) -> int:
        """How many rows follow."""
        return sum(part.samples for parts in self.shards.values() for part in parts)

    def to_json(self) -> Row:
        """Return it as a JSON object; a part as ``[name, bytes, sha256, samples, split]``."""
        shards = {
            shard: [[part.name, part.bytes, part.sha256, part.samples, part.split] for part in parts]
            for shard, parts in self.shards.items()
        }
        return {"rawsynth_index": INDEX_VERSION, "config_digest": self.config_digest, "shards": shards}

    @classmethod
    def from_json(cls, text: bytes) -> IndexHeader:
        """Read what :meth:`to_json` gave, as text.

        Raises:
            ValueError: it is none, or of another version.
        """
        try:
            data = json.loads(text)
            if data["rawsynth_index"] != INDEX_VERSION:
                raise ValueError(f"version {data['rawsynth_index']}")
            shards = {name: tuple(PartRecord(*part) for part in parts) for name, parts in data["shards"].items()}
            return cls(data["config_digest"], shards)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(str(error)) from error


def encode_line(data: Mapping[str, Any]) -> bytes:
    """Encode the header or a row as a line of JSON, in the order of its fields."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def index_row(indexed: IndexedPart, sample: StoredSample, meta: Mapping[str, Any]) -> Row:
    """Return the row of a sample.

    Raises:
        CorpusError: its JSON lacks what every sample's has.
    """
    try:
        raw, source = meta["raw"], meta["source"]
        return {
            "key": sample.key,
            "shard": indexed.shard,
            "part": indexed.part.name,
            "split": meta["split"],
            "members": {name: list(place) for name, place in sample.members.items()},
            "camera": raw.get("camera"),
            "cct": _number(raw.get("cct")),
            "method": raw["method"],
            "noise": [_noise(entry) for entry in meta.get("noise_draws", meta["noisy"])],
            "source": {"key": source["key"], "url": source["url"]},
            "crop": source.get("crop"),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorpusError(f"sample {sample.key}: its JSON is not a sample's: {error!r}") from error


def _noise(entry: Mapping[str, Any]) -> Row:
    noise = entry["noise"]
    told = {"model": noise["model"], "camera": noise.get("camera"), "iso": _number(noise.get("iso"))}
    levels = {name: [float(value) for value in entry[name]] for name in ("shot", "read")}
    return {"member": entry.get("member"), **told, **levels}


def _number(value: float | None) -> float | None:
    """One type for whole numbers too, in every format."""
    return None if value is None else float(value)


def parse_meta(sample: StoredSample) -> dict[str, Any]:
    """Decode a sample's JSON.

    Raises:
        CorpusError: it has none, it is no JSON object, or it is another sample's.
    """
    try:
        meta = json.loads(sample.json or b"")
        key = meta["key"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorpusError(f"sample {sample.key}: its JSON cannot be read: {error}") from error
    if key != sample.key:
        raise CorpusError(f"sample {sample.key}: its JSON is that of {key}")
    return dict(meta)


def part_rows(corpus: str, indexed: IndexedPart) -> Iterator[Row]:
    """Read the rows of a part by its headers and JSON members, without its pixels.

    Raises:
        CorpusError: the part is damaged or not what its record says.
        InputAccessError: it cannot be reached.
    """
    part = indexed.part
    url = storage.join(corpus, part.name)
    try:
        with open_sparsely(url) as stream:
            size = stream.seek(0, 2)
            if size != part.bytes:
                raise CorpusError(f"{size} bytes, its record says {part.bytes}")
            stream.seek(0)
            count = 0
            for sample in walk_samples(stream):
                count += 1
                yield index_row(indexed, sample, parse_meta(sample))
        if count != part.samples:
            raise CorpusError(f"{counted(count, 'sample')}, its record says {part.samples}")
    except CorpusError as error:
        raise CorpusError(f"{url}: {error}. Run rawsynth verify {corpus}.") from error
