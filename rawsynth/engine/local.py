"""Run a corpus's shards one after the other in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from rawsynth import storage
from rawsynth.errors import InputAccessError
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.dataset import Dataset, accept_changes, open_dataset
from rawsynth.pipeline.inputs import Shard
from rawsynth.pipeline.record import ShardRecord, record_url
from rawsynth.pipeline.run import Progress, run_shard
from rawsynth.pipeline.synthesize import Synthesizer, make_transforms


@dataclass
class Summary:
    """What came of a run; counts are of the whole corpus so far."""

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
    over_max_errors: bool = False

    def add(self, record: ShardRecord) -> None:
        """Count a finished shard."""
        self.done += 1
        self.sources += record.sources
        self.samples += record.samples
        self.lost += record.lost
        self.left_out += record.skipped
        self.bytes += sum(part.bytes for part in record.parts)

    @property
    def exit_code(self) -> int:
        """0 if all shards are done and something was written, else 1."""
        return int(bool(self.failed) or self.over_max_errors or self.done < self.shards or not self.samples)


class Observer:
    """Watches a run; the base class ignores everything."""

    def tell(self, message: str) -> None:
        """Take a message for the user."""

    def start(self, dataset: Dataset, todo: Iterable[Shard]) -> None:
        """Learn what there is and what is still to do."""

    def shard_started(self, shard: Shard) -> None:
        """A shard begins."""

    def progress(self, shard: Shard, progress: Progress) -> None:
        """A batch of it was written."""

    def shard_done(self, shard: Shard, record: ShardRecord) -> None:
        """It is recorded."""

    def shard_failed(self, shard: Shard, cause: str) -> None:
        """It could not be made; the next run tries again."""


def generate(config: GenerateConfig, observer: Observer | None = None) -> Summary:
    """Make a corpus, or go on with one.

    Args:
        config: see :class:`~rawsynth.pipeline.config.GenerateConfig`.
        observer: told what happens.

    Returns:
        Counts over the whole corpus and the shards that failed.

    Raises:
        UsageError, CorpusError: nothing was done; a corpus of another configuration is not touched.
        OutputError: the output cannot be written; what is finished stays finished.
    """
    observer = observer or Observer()
    make_transforms(config)
    dataset = open_dataset(config, observer.tell)
    synthesizer = Synthesizer(dataset.config)
    storage.prepare_folder(config.output)
    storage.remove_stale(config.output)
    dataset.save()
    summary = Summary(config.output, shards=len(dataset.shards))
    digest = dataset.digest
    todo = []
    for shard in dataset.shards:
        record = ShardRecord.load(config.output, shard.name)
        if is_done(record, digest, config.run.retry_errors):
            assert record is not None
            summary.add(record)
            summary.skipped_shards += 1
        else:
            todo.append(shard)
    observer.start(dataset, todo)
    for shard in todo:
        if config.run.max_errors is not None and summary.lost > config.run.max_errors:
            summary.over_max_errors = True
            observer.tell(f"{summary.lost} images lost, more than --max-errors {config.run.max_errors}; stopped")
            break
        if config.run.retry_errors:
            dataset = accept_changes(dataset, shard)
            shard = next(s for s in dataset.shards if s.name == shard.name)
        _run_one(shard, dataset, synthesizer, summary, observer)
    summary.over_max_errors |= config.run.max_errors is not None and summary.lost > config.run.max_errors
    return summary


def is_done(record: ShardRecord | None, digest: str, retry_errors: bool) -> bool:
    """Whether a shard needs nothing more: its record is of this configuration, and its losses are accepted."""
    return record is not None and record.config_digest == digest and not (retry_errors and record.lost)


def _run_one(
    shard: Shard, dataset: Dataset, synthesizer: Synthesizer, summary: Summary, observer: Observer
) -> None:
    config = dataset.config
    # Its parts are about to be replaced: until the new record stands, the shard is not done.
    storage.remove(record_url(config.output, shard.name))
    observer.shard_started(shard)
    watch: Callable[[Progress], None] = lambda progress: observer.progress(shard, progress)  # noqa: E731
    threads = config.run.threads or available_cores()
    try:
        # Compiled kernels hold the interpreter's lock, so each takes all cores for the shortest time. Splitting each of
        # a hundred small eager operations over cores that are decoding costs more than it gains.
        with torch_threads(threads if config.compute.compile == "on" else 1):
            record = run_shard(shard, config, synthesizer, digest=dataset.digest, threads=threads, watch=watch)
    except InputAccessError as error:
        summary.failed[shard.name] = str(error)
        observer.shard_failed(shard, str(error))
        return
    summary.add(record)
    observer.shard_done(shard, record)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch split an operation over so many threads: one where the pipeline's own already use every core."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
