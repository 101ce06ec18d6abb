"""One shard as a task: what every engine runs, wherever it runs."""

from __future__ import annotations

import platform
import time
from types import TracebackType
from typing import Self

from rawsynth import storage
from rawsynth.engine.resources import torch_threads
from rawsynth.errors import InputAccessError
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.record import ShardFailure, ShardRecord, failure_url, record_url
from rawsynth.pipeline.run import Watch, make_pools, run_shard
from rawsynth.pipeline.shards import Shard
from rawsynth.pipeline.synthesize import Synthesizer

Outcome = ShardRecord | ShardFailure


class ShardTask:
    """Makes shards of one corpus, one after the other, with what is built once.

    A context manager: leaving it ends its threads.
    """

    def __init__(self, config: GenerateConfig, digest: str, threads: int) -> None:
        self.config, self.digest, self.threads = config, digest, threads
        self._synthesizer = Synthesizer(config)
        self._pools = make_pools(self._synthesizer, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pools.__exit__(kind, error, trace)

    def __call__(self, shard: Shard, watch: Watch = lambda progress: None) -> Outcome:
        """Make one shard; a fault of access becomes a failure, which is kept beside the records.

        Raises:
            OutputError: the output cannot be written.
        """
        # Its parts are about to be replaced: until the new record stands, the shard is not done.
        storage.remove(record_url(self.config.output, shard.name))
        # Compiled kernels hold the interpreter's lock, so each takes all cores for the shortest time. Splitting each of
        # a hundred small eager operations over cores that are decoding costs more than it gains.
        splitting = self.threads if self.config.compute.compile == "on" else 1
        try:
            with torch_threads(splitting):
                record = run_shard(
                    shard, self.config, self._synthesizer,
                    digest=self.digest, threads=self.threads, watch=watch, pools=self._pools,
                )  # fmt: skip
        except InputAccessError as error:
            return failed(shard, self.config, self.digest, kind="access", cause=str(error))
        storage.remove(failure_url(self.config.output, shard.name))
        return record


def failed(
    shard: Shard, config: GenerateConfig, digest: str, *, kind: str, cause: str, attempts: int = 1
) -> ShardFailure:
    """Keep why a shard could not be made, for whoever asks how the corpus stands, and return it."""
    run = {"host": platform.node(), "time": round(time.time(), 3)}
    failure = ShardFailure(shard.name, digest, kind, cause, attempts, run)
    failure.save(config.output)
    return failure
