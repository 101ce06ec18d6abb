"""One shard, from its inputs to its record. Start reading here.

::

    read -> decode, crop -> batch -> reverse ISP, noise, DN -> encode -> write -> record
            (threads)                (threads, or one GPU)               (this thread)

Every arrow keeps the order of the inputs, so timing decides nothing; every queue is bounded, so a shard's length does
not matter either. What each stage takes is counted (`stages`) and goes into the record's `run`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from rawsynth.pipeline import environment
from rawsynth.pipeline.batching import Batch, batch_views
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.flow import Pools, Prefetch, ordered_map
from rawsynth.pipeline.heap import keep_freed_memory
from rawsynth.pipeline.reader import read_shard
from rawsynth.pipeline.record import PartRecord, ShardRecord
from rawsynth.pipeline.shards import Shard
from rawsynth.pipeline.stages import MakerWaits, StageClock
from rawsynth.pipeline.synthesize import SynthesizedSample, Synthesizer, raw_choices, stored_members
from rawsynth.pipeline.views import ViewMaker
from rawsynth.pipeline.writer import ShardWriter
from rawsynth.raw import codecs
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.rendering import render


@dataclass(frozen=True)
class Progress:
    """What one batch added, for whoever watches; ``errors``: ``{key, stage, cause}`` of each image that was lost."""

    sources: int
    samples: int
    lost: int
    skipped: int
    bytes_written: int
    errors: tuple[Mapping[str, str], ...] = ()


Watch = Callable[[Progress], None]


def run_shard(
    shard: Shard,
    config: GenerateConfig,
    synthesizer: Synthesizer,
    *,
    digest: str,
    threads: int,
    watch: Watch = lambda progress: None,
    pools: Pools | None = None,
) -> ShardRecord:
    """Make one shard of a corpus and its record.

    Args:
        shard: what to read.
        config: what to do; its ``output`` is the corpus.
        synthesizer: made once from the same configuration, used for all shards.
        digest: of the corpus, for the record.
        threads: how many decode, and on a CPU how many synthesise, unless ``pools`` brings its own.
        watch: called after each batch.
        pools: threads to work with, from :func:`make_pools`, where there are many shards; else the shard has its own.

    Raises:
        InputAccessError: an input cannot be reached; nothing is recorded, and the next run tries again.
        OutputError: the output cannot be written.
        UsageError: a batch does not fit the device's memory.
    """
    started = time.time()
    tally, clock = Tally(), StageClock()
    waits = MakerWaits(clock)

    def make(batch: Batch) -> tuple[Batch, list[EncodedSample]]:
        with waits.working(batch.ready):
            samples = synthesizer(batch.views, clock) if batch.views else []
            with clock.measure("encode"):
                return batch, [encode_sample(sample, config.write.srgb) for sample in samples]

    with (
        ShardWriter(config.output, shard.name, config.write.part_size, config.read.splits) as writer,
        nullcontext(pools) if pools else make_pools(synthesizer, threads) as work,
        Prefetch(read_batches(shard, config, work, clock), depth=1) as batches,
    ):
        for batch, samples in ordered_map(work.makers, make, batches, window=work.making + 1):
            with clock.measure("write"):
                written = sum(writer.write(s.key, s.members, s.split) for s in samples)
            watch(tally.add(batch, len(samples), written))
        with clock.measure("write"):
            parts = writer.finish()
    seconds = round(time.time() - started, 3)
    run = {"host": platform.node(), "started": started, "seconds": seconds, "stages": clock.seconds()}
    record = tally.record(shard, config, digest=digest, parts=parts, run=run)
    record.save(config.output)
    return record


def make_pools(synthesizer: Synthesizer, threads: int) -> Pools:
    """Make the threads for shards: so many that decode, and on a CPU as many that synthesise."""
    keep_freed_memory()
    # One GPU works through one batch after the other; cores take a batch each.
    return Pools(threads, threads if synthesizer.device.type == "cpu" else 1)


def read_batches(shard: Shard, config: GenerateConfig, pools: Pools, clock: StageClock) -> Iterator[Batch]:
    """Read, decode and batch a shard's images."""
    make_views = ViewMaker(config.seed, config.read, config.image, clock, raw_choices(config))
    sources = clock.measure_items("read", read_shard(shard, config.read.keep, image_column=config.read.image_column))
    views = ordered_map(pools.decoders, make_views, sources, window=pools.decoding + 2)
    return batch_views(views, config.compute.budget())


@dataclass(frozen=True)
class EncodedSample:
    """One sample's members, as they go into the archive."""

    key: str
    split: str | None
    members: codecs.Members


def encode_sample(sample: SynthesizedSample, with_srgb: bool) -> EncodedSample:
    """Encode a sample's members; what was kept from the source never replaces one of them."""
    members = {name: codecs.encode_npy(dn) for name, dn in sample.arrays.items()}
    members["json"] = codecs.encode_json(sample.metadata)
    if with_srgb:
        members["srgb.jpg"] = codecs.encode_jpeg(_shown(sample))
    kept = {f"source.{ext}" if ext in members else ext: data for ext, data in sample.view.kept.items()}
    return EncodedSample(sample.view.key, sample.view.split, {**kept, **members})


def _shown(sample: SynthesizedSample) -> NDArray[Any]:
    """Return the source as sRGB: the picture, or camera RAW rendered."""
    if sample.view.raw is None:
        return sample.view.image
    return render(RawImage(torch.from_numpy(sample.view.image), RawMetadata.from_json(sample.view.raw))).numpy()


class Tally:
    """Running counts of a shard."""

    def __init__(self) -> None:
        self.sources = self.samples = 0
        self.errors: list[dict[str, str]] = []
        self.skips: list[dict[str, str]] = []

    def add(self, batch: Batch, samples: int, bytes_written: int) -> Progress:
        """Add a batch and return what it added."""
        self.sources += batch.sources
        self.samples += samples
        errors = [{"key": e.key, "stage": e.stage, "cause": e.cause} for e in batch.lost]
        self.errors += errors
        self.skips += [{"key": s.key, "reason": s.reason} for s in batch.skipped]
        return Progress(batch.sources, samples, len(batch.lost), len(batch.skipped), bytes_written, tuple(errors))

    def record(
        self, shard: Shard, config: GenerateConfig, *, digest: str, parts: list[PartRecord], run: dict[str, Any]
    ) -> ShardRecord:
        """Return the record of the finished shard."""
        return ShardRecord(
            shard=shard.name,
            config_digest=digest,
            inputs=[[shard.url(f), f.size] for f in shard.files],
            members=stored_members(config),
            parts=parts,
            sources=self.sources,
            samples=self.samples,
            skipped=len(self.skips),
            lost=len(self.errors),
            errors=self.errors,
            skips=self.skips,
            environment=environment.describe(config.compute.device),
            run=run,
        )
