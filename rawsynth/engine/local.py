"""Make a corpus on this machine, or this machine's share of one."""

from __future__ import annotations

import json
from functools import partial

from rawsynth import storage
from rawsynth.engine.card import finish_card
from rawsynth.engine.corpus_run import CorpusRun
from rawsynth.engine.observer import Observer
from rawsynth.engine.on_ray import import_ray, run_on_ray
from rawsynth.engine.opening import open_run
from rawsynth.engine.ranks import Rank, current_rank
from rawsynth.engine.resources import threads_of_each, worker_count
from rawsynth.engine.shard_task import ShardTask
from rawsynth.engine.summary import Summary
from rawsynth.engine.workers import run_on_workers
from rawsynth.errors import UsageError
from rawsynth.pipeline.config import GenerateConfig


def generate(config: GenerateConfig, observer: Observer | None = None) -> Summary:
    """Make a corpus, or go on with one.

    Under torchrun or srun each process makes its share of the shards.

    Args:
        config: see :class:`~rawsynth.pipeline.config.GenerateConfig`; ``run.engine`` and ``run.workers`` say where.
        observer: told what happens.

    Returns:
        Counts over the whole corpus, or the rank's share, and the shards that failed.

    Raises:
        UsageError, CorpusError: nothing was done; what is of another configuration or in use by another run is not
            touched.
        OutputError: the output cannot be written; what is finished stays finished.
        EngineError: workers or a cluster cannot be had.
    """
    if not isinstance(config, GenerateConfig):
        raise UsageError(
            f'generate takes a GenerateConfig(input="photos/", output="corpus/", ...); got {type(config).__name__}.'
        )
    observer, rank = observer or Observer(), current_rank()
    on_ray = config.run.engine == "ray"
    if on_ray and rank.several:
        raise UsageError(f"{rank.world} ranks and --engine ray: start one process, Ray has its own machines.")
    if on_ray:
        # Before the output is made: a plan without a run looks like one that was killed.
        import_ray()
    with open_run(config, observer, rank) as run:
        if not config.run.plan_only:
            observer.start(run.dataset, tuple(run.todo))
            if on_ray:
                run_on_ray(run)
            else:
                run_locally(run, rank)
            finish_card(run, rank)
    if config.run.summary is not None:
        text = json.dumps(run.summary.to_json(), indent=1) + "\n"
        storage.write_atomic(config.run.summary, text.encode())
    observer.end(run.summary)
    return run.summary


def run_locally(run: CorpusRun, rank: Rank) -> None:
    """Make a run's shards on as many processes as the configuration and the machine call for."""
    config = run.dataset.config
    # Ranks are this machine's processes already.
    count = 1 if rank.several and config.run.workers == "auto" else worker_count(config, run.todo)
    if count > 1 or config.run.workers not in ("auto", 1):
        run_on_workers(run, count)
    else:
        run_here(run)


def run_here(run: CorpusRun) -> None:
    """Make a run's shards in this process, one after the other."""
    config = run.dataset.config
    if not run.todo:
        return
    with ShardTask(config, run.dataset.digest, threads_of_each(config, 1)) as task:
        while (shard := run.next_shard()) is not None:
            run.ended(shard, task(shard, partial(run.observer.progress, shard)))
