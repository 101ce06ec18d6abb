"""Who watches a run, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawsynth.engine.summary import Summary
    from rawsynth.pipeline.dataset import Dataset
    from rawsynth.pipeline.record import ShardFailure, ShardRecord
    from rawsynth.pipeline.run import Progress
    from rawsynth.pipeline.shards import Shard


class Observer:
    """Watches a run; the base class ignores everything. Whatever the engine, it is called in one thread."""

    def tell(self, message: str) -> None:
        """Take a message for the user."""

    def start(self, dataset: Dataset, todo: Sequence[Shard]) -> None:
        """Learn what there is and what is still to do."""

    def shard_started(self, shard: Shard) -> None:
        """A shard begins."""

    def progress(self, shard: Shard, progress: Progress) -> None:
        """A batch of it was written."""

    def shard_done(self, shard: Shard, record: ShardRecord) -> None:
        """It is recorded."""

    def shard_failed(self, shard: Shard, failure: ShardFailure) -> None:
        """It could not be made; the next run tries again."""

    def shard_retried(self, shard: Shard, cause: str) -> None:
        """What worked on it ended; it is begun anew."""

    def end(self, summary: Summary) -> None:
        """Nothing more comes."""
