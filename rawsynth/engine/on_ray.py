"""Shards on a Ray cluster: actors hold the network and make whole shards, from the store to the store.

Only shards' names and file lists go to them, and records and counts come back: no image crosses Ray's object store.
Losing an actor or its node costs what it was working on, which another one begins anew.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rawsynth.engine.corpus_run import STALLED, CorpusRun
from rawsynth.engine.shard_task import Outcome, ShardTask
from rawsynth.errors import EngineError, RawsynthError, UsageError
from rawsynth.pipeline import environment
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.run import Progress
from rawsynth.pipeline.shards import Shard

_TICK_S = 2.0
# So many actors in a row that end before they are ready: it is not the shards.
_MOST_FAILED_STARTS = 3
# What Ray says of an actor whose machine is gone for good.
_NODE_DIED = "its node has died"


def run_on_ray(run: CorpusRun) -> None:
    """Make a run's shards on the cluster that ``RAY_ADDRESS`` names, on one of this machine otherwise.

    Raises:
        UsageError: Ray is not installed, or the cluster has not what a worker needs.
        OutputError: from a worker; the others are stopped.
        EngineError: workers cannot be started.
    """
    if not run.todo:
        return
    ray = import_ray()
    with _connected(ray):
        pool = _Pool(run, ray)
        try:
            pool.work()
        finally:
            pool.stop()


def import_ray() -> Any:
    """Return Ray.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'rawsynth[ray]'") from error
    return ray


class ShardActor:
    """What lives on the cluster. Two methods run at once: one makes a shard, one says how far that is."""

    def __init__(self, config: GenerateConfig, digest: str, threads: int, folder: str) -> None:
        # Relative paths of weights, cameras and outputs mean what they mean where the run was started.
        if os.path.isdir(folder):
            os.chdir(folder)
        self._task = ShardTask(config, digest, threads)
        self._progress: deque[Progress] = deque()
        self._device = config.compute.device

    def describe(self) -> dict[str, str]:
        """Return what of this machine decides bytes."""
        return environment.describe(self._device)

    def make(self, shard: Shard) -> tuple[Outcome, list[Progress]]:
        """Make one shard; return what came of it, and what was done since :meth:`news` was last asked."""
        outcome = self._task(shard, self._progress.append)
        return outcome, self.news()

    def news(self) -> list[Progress]:
        """Return what was done since it was last asked."""
        news = []
        while self._progress:
            news.append(self._progress.popleft())
        return news


@dataclass
class _Actor:
    """One actor, from the driver's side; each pending call by its reference."""

    handle: Any
    calls: dict[Any, str] = field(default_factory=dict)
    ready: bool = False
    shard: Shard | None = None
    heard: float = field(default_factory=time.monotonic)


