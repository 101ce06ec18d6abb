"""Shards on the processes of this machine: each has its own, one that ends is replaced, its shard is tried again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from rawsynth.engine.corpus_run import STALLED, CorpusRun
from rawsynth.engine.resources import threads_of_each, visible_gpus
from rawsynth.engine.worker import Broken, Fatal, Message, Ready, serve
from rawsynth.errors import EngineError
from rawsynth.pipeline.run import Progress
from rawsynth.pipeline.shards import Shard

_TICK_S = 1.0
_GRACE_S = 2.0
_START_S = 600.0
# So many processes in a row that end before they are ready: it is not the shards.
_MOST_FAILED_STARTS = 3


def run_on_workers(run: CorpusRun, count: int) -> None:
    """Make a run's shards on ``count`` processes.

    Raises:
        OutputError, UsageError: from a worker; the others are stopped.
        EngineError: workers cannot be started.
    """
    pool = _Pool(run, count)
    try:
        pool.work()
    finally:
        pool.stop()


@dataclass
class _Worker:
    """One process, from the parent's side."""

    slot: int
    process: SpawnProcess
    channel: Connection[Any, Any]
    heard: float
    ready: bool = False
    shard: Shard | None = None
    trace: str = ""
    stalled: bool = False


@dataclass
class _Pool:
    """The processes of a run."""

    run: CorpusRun
    count: int
    _workers: list[_Worker] = field(default_factory=list)
    _failed_starts: int = 0
    _warm: bool = False

    def work(self) -> None:
        """Keep all workers busy until nothing is left to do."""
        while True:
            self._dispatch()
            if not any(worker.shard for worker in self._workers):
                return
            ends = {worker.process.sentinel: worker for worker in self._workers}
            channels = {worker.channel: worker for worker in self._workers}
            for news in wait([*channels, *ends], timeout=_TICK_S):
                worker = channels.get(news) or ends[news]  # type: ignore[call-overload, index]
                if worker in self._workers:
                    self._listen(worker)
            self._end_stalled()

    def stop(self) -> None:
        """End all processes: those that wait at once, those that work without waiting for their shard."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.channel.close()
        self._workers.clear()

    def _dispatch(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.shard is None:
                self._give(worker)
        # Every process compiles for itself, but all find what the first one has left in the cache.
        most = self.count if self._warm or self.run.dataset.config.compute.compile == "off" else 1
        while len(self._workers) < most and (shard := self.run.next_shard()) is not None:
            slots = {worker.slot for worker in self._workers}
            worker = self._start(next(slot for slot in range(self.count) if slot not in slots))
            _send(worker, shard)

    def _give(self, worker: _Worker) -> None:
        if (shard := self.run.next_shard()) is not None:
            _send(worker, shard)

    def _start(self, slot: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        dataset = self.run.dataset
        threads = threads_of_each(dataset.config, self.count)
        process = context.Process(
            target=serve, args=(theirs, dataset.config, dataset.digest, threads), name=f"rawsynth-worker-{slot}"
        )
        with _environment(_gpus_of(slot, dataset.config.compute.device, self.count)), _without_interrupts():
            process.start()
        theirs.close()
        worker = _Worker(slot, process, ours, time.monotonic())
        self._workers.append(worker)
        return worker

    def _listen(self, worker: _Worker) -> None:
        while (message := _received(worker)) is not None:
            worker.heard = time.monotonic()
            self._take(worker, message)
        if not worker.process.is_alive():
            self._bury(worker)

    def _take(self, worker: _Worker, message: Message) -> None:
        if isinstance(message, Fatal):
            raise message.error
        if isinstance(message, Ready):
            worker.ready, self._failed_starts = True, 0
        elif isinstance(message, Broken):
            worker.trace = message.trace
        elif isinstance(message, Progress):
            self._warm = True
            assert worker.shard is not None
            self.run.observer.progress(worker.shard, message)
        else:
            shard, worker.shard = worker.shard, None
            self._warm = True
            assert shard is not None
            self.run.ended(shard, message)
            self._give(worker)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.channel.close()
        shard, cause = worker.shard, _cause(worker)
        if worker.ready:
            if shard is not None:
                self.run.crashed(shard, cause)
            return
        self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise EngineError(
                f"{self._failed_starts} workers in a row ended before they could begin; the last one: {cause}. Try "
                "--workers 1; from a script of your own, call generate under `if __name__ == '__main__':`."
            )
        if shard is not None:
            self.run.given_back(shard, cause)

    def _end_stalled(self) -> None:
        patience = self.run.dataset.config.run.stall_timeout
        for worker in self._workers:
            limit = patience if worker.ready else max(patience, _START_S)
            if worker.shard is not None and time.monotonic() - worker.heard > limit and not worker.stalled:
                worker.stalled = True
                worker.process.kill()


def _send(worker: _Worker, shard: Shard) -> None:
    worker.shard, worker.heard = shard, time.monotonic()
    try:
        worker.channel.send(shard)
    except OSError:
        # It has just ended; its sentinel says so next.
        pass


def _received(worker: _Worker) -> Message | None:
    """Return the next message, ``None`` if there is none now or ever."""
    try:
        return worker.channel.recv() if worker.channel.poll() else None
    except (EOFError, OSError):
        worker.process.join(_GRACE_S)
        return None


def _cause(worker: _Worker) -> str:
    if worker.stalled:
        return STALLED
    if worker.trace:
        return f"a worker failed: {worker.trace.strip()}"
    code = worker.process.exitcode
    if code is not None and code < 0:
        hint = "; was memory short?" if -code == signal.SIGKILL else ""
        return f"a worker was ended by {signal.Signals(-code).name}{hint}"
    return f"a worker ended with exit code {code}"


def _gpus_of(slot: int, device: str, count: int) -> dict[str, str]:
    """Say which GPU a worker sees: one each, several on one where there are more workers than GPUs."""
    gpus = visible_gpus() if device == "cuda" else []
    return {"CUDA_VISIBLE_DEVICES": gpus[slot * len(gpus) // max(count, len(gpus))]} if gpus else {}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start a process that ignores Ctrl-C from its first moment: what is ignored is inherited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
