"""What a run says while it works: a progress bar, lines of JSON, or nothing but the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from rawsynth.cli.printable import printable
from rawsynth.engine.observer import Observer
from rawsynth.engine.summary import Summary
from rawsynth.pipeline.config import RunConfig
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.inputs import Shard
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.pipeline.run import Progress

_NAMED_LOSSES = 5


def make_observer(run: RunConfig) -> Observer:
    """Choose how to report: ``--json-log`` wins over ``--quiet``."""
    if run.json_log:
        return JsonLog()
    return Messages() if run.quiet else Bar()


class Messages(Observer):
    """Print messages and failures, no bar."""

    def tell(self, message: str) -> None:
        """Print to standard error."""
        tqdm.write(f"rawsynth: {printable(message)}", file=sys.stderr)

    def shard_failed(self, shard: Shard, failure: ShardFailure) -> None:
        """Say that a shard must be tried again."""
        self.tell(f"shard {shard.name} failed, the next run tries again: {failure.cause}")

    def shard_retried(self, shard: Shard, cause: str) -> None:
        """Say that a shard is begun anew."""
        self.tell(f"shard {shard.name} is begun anew: {cause}")


class Bar(Messages):
    """Progress by source images where their number is known, else by input bytes; rates, losses and time left."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._counts = {"images": 0, "lost": 0, "left out": 0, "bytes": 0}
        self._named = 0
        self._started = time.perf_counter()

    def start(self, dataset: Dataset, todo: Sequence[Shard]) -> None:
        """Open the bar."""
        if not todo:
            return
        countable = all(shard.kind == "images" for shard in todo)
        total = sum(len(shard.files) if countable else shard.size for shard in todo)
        self._by_bytes = not countable
        self._bar = tqdm(
            total=total or None,
            unit="B" if self._by_bytes else "img",
            unit_scale=self._by_bytes,
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
        )

    def progress(self, shard: Shard, progress: Progress) -> None:
        """Move the bar."""
        assert self._bar is not None
        counts, elapsed = self._counts, time.perf_counter() - self._started
        self._name_losses(progress.errors)
        counts["images"] += progress.sources
        counts["lost"] += progress.lost
        counts["left out"] += progress.skipped
        counts["bytes"] += progress.bytes_written
        rates = {"img/s": f"{counts['images'] / elapsed:.1f}", "MB/s": f"{counts['bytes'] / 1e6 / elapsed:.0f}"}
        self._bar.set_postfix({**rates, "lost": counts["lost"], "left out": counts["left out"]}, refresh=False)
        if not self._by_bytes:
            self._bar.update(progress.sources)

    def _name_losses(self, errors: Sequence[Mapping[str, str]]) -> None:
        """Say of the first lost images why, so that nobody has to open a record for it."""
        shown = max(0, _NAMED_LOSSES - self._named)
        for error in errors[:shown]:
            self.tell(f"lost {error['key']}: {error['cause']}")
        self._named += len(errors)
        if shown and self._named > _NAMED_LOSSES:
            self.tell("further losses are in the records and in --json-log")

    def shard_done(self, shard: Shard, record: ShardRecord) -> None:
        """Account for the shard's bytes."""
        if self._bar is not None and self._by_bytes:
            self._bar.update(shard.size)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


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
        counts = {name: value for name, value in vars(progress).items() if name != "errors"}
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


def summarize(summary: Summary) -> str:
    """Say in words what came of a run."""
    if summary.planned_only:
        return f"{summary.output}: {summary.done} of {summary.shards} planned shards are done; nothing was made"
    lines = [
        f"{summary.output}: {summary.samples} samples from {summary.sources} images in {summary.done} of "
        f"{summary.shards} shards, {summary.bytes / 1e6:.1f} MB"
    ]
    if summary.skipped_shards:
        lines.append(f"{summary.skipped_shards} shards were already done")
    if summary.left_out:
        lines.append(f"{summary.left_out} images left out by filters (see skips in records/)")
    if summary.lost:
        lines.append(f"{summary.lost} images lost (see errors in records/); --retry-errors takes them up again")
    if summary.failed:
        first, more = ", ".join(list(summary.failed)[:_NAMED_LOSSES]), len(summary.failed) - _NAMED_LOSSES
        others = f" and {more} more" if more > 0 else ""
        lines.append(f"{len(summary.failed)} shards failed; run the same command again: {first}{others}")
        name, why = next(iter(summary.failed.items()))
        lines.append(f"  {name}: {printable(why)}" + ("; `rawsynth status` has the others' causes" if more > 0 else ""))
    if not summary.samples and not summary.failed:
        lines.append("nothing was written: every image was lost or left out")
    return "\n".join(lines)
