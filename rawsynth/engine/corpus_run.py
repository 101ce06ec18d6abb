"""A run over a corpus's shards: what is to do, what came of it, how often a shard is tried. Engines work through it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from rawsynth.counting import counted
from rawsynth.engine.observer import Observer
from rawsynth.engine.shard_task import Outcome, failed
from rawsynth.engine.summary import Summary
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.pipeline.shards import Shard

# What ends two processes is taken for the cause; one end can be anybody's fault.
MOST_CRASHES = 2
# Machines come and go, but one shard that has lost so many is taken for the cause all the same.
MOST_RETURNS = 10
STALLED = "no progress within --stall-timeout; is a file or a store not answering?"


@dataclass
class CorpusRun:
    """A run under way.

    Attributes:
        dataset: the plan.
        todo: shards that nobody works on yet.
        summary: counts so far.
        observer: told what happens.
    """

    dataset: Dataset
    todo: deque[Shard]
    summary: Summary
    observer: Observer
    _crashes: Counter[str] = field(default_factory=Counter)
    _returns: Counter[str] = field(default_factory=Counter)

    def next_shard(self) -> Shard | None:
        """Take a shard to work on; ``None`` if there is none, or too many images were lost."""
        if not self.todo or self._too_many_lost():
            return None
        shard = self.todo.popleft()
        self.observer.shard_started(shard)
        return shard

    def ended(self, shard: Shard, outcome: Outcome) -> None:
        """Take what came of a shard."""
        if isinstance(outcome, ShardRecord):
            self.summary.add_made(outcome)
            self.observer.shard_done(shard, outcome)
        else:
            self._failed(shard, outcome)

    def crashed(self, shard: Shard, cause: str) -> None:
        """Take that what worked on a shard ended: it is tried again, or set aside where that happened before."""
        self._crashes[shard.name] += 1
        self._again(shard, cause, attempts=self._crashes[shard.name], most=MOST_CRASHES)

    def given_back(self, shard: Shard, cause: str) -> None:
        """Take a shard back that the end of something else interrupted."""
        self._returns[shard.name] += 1
        self._again(shard, cause, attempts=self._returns[shard.name], most=MOST_RETURNS)

    def _again(self, shard: Shard, cause: str, *, attempts: int, most: int) -> None:
        if attempts < most:
            self.todo.append(shard)
            self.observer.shard_retried(shard, cause)
            return
        config, digest = self.dataset.config, self.dataset.digest
        cause = f"set aside after {counted(attempts, 'attempt')}: {cause}"
        self._failed(shard, failed(shard, config, digest, kind="crash", cause=cause, attempts=attempts))

    def finish(self) -> None:
        """Say whether too many images were lost."""
        self.summary.over_max_errors = self._too_many_lost()
        if self.summary.over_max_errors:
            most = self.dataset.config.run.max_errors
            self.observer.tell(f"{counted(self.summary.lost, 'image')} lost, more than --max-errors {most}; stopped")

    def _failed(self, shard: Shard, failure: ShardFailure) -> None:
        self.summary.add_failed(failure)
        self.observer.shard_failed(shard, failure)

    def _too_many_lost(self) -> bool:
        most = self.dataset.config.run.max_errors
        return most is not None and self.summary.lost > most
