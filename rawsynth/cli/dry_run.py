"""What a run would write, how much and how long it would take, from a few of its own images."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rawsynth.counting import counted
from rawsynth.pipeline.batching import Batch, batch_views
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.dataset import open_dataset
from rawsynth.pipeline.reader import count_samples, read_shard
from rawsynth.pipeline.run import encode_sample
from rawsynth.pipeline.shards import Shard
from rawsynth.pipeline.source_sample import SourceSample
from rawsynth.pipeline.stages import StageClock
from rawsynth.pipeline.synthesize import Synthesizer, make_noise, make_transforms, raw_choices
from rawsynth.pipeline.views import ViewMaker

_PROBE_IMAGES = 8
_EXACT_COUNT_SHARDS = 3


@dataclass
class Probe:
    """What a few images cost."""

    images: int = 0
    samples: int = 0
    lost: int = 0
    bytes: int = 0
    seconds: float = 0.0


def report(config: GenerateConfig) -> int:
    """Print the plan and estimates; write nothing."""
    make_transforms(config)
    run = config.run.model_copy(update={"overwrite": False, "extend": False})
    dataset = open_dataset(config.model_copy(update={"run": run}), lambda message: print(f"note: {message}"))
    shards = dataset.shards
    compute = dataset.config.compute
    # Eight images do not repay compiling; a compiled run will be faster than what is measured here.
    eager = dataset.config.model_copy(update={"compute": compute.model_copy(update={"compile": "off"})})
    images, exact = count_images(shards)
    probe = run_probe(shards[0], eager, Synthesizer(eager))
    about = "" if exact else "about "
    size = sum(shard.size for shard in shards)
    inputs = f"{counted(len(shards), 'shard')}, {about}{counted(images, 'image')}"
    print(f"input   {config.input}: {inputs}, {size / 1e6:.1f} MB")
    print(f"method  {config.method.method}; {compute.device}, compile {compute.compile}")
    print(f"noise   {make_noise(dataset.config).extra_repr()}")
    if not probe.samples:
        print(f"output  unknown: none of the images tried gives a sample ({probe.lost} of them unreadable)")
        return 0
    scale = images / probe.images
    print(
        f"output  {config.output}: about {counted(round(probe.samples * scale), 'sample')}, "
        f"{probe.bytes * scale / 1e6:.1f} MB, {probe.bytes // probe.samples} bytes a sample"
    )
    slower = ", measured without compiling" if compute.compile == "on" else ""
    probed = "1 image" if probe.images == 1 else f"{probe.images} images one after the other"
    print(f"time    about {_duration(probe.seconds * scale)}, from {probed}{slower}")
    print("nothing was written (--dry-run)")
    return 0


def count_images(shards: tuple[Shard, ...]) -> tuple[int, bool]:
    """Count source images: exactly for files, from the first tars or tables scaled by bytes for the others."""
    files = sum(len(shard.files) for shard in shards if shard.kind == "images")
    tars = [shard for shard in shards if shard.kind != "images"]
    limited = sum(shard.limit for shard in tars if shard.limit is not None)
    unknown = [shard for shard in tars if shard.limit is None]
    opened = unknown[:_EXACT_COUNT_SHARDS]
    counted = sum(count_samples(shard, -1) for shard in opened)
    size, total = sum(s.size for s in opened), sum(s.size for s in unknown)
    return files + limited + (round(counted * total / size) if size else counted), len(unknown) <= len(opened)


def run_probe(shard: Shard, config: GenerateConfig, synthesizer: Synthesizer) -> Probe:
    """Take the shard's first images through all stages but writing."""
    probe, started = Probe(), time.perf_counter()
    make_views = ViewMaker(config.seed, config.read, config.image, StageClock(), raw_choices(config))
    results = []
    for source in read_shard(shard, config.read.keep, image_column=config.read.image_column):
        results.append(make_views(source))
        probe.images += isinstance(source, SourceSample)
        if probe.images >= _PROBE_IMAGES:
            break
    for batch in batch_views(results, config.compute.budget()):
        _add_batch(probe, batch, config, synthesizer)
    probe.seconds = time.perf_counter() - started
    return probe


def _add_batch(probe: Probe, batch: Batch, config: GenerateConfig, synthesizer: Synthesizer) -> None:
    probe.lost += len(batch.lost)
    for sample in synthesizer(batch.views) if batch.views else []:
        probe.samples += 1
        probe.bytes += sum(len(data) for data in encode_sample(sample, config.write.srgb).members.values())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
