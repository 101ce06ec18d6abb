"""What a run says while it works: how far it has come, lines of JSON, or nothing but the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence

from rawsynth.cli.printable import printable
from rawsynth.corpus.causes import kind_of
from rawsynth.engine.observer import Observer
from rawsynth.engine.ranks import current_rank
from rawsynth.engine.summary import Summary
from rawsynth.meter import Meter, say
from rawsynth.pipeline.config import RunConfig
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.pipeline.run import Progress
from rawsynth.pipeline.shards import Shard

_NAMED_KINDS = 10


def make_observer(run: RunConfig) -> Observer:
    """Choose how to report: ``--json-log`` wins over ``--quiet``."""
    if run.json_log:
        return JsonLog()
    return Messages() if run.quiet else Bar()


class Messages(Observer):
    """Print messages and failures, no progress."""

    def tell(self, message: str) -> None:
        """Print to standard error."""
        say(f"rawsynth: {printable(message)}")

    def shard_failed(self, shard: Shard, failure: ShardFailure) -> None:
        """Say that a shard must be tried again."""
        self.tell(f"shard {shard.name} failed, the next run tries again: {failure.cause}")

    def shard_retried(self, shard: Shard, cause: str) -> None:
        """Say that a shard is begun anew."""
        self.tell(f"shard {shard.name} is begun anew: {cause}")


class Bar(Messages):
    """Progress by source images where their number is known, else by input bytes; rates, losses and time left."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._counts = {"images": 0, "lost": 0, "left out": 0, "bytes": 0}
        self._named: set[str] = set()
        self._started = time.perf_counter()

    def start(self, dataset: Dataset, todo: Sequence[Shard]) -> None:
        """Open the meter."""
        if not todo:
            return
        countable = all(shard.kind == "images" for shard in todo)
        total = sum(len(shard.files) if countable else shard.size for shard in todo)
        self._by_bytes = not countable
        rank = current_rank()
        name = f"rawsynth generate, rank {rank.number}" if rank.several else "rawsynth generate"
        self._meter = Meter("B" if self._by_bytes else "image", total or None, name=name)

    def progress(self, shard: Shard, progress: Progress) -> None:
        """Move the meter."""
        assert self._meter is not None
        counts, elapsed = self._counts, time.perf_counter() - self._started
        self._name_losses(progress.errors)
        counts["images"] += progress.sources
        counts["lost"] += progress.lost
        counts["left out"] += progress.skipped
        counts["bytes"] += progress.bytes_written
        rates = {"img/s": f"{counts['images'] / elapsed:.1f}", "MB/s": f"{counts['bytes'] / 1e6 / elapsed:.0f}"}
        images = {"images": counts["images"]} if self._by_bytes else {}
        self._meter.note(**images, **rates, **{name: counts[name] for name in ("lost", "left out")})
        if not self._by_bytes:
            self._meter.advance(progress.sources)

    def _name_losses(self, errors: Sequence[Mapping[str, str]]) -> None:
        """Say of the first image that is lost for a cause which; the end says how many there were."""
        for error in errors:
            kind = kind_of(error["cause"])
            if kind not in self._named and len(self._named) < _NAMED_KINDS:
                self._named.add(kind)
                self.tell(f"lost {error['key']}: {error['cause']}")

    def shard_done(self, shard: Shard, record: ShardRecord) -> None:
        """Account for the shard's bytes."""
        if self._meter is not None and self._by_bytes:
            self._meter.advance(shard.size)

    def close(self) -> None:
        """Leave the meter as it stands."""
        if self._meter is not None:
            self._meter.close()


class JsonLog(Observer):
    """One JSON object a line on standard error."""

    def _log(self, event: str, **fields: object) -> None:
        print(json.dumps({"time": round(time.time(), 3), "event": event, **fields}), file=sys.stderr, flush=True)

    def tell(self, message: str) -> None:
        """Log a message."""
        self._log("message", text=message)

    def start(self, dataset: Dataset, todo: Sequence[Shard]) -> None:
        """Log the size of the work."""
        self._log("start", output=dataset.config.output, shards=len(dataset.shards), todo=len(todo))

    def shard_started(self, shard: Shard) -> None:
        """Log a shard's beginning."""
        self._log("shard_started", shard=shard.name, files=len(shard.files), bytes=shard.size)

    def progress(self, shard: Shard, progress: Progress) -> None:
        """Log a batch, and each image that was lost."""
        counts = {"sources": progress.sources, "samples": progress.samples, "lost": progress.lost}
        counts |= {"left_out": progress.skipped, "bytes": progress.bytes_written}
        for error in progress.errors:
            self._log("lost", shard=shard.name, **error)
        self._log("progress", shard=shard.name, **counts)

    def shard_done(self, shard: Shard, record: ShardRecord) -> None:
        """Log a shard's counts and losses."""
        counts = {"sources": record.sources, "samples": record.samples, "lost": record.lost, "left_out": record.skipped}
        self._log("shard_done", shard=shard.name, seconds=record.run["seconds"], **counts, errors=record.errors)

    def shard_failed(self, shard: Shard, failure: ShardFailure) -> None:
        """Log a failure."""
        self._log("shard_failed", shard=shard.name, kind=failure.kind, cause=failure.cause)

    def shard_retried(self, shard: Shard, cause: str) -> None:
        """Log that a shard is begun anew."""
        self._log("shard_retried", shard=shard.name, cause=cause)

    def end(self, summary: Summary) -> None:
        """Log what came of it."""
        self._log("summary", **summary.to_json())