class _Pool:
    """The actors of a run."""

    def __init__(self, run: CorpusRun, ray: Any) -> None:
        self.run, self.ray = run, ray
        config = run.dataset.config
        self._on_gpu = config.compute.device.startswith("cuda")
        self._threads = config.run.threads or 1
        self._count = min(len(run.todo), self._most_actors(config))
        self._class = ray.remote(ShardActor).options(
            num_cpus=self._threads,
            num_gpus=config.run.gpus_per_worker if self._on_gpu else 0,
            max_concurrency=2,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._actors: list[_Actor] = []
        self._failed_starts = 0
        self._told: set[str] = set()

    def work(self) -> None:
        """Keep all actors busy until nothing is left to do."""
        while self.run.todo or any(actor.shard for actor in self._actors):
            self._dispatch()
            if not any(actor.shard or not actor.ready for actor in self._actors):
                return
            calls = {call: actor for actor in self._actors for call in actor.calls}
            ended, _ = self.ray.wait(list(calls), num_returns=1, timeout=_TICK_S, fetch_local=True)
            for call in ended:
                self._take(calls[call], call)
            self._ask_for_news(full=not ended)

    def stop(self) -> None:
        """End all actors, whatever they are doing."""
        for actor in self._actors:
            self.ray.kill(actor.handle, no_restart=True)
        self._actors.clear()

    def _most_actors(self, config: GenerateConfig) -> int:
        have = self.ray.cluster_resources()
        most = have.get("CPU", 0) / self._threads
        if self._on_gpu:
            most = min(most, have.get("GPU", 0) / config.run.gpus_per_worker)
        if most < 1:
            wanted = f"{self._threads} CPUs" + (f" and {config.run.gpus_per_worker} GPUs" if self._on_gpu else "")
            raise UsageError(f"a worker needs {wanted} on one machine; the cluster has {have}.")
        return int(most) if config.run.workers == "auto" else config.run.workers

    def _dispatch(self) -> None:
        for actor in self._actors:
            if actor.ready and actor.shard is None and (shard := self.run.next_shard()) is not None:
                actor.shard, actor.heard = shard, time.monotonic()
                actor.calls[actor.handle.make.remote(shard)] = "make"
        idle = sum(actor.shard is None for actor in self._actors)
        while len(self._actors) < self._count and idle < len(self.run.todo):
            dataset = self.run.dataset
            handle = self._class.remote(dataset.config, dataset.digest, self._threads, os.getcwd())
            self._actors.append(_Actor(handle, {handle.describe.remote(): "describe"}))
            idle += 1

    def _take(self, actor: _Actor, call: Any) -> None:
        kind = actor.calls.pop(call, None)
        if kind is None:
            return
        try:
            result = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            self._raised(actor, error)
            return
        except self.ray.exceptions.RayActorError as error:
            gone = isinstance(error, self.ray.exceptions.ActorUnavailableError) or _NODE_DIED in str(error)
            self._bury(actor, " ".join(str(error).split()), machine_lost=gone)
            return
        if kind == "describe":
            actor.ready, self._failed_starts = True, 0
            self._compare(result)
        elif kind == "news":
            self._watch(actor, result)
        else:
            outcome, news = result
            self._watch(actor, news)
            shard, actor.shard = actor.shard, None
            assert shard is not None
            self.run.ended(shard, outcome)

    def _watch(self, actor: _Actor, news: list[Progress]) -> None:
        shard = actor.shard
        for progress in news if shard is not None else ():
            actor.heard = time.monotonic()
            assert shard is not None
            self.run.observer.progress(shard, progress)

    def _ask_for_news(self, *, full: bool) -> None:
        patience = self.run.dataset.config.run.stall_timeout
        for actor in list(self._actors):
            if actor.shard is None:
                continue
            if time.monotonic() - actor.heard > patience:
                self._bury(actor, STALLED)
            elif full and "news" not in actor.calls.values():
                actor.calls[actor.handle.news.remote()] = "news"

    def _raised(self, actor: _Actor, error: Any) -> None:
        if isinstance(error.cause, RawsynthError):
            raise error.cause
        self._bury(actor, f"a worker failed: {error}")

    def _bury(self, actor: _Actor, cause: str, *, machine_lost: bool = False) -> None:
        self._actors.remove(actor)
        self.ray.kill(actor.handle, no_restart=True)
        if actor.shard is not None and machine_lost:
            self.run.given_back(actor.shard, f"its machine was lost: {cause}")
        elif actor.shard is not None:
            self.run.crashed(actor.shard, cause)
        elif not actor.ready:
            self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise EngineError(f"{self._failed_starts} workers in a row could not begin; the last one: {cause}")

    def _compare(self, described: dict[str, str]) -> None:
        here = self.run.dataset.environment
        differing = {name: value for name, value in here.items() if described.get(name) != value}
        changed = ", ".join(f"{name} {described.get(name)} (planned with {v})" for name, v in differing.items())
        if changed and changed not in self._told:
            self._told.add(changed)
            self.run.observer.tell(f"a worker's machine differs: {changed}; bytes may differ between shards")


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Connect to Ray, and leave a connection as it was that the caller had made."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(f"no Ray cluster: {error}. RAY_ADDRESS={os.environ.get('RAY_ADDRESS', '')!r}") from error
    try:
        yield
    finally:
        ray.shutdown()
