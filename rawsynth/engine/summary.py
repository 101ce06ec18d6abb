"""What came of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rawsynth.corpus.causes import Causes
from rawsynth.pipeline.record import ShardFailure, ShardRecord


@dataclass
class Summary:
    """What came of a run; counts are of the whole corpus so far, or of a rank's share of it.

    Attributes:
        output: the corpus.
        shards, done: how many there are, and how many have a record.
        skipped_shards: done by earlier runs.
        failed: cause of each shard that could not be made.
        sources, samples, lost, left_out, bytes: over the shards that are done.
        lost_causes, left_out_causes: why, by kind.
        seconds: that this run took.
        stages: thread-seconds that this run's shards spent in each stage.
        over_max_errors: stopped because too many images were lost.
        planned_only: nothing was to be made.
    """

    output: str
    shards: int = 0
    done: int = 0
    skipped_shards: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    sources: int = 0
    samples: int = 0
    lost: int = 0
    left_out: int = 0
    bytes: int = 0
    lost_causes: Causes = field(default_factory=Causes)
    left_out_causes: Causes = field(default_factory=Causes)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    over_max_errors: bool = False
    planned_only: bool = False

    def add(self, record: ShardRecord) -> None:
        """Count a finished shard."""
        self.done += 1
        self.sources += record.sources
        self.samples += record.samples
        self.lost += record.lost
        self.left_out += record.skipped
        self.bytes += sum(part.bytes for part in record.parts)
        self.lost_causes.add(record.errors)
        self.left_out_causes.add(record.skips)

    def add_skipped(self, record: ShardRecord) -> None:
        """Count a shard that an earlier run finished."""
        self.add(record)
        self.skipped_shards += 1

    def add_made(self, record: ShardRecord) -> None:
        """Count a shard that this run finished."""
        self.add(record)
        for stage, seconds in record.run.get("stages", {}).items():
            self.stages[stage] = round(self.stages.get(stage, 0.0) + seconds, 3)

    def add_failed(self, failure: ShardFailure) -> None:
        """Count a shard that could not be made."""
        self.failed[failure.shard] = failure.cause

    @property
    def exit_code(self) -> int:
        """0 if all shards are done and something was written, or nothing was to be made, else 1."""
        if self.planned_only:
            return 0
        return int(bool(self.failed) or self.over_max_errors or self.done < self.shards or not self.samples)

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-ready, with the exit code."""
        told = {name: value.to_json() if isinstance(value, Causes) else value for name, value in vars(self).items()}
        return {**told, "exit_code": self.exit_code}
