"""What is known about a finished shard, written last: its record is what makes a shard done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rawsynth import storage
from rawsynth.errors import CorpusError, UsageError
from rawsynth.pipeline.stated import check_inside, stated
from rawsynth.storage.sealed import read_sealed, write_sealed

RECORD_FOLDER = "records"
FAILURE_FOLDER = "failures"


@dataclass(frozen=True)
class PartRecord:
    """One tar: its name in the corpus, its bytes, and what is in it."""

    name: str
    bytes: int
    sha256: str
    samples: int
    split: str | None = None


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard.

    Attributes:
        shard: its name.
        config_digest: the configuration that made it.
        inputs: ``[url, bytes]`` of what was read.
        members: extensions that every sample has; kept members may come on top.
        parts: the tars.
        sources, samples, skipped, lost: source images met, samples written, images left out, images lost.
        errors: ``{key, stage, cause}`` of each loss.
        skips: ``{key, reason}`` of each image left out.
        environment: library versions and instruction set; with the digest, what decides bytes.
        run: host and timings; decides nothing.
    """

    shard: str
    config_digest: str
    inputs: list[list[Any]]
    members: list[str]
    parts: list[PartRecord]
    sources: int
    samples: int
    skipped: int
    lost: int
    errors: list[dict[str, str]] = field(default_factory=list)
    skips: list[dict[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def save(self, corpus: str) -> None:
        """Write the record, atomically."""
        write_sealed(record_url(corpus, self.shard), asdict(self))

    @classmethod
    def load(cls, corpus: str, shard: str) -> ShardRecord | None:
        """Read a shard's record; ``None`` if there is none.

        Raises:
            CorpusError: it is damaged.
        """
        url = record_url(corpus, shard)
        return cls.from_json(read_sealed(url), url) if storage.exists(url) else None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> ShardRecord:
        """Build a record from its JSON object."""
        try:
            record = stated(cls, data)
            for part in record.parts:
                check_inside(part.name)
        except UsageError as error:
            raise CorpusError(f"{where} is not a shard record: {error}.") from error
        return record


@dataclass(frozen=True)
class ShardFailure:
    """A shard that could not be made, for whoever asks how the corpus stands; the next run tries it again.

    Attributes:
        shard: its name.
        config_digest: the configuration that should have made it.
        kind: ``"access"`` (an input out of reach) or ``"crash"`` (it ended the processes that worked on it).
        cause: in words.
        attempts: in the run that gave up.
        run: host and time.
    """

    shard: str
    config_digest: str
    kind: str
    cause: str
    attempts: int = 1
    run: dict[str, Any] = field(default_factory=dict)

    def save(self, corpus: str) -> None:
        """Write it, atomically."""
        write_sealed(failure_url(corpus, self.shard), asdict(self))

    @classmethod
    def load(cls, corpus: str, shard: str) -> ShardFailure | None:
        """Read a shard's failure; ``None`` if there is none.

        Raises:
            CorpusError: it is damaged.
        """
        url = failure_url(corpus, shard)
        return cls.from_json(read_sealed(url), url) if storage.exists(url) else None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> ShardFailure:
        """Build a failure from its JSON object."""
        try:
            return stated(cls, data)
        except UsageError as error:
            raise CorpusError(f"{where} does not say how a shard failed: {error}. Delete it.") from error


def failure_url(corpus: str, shard: str) -> str:
    """URL of what says why a shard could not be made."""
    return storage.join(corpus, FAILURE_FOLDER, f"{shard}.json")


def record_url(corpus: str, shard: str) -> str:
    """URL of a shard's record."""
    return storage.join(corpus, RECORD_FOLDER, f"{shard}.json")
