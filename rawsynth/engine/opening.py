"""Open a run: take the output, take or make the plan, find what is still to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rawsynth import storage
from rawsynth.corpus.records import list_records, read_many, read_record
from rawsynth.engine.corpus_run import CorpusRun
from rawsynth.engine.observer import Observer
from rawsynth.engine.output_lock import OutputLock
from rawsynth.engine.ranks import Rank, check_ranked, wait_for_plan
from rawsynth.engine.summary import Summary
from rawsynth.errors import CorpusError
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.dataset import Dataset, accept_changes, join_dataset, open_dataset
from rawsynth.pipeline.own_files import DATASET_FILE
from rawsynth.pipeline.record import ShardRecord, record_url
from rawsynth.pipeline.shards import Shard
from rawsynth.pipeline.synthesize import make_transforms


@contextmanager
def open_run(config: GenerateConfig, observer: Observer, rank: Rank) -> Iterator[CorpusRun]:
    """Take the output for the time of a run, and say what is to do.

    Args:
        config: what is asked for.
        observer: told what happens.
        rank: which of several processes this is.

    Raises:
        UsageError, CorpusError: nothing was done; a corpus of another configuration is not touched, nor is an output
            that another run works on.
        OutputError: the output cannot be written.
        EngineError: rank 0 wrote no plan.
    """
    started = time.perf_counter()
    make_transforms(config)
    if rank.several:
        check_ranked(config)
    rank.use_gpu(config)
    with OutputLock(config.output, shared=rank.several) as lock:
        dataset = _joined(config, observer, lock) if rank.number else _opened(config, observer, lock)
        run = CorpusRun(dataset, deque(), Summary(config.output), observer)
        _find_work(run, rank)
        yield run
        run.finish()
        run.summary.seconds = round(time.perf_counter() - started, 3)


def _opened(config: GenerateConfig, observer: Observer, lock: OutputLock) -> Dataset:
    """Take the plan that is there or make one, alone with the output."""
    if storage.exists(config.output) and storage.is_folder(config.output):
        _take(lock)
    dataset = open_dataset(config, observer.tell)
    if not lock.alone:
        # Nothing is made before the plan stands, so until now another run could begin here too.
        storage.prepare_folder(config.output)
        _take(lock)
        if storage.exists(storage.join(config.output, DATASET_FILE)):
            dataset = open_dataset(config, observer.tell)
    dataset.save()
    lock.share()
    return dataset


def _joined(config: GenerateConfig, observer: Observer, lock: OutputLock) -> Dataset:
    """Take the plan that rank 0 has written or will write."""
    wait_for_plan(config)
    _take(lock)
    lock.share()
    return join_dataset(config, observer.tell)


def _take(lock: OutputLock) -> None:
    lock.acquire()
    if lock.alone:
        storage.remove_stale(lock.output)


def _find_work(run: CorpusRun, rank: Rank) -> None:
    config, digest = run.dataset.config, run.dataset.digest
    mine = rank.share(run.dataset.shards)
    run.summary.shards = len(mine)
    run.summary.planned_only = config.run.plan_only
    for shard, record in zip(mine, _records(config.output, mine), strict=True):
        if record is not None and is_done(record, digest, config.run.retry_errors):
            run.summary.add_skipped(record)
            continue
        if config.run.retry_errors:
            run.dataset = accept_changes(run.dataset, shard)
            shard = next(s for s in run.dataset.shards if s.name == shard.name)
        if record is not None and config.run.plan_only:
            # Whoever makes the shards is not told to try again.
            storage.remove(record_url(config.output, shard.name))
        run.todo.append(shard)


def _records(corpus: str, shards: Sequence[Shard]) -> Iterator[ShardRecord | None]:
    """Read the shards' records; a damaged one ends the run, as it may hide what was lost."""
    listing = list_records(corpus)

    def read(shard: Shard) -> ShardRecord | CorpusError | None:
        return read_record(corpus, shard.name) if listing.may_hold(shard.name) else None

    for record in read_many(corpus, read, shards):
        if isinstance(record, CorpusError):
            raise record
        yield record


def is_done(record: ShardRecord, digest: str, retry_errors: bool) -> bool:
    """Whether a shard needs nothing more: its record is of this configuration, and its losses are accepted."""
    return record.config_digest == digest and not (retry_errors and record.lost)
