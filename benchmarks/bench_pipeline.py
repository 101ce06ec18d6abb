"""The whole pipeline against a null pipeline: what synthesis costs beside decoding and writing.

    python benchmarks/bench_pipeline.py
    python benchmarks/bench_pipeline.py --processes 2     # one thread each, as `generate --workers 2` has them

Input: 504x504 JPEG tiles of the real photographs that scikit-image ships. The null pipeline is the same code with the
synthesis replaced by ready arrays of the same size: it decodes, encodes, checksums and writes, no transform. Runs
alternate in one process; the table gives medians. Peak memory is that of fresh processes, for 100 and 1,000 images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from skimage import data

from rawsynth.engine.resources import available_cores, torch_threads
from rawsynth.pipeline.config import GenerateConfig, build_config
from rawsynth.pipeline.dataset import open_dataset
from rawsynth.pipeline.run import run_shard
from rawsynth.pipeline.synthesize import SynthesizedSample, Synthesizer
from rawsynth.pipeline.views import View, ViewMaker

SIDE = 504


def make_tiles(folder: Path, count: int) -> None:
    """Write ``count`` JPEG tiles, cut at seeded places from real photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    photographs = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    large = [p.resize((p.width * 1200 // min(p.size), p.height * 1200 // min(p.size))) for p in photographs]
    for index in range(count):
        photo = large[index % len(large)]
        x, y = (int(rng.integers(extent - SIDE + 1)) for extent in photo.size)
        photo.crop((x, y, x + SIDE, y + SIDE)).save(folder / f"{index:05d}.jpg", quality=90)


class NullSynthesizer:
    """Hands out arrays of the right size without computing anything."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        planes = np.random.default_rng(0).integers(0, 16384, (4, SIDE // 2, SIDE // 2), dtype=np.uint16)
        self.arrays = {"clean.npy": planes, "noisy.npy": planes}

    def __call__(self, views: Sequence[View], clock: object = None) -> list[SynthesizedSample]:
        return [SynthesizedSample(view, self.arrays, {"key": view.key}) for view in views]


def configure(root: Path, images: Path, compiled: bool) -> GenerateConfig:
    """The measured configuration: unprocess and heteroscedastic noise, full 504x504 images."""
    return build_config(
        {
            "input": str(images),
            "output": str(root),
            "image": {"crop": SIDE},
            "method": {"method": "unprocess"},
            "noise": {"noise": "heteroscedastic_gaussian"},
            "compute": {"device": "cpu", "compile": "on" if compiled else "off", "batch_pixels": 2_000_000},
        }
    )


def seconds_a_shard(config: GenerateConfig, synthesizer: object, cores: int | None = None) -> float:
    """Make the corpus's one shard and return the time it takes; on all cores if none are stated."""
    shutil.rmtree(config.output, ignore_errors=True)
    shard = open_dataset(config, print).shards[0]
    cores = cores or available_cores()
    started = time.perf_counter()
    with torch_threads(cores if config.compute.compile == "on" else 1):
        run_shard(shard, config, synthesizer, digest="", threads=cores)  # type: ignore[arg-type]
    return time.perf_counter() - started


def stage_costs(config: GenerateConfig, synthesizer: Synthesizer) -> dict[str, float]:
    """Single-threaded milliseconds an image, stage by stage."""
    from rawsynth.pipeline.reader import SourceSample, read_shard
    from rawsynth.pipeline.run import encode_sample
    from rawsynth.pipeline.writer import ShardWriter

    shutil.rmtree(config.output, ignore_errors=True)
    shard = open_dataset(config, print).shards[0]
    sources = [s for s in read_shard(shard, ()) if isinstance(s, SourceSample)][:64]
    maker = ViewMaker(config.seed, config.read, config.image)
    views: list[View] = []
    costs = {"read + decode": _time(lambda: views.extend(v for s in sources for v in cast(list[View], maker(s))))}
    samples: list[SynthesizedSample] = []
    batches = [views[i : i + 7] for i in range(0, len(views), 7)]
    synthesizer(batches[0])
    costs["unprocess + noise + DN"] = _time(lambda: samples.extend(s for b in batches for s in synthesizer(b)))
    encoded = []
    costs["encode npy and json"] = _time(lambda: encoded.extend(encode_sample(s, False) for s in samples))
    with ShardWriter(config.output, "stage-costs", 10**12) as writer:
        costs["sha256 + tar + write"] = _time(lambda: [writer.write(e.key, e.members) for e in encoded])
    return {name: 1000 * value / len(sources) for name, value in costs.items()}


def _time(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


# VmHWM, because getrusage() starts from what the parent process had.
_CHILD = """
import re, sys
from rawsynth import AddNoise, ReverseISP, cli
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
idle = peak()
assert cli.main(sys.argv[1:]) == 0
print(idle, peak())
"""


def peak_memory(root: Path, images: int, compiled: str) -> tuple[float, float]:
    """Resident MB of a fresh ``rawsynth generate`` of so many images in one shard: after importing, and at its peak."""
    make_tiles(root / f"in-{images}", images)
    output = root / f"out-{images}-{compiled}"
    options = ["--crop", str(SIDE), "--noise", "heteroscedastic_gaussian", "--compile", compiled, "--quiet"]
    command = [sys.executable, "-c", _CHILD, "generate", str(root / f"in-{images}"), str(output), *options]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    shutil.rmtree(output)
    return float(out[-2]), float(out[-1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, help="share the cores; each makes a shard of --images")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="rawsynth-bench-"))
    try:
        if args.processes > 1:
            measure_processes(root, args.images, args.rounds, args.processes)
            return
        measure_speed(root, args.images, args.rounds)
        print("\nresident memory of a fresh process, MB")
        for count in (100, 1000):
            for compiled in ("off", "on"):
                idle, peak = peak_memory(root, count, compiled)
                print(f"  {count:5} images, compile {compiled:3}: {peak:6.0f} at the peak, {idle:.0f} after importing")
    finally:
        shutil.rmtree(root)


def variants(root: Path, images: Path) -> dict[str, tuple[GenerateConfig, object]]:
    """Return what is compared: configuration and synthesizer by name."""
    eager, compiled = (configure(root / name, images / "in", name == "compiled") for name in ("eager", "compiled"))
    null = configure(root / "null", images / "in", False)
    return {"null": (null, NullSynthesizer()), "eager": (eager, Synthesizer(eager)),
            "compiled": (compiled, Synthesizer(compiled))}  # fmt: skip


def print_ratios(times: dict[str, list[float]], images: int) -> None:
    """Print the rate of each variant and its share of null's, round by round."""
    for name, values in times.items():
        ratios = sorted(n / t for n, t in zip(times["null"], values, strict=True))
        spread = f"({ratios[0]:.2f}-{ratios[-1]:.2f})"
        rate = images / statistics.median(values)
        print(f"{name:10} {rate:7.1f} images/s   {statistics.median(ratios):.2f} of null {spread}")


def measure_processes(root: Path, images: int, rounds: int, processes: int) -> None:
    """Print rates and ratios of processes of one thread that work side by side; a round takes as long as the last."""
    make_tiles(root / "in", images)
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(processes), context.SimpleQueue()
    workers = [context.Process(target=_work, args=(root, k, rounds, barrier, queue)) for k in range(processes)]
    for worker in workers:
        worker.start()
    each: list[dict[str, list[float]]] = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    times = {name: [max(rounds) for rounds in zip(*(one[name] for one in each), strict=True)] for name in each[0]}
    print(f"torch {torch.__version__}, {processes} processes of one thread, {images} JPEG tiles of {SIDE}x{SIDE} each, "
          f"{rounds} times")  # fmt: skip
    print_ratios(times, processes * images)


def _work(root: Path, number: int, rounds: int, barrier: Any, queue: Any) -> None:
    torch.set_num_threads(1)
    runs = variants(root / str(number), root)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + 1):
        for name, (config, synthesizer) in runs.items():
            barrier.wait()
            seconds = seconds_a_shard(config, synthesizer, cores=1)
            # The first round compiles and warms up.
            times[name] += [seconds] * (round_number > 0)
    queue.put(times)


def measure_speed(root: Path, images: int, rounds: int) -> None:
    """Print rates, ratios, the single stages and memory."""
    make_tiles(root / "in", images)
    runs = variants(root, root)
    for config, synthesizer in runs.values():
        seconds_a_shard(config, synthesizer)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (config, synthesizer) in runs.items():
            times[name].append(seconds_a_shard(config, synthesizer))
    print(f"torch {torch.__version__}, {available_cores()} cores, {images} JPEG tiles of {SIDE}x{SIDE}, {rounds} times")
    print_ratios(times, images)
    compiled = runs["compiled"][0]
    print("\none core, ms an image, compiled")
    with torch_threads(1):
        single = Synthesizer(compiled)
        for stage, cost in stage_costs(compiled, single).items():
            print(f"  {stage:24} {cost:6.2f}")


if __name__ == "__main__":
    main()
