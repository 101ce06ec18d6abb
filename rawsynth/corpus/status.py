"""How a corpus stands, from its plan, its records and its failures alone: while it is made, and from anywhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rawsynth import storage
from rawsynth.corpus.pace import Pace, Span, measure_pace
from rawsynth.corpus.records import list_failures, list_records, read_failure, read_many, read_record
from rawsynth.errors import CorpusError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.own_files import DATASET_FILE
from rawsynth.pipeline.inputs import Shard


@dataclass(frozen=True)
class FailedShard:
    """A shard that the last run which tried it gave up; the next run tries again."""

    shard: str
    kind: str
    cause: str
    attempts: int
    host: str
    time: float | None


@dataclass
class HostShare:
    """What one host has made; ``seconds`` are those of its shards added up, ``last`` is when it finished one."""

    shards: int = 0
    samples: int = 0
    seconds: float = 0.0
    last: float = 0.0


@dataclass(frozen=True)
class Status:
    """How a corpus stands. Every shard of the plan is counted once: done, failed, damaged, of another configuration or
    missing.

    Attributes:
        corpus: its folder or URL.
        time: when it was looked at, in seconds since 1970.
        shards, done: of the plan; with a sound record of its configuration.
        failed: given up by the last run that tried them.
        damaged: what is wrong with a shard's record or failure file, by shard.
        other_configuration: shards whose record is of another configuration.
        missing: shards of which nothing is known yet: waiting, or being made.
        sources, samples, lost, left_out, bytes: of the shards that are done.
        pace: over the shards that were finished last; ``None`` without any.
        idle: nothing was finished for long; no run seems to be going on.
        eta_seconds: until all is done at this pace; ``None`` if that cannot be said.
        hosts: who made what.
    """

    corpus: str
    time: float
    shards: int
    done: int = 0
    failed: list[FailedShard] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    other_configuration: list[str] = field(default_factory=list)
    missing: int = 0
    sources: int = 0
    samples: int = 0
    lost: int = 0
    left_out: int = 0
    bytes: int = 0
    pace: Pace | None = None
    idle: bool = False
    eta_seconds: float | None = None
    hosts: dict[str, HostShare] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every shard is done and no file is damaged."""
        return self.done == self.shards and not self.damaged

    @property
    def exit_code(self) -> int:
        """0 if the corpus is complete, else 1."""
        return int(not self.complete)

    def to_json(self) -> dict[str, Any]:
        """Return all fields, JSON-ready."""
        return {**asdict(self), "complete": self.complete}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is counted of a record, which itself may be large with losses."""

    config_digest: str
    counts: tuple[int, int, int, int, int]
    host: str
    started: float
    seconds: float


class StatusReader:
    """Looks at a corpus again and again, and reads a record again only where its store says that it changed."""

    def __init__(self, corpus: str) -> None:
        self.corpus = corpus
        self._known: dict[str, tuple[str, _Facts]] = {}

    def read(self, now: float | None = None) -> Status:
        """Look at the corpus once; see :func:`status`."""
        storage.resolve(self.corpus)[0].invalidate_cache()
        dataset = Dataset.load(self.corpus)
        if dataset is None:
            raise CorpusError(f"no corpus at {self.corpus}: there is no {DATASET_FILE}. Give what generate wrote to.")
        digest = dataset.digest
        facts, damaged = self._facts(dataset)
        done = {name: fact for name, fact in facts.items() if fact.config_digest == digest}
        failed, unreadable = self._failures(dataset, {*done, *damaged})
        named = {*failed, *damaged, *unreadable}
        other = [name for name in facts if name not in done and name not in named]
        found = Status(
            self.corpus,
            time.time() if now is None else now,
            shards=len(dataset.shards),
            done=len(done),
            failed=list(failed.values()),
            damaged=damaged | unreadable,
            other_configuration=other,
            missing=len(dataset.shards) - len(done) - len(named) - len(other),
        )
        return _with_counts(found, dataset, done)

    def _facts(self, dataset: Dataset) -> tuple[dict[str, _Facts], dict[str, str]]:
        """Return the facts of sound records and what is wrong with the others, by shard in the order of the plan."""
        listing = list_records(self.corpus)

        def look(name: str) -> _Facts | str | None:
            version = listing.versions.get(name)
            if version is not None and name in self._known and self._known[name][0] == version:
                return self._known[name][1]
            record = read_record(self.corpus, name)
            if record is None or isinstance(record, CorpusError):
                return None if record is None else str(record)
            size = sum(part.bytes for part in record.parts)
            counts = (record.sources, record.samples, record.lost, record.skipped, size)
            host, started, seconds = (record.run.get(key) for key in ("host", "started", "seconds"))
            fact = _Facts(record.config_digest, counts, str(host or "?"), float(started or 0), float(seconds or 0))
            if version is not None:
                self._known[name] = version, fact
            return fact

        names = [shard.name for shard in dataset.shards if listing.may_hold(shard.name)]
        looks = dict(zip(names, read_many(self.corpus, look, names), strict=True))
        facts = {name: fact for name, fact in looks.items() if isinstance(fact, _Facts)}
        return facts, {name: fact for name, fact in looks.items() if isinstance(fact, str)}

    def _failures(self, dataset: Dataset, settled: set[str]) -> tuple[dict[str, FailedShard], dict[str, str]]:
        listing, digest = list_failures(self.corpus), dataset.digest
        names = [s.name for s in dataset.shards if s.name not in settled and listing.may_hold(s.name)]
        looks = zip(names, read_many(self.corpus, lambda name: read_failure(self.corpus, name), names), strict=True)
        failed, unreadable = {}, {}
        for name, failure in looks:
            if isinstance(failure, CorpusError):
                unreadable[name] = str(failure)
            elif failure is not None and failure.config_digest == digest:
                host, when = failure.run.get("host", "?"), failure.run.get("time", failure.run.get("started"))
                failed[name] = FailedShard(name, failure.kind, failure.cause, failure.attempts, host, when)
        return failed, unreadable


def status(corpus: str, *, now: float | None = None) -> Status:
    """Look at how a corpus stands; it may be in the making, on another machine.

    Args:
        corpus: folder or URL.
        now: seconds since 1970, for whether a run seems to be going on; the clock's if ``None``.

    Raises:
        CorpusError: there is no corpus, or its plan is damaged.
        InputAccessError: the store cannot be reached.
    """
    return StatusReader(corpus).read(now)


def _with_counts(found: Status, dataset: Dataset, done: dict[str, _Facts]) -> Status:
    work = _work(dataset.shards)
    sums: Counter[str] = Counter()
    hosts: dict[str, HostShare] = {}
    spans = []
    for name, fact in done.items():
        sums.update(dict(zip(("sources", "samples", "lost", "left_out", "bytes"), fact.counts, strict=True)))
        span = Span(fact.started, fact.seconds, fact.counts[1], fact.counts[4], work[name])
        spans.append(span)
        host = hosts.setdefault(fact.host, HostShare())
        host.shards += 1
        host.samples += span.samples
        host.seconds += span.seconds
        host.last = max(host.last, span.ended)
    pace = measure_pace(spans)
    idle = pace is None or pace.is_idle(found.time)
    left = sum(work.values()) - sum(span.work for span in spans)
    eta = left / pace.work_per_second if pace and pace.work_per_second and not idle else None
    told = {"pace": pace, "idle": idle, "eta_seconds": 0.0 if found.complete else eta}
    return Status(**{**vars(found), **sums, **told, "hosts": dict(sorted(hosts.items()))})


def _work(shards: tuple[Shard, ...]) -> dict[str, float]:
    """How much a shard takes: its bytes, or its images where not all sizes are known."""
    sized = all(file.size is not None for shard in shards for file in shard.files) and all(s.size for s in shards)
    return {shard.name: float(shard.size if sized else len(shard.files)) for shard in shards}
