"""Every noise model beside torch.randn and torch.poisson on the same tensor, and what its seeds by sample cost.

    python benchmarks/bench_noise.py
    python benchmarks/bench_noise.py --batch 16 --side 504 --device cuda --no-compile

A pixel is one site of the mosaic. All alternatives run in turn in one process, medians of the rounds; ratios are what
to trust. "memory" is an eager model's peak above what was held before, in tensors of the input's size, on Linux
without a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from measure import side_by_side
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise import NOISE_MODELS
from rawsynth.noise.poisson_gaussian import poisson_from_normal
from rawsynth.raw.sensor_noise import SensorNoise

Runs = dict[str, Callable[[], Tensor]]
# About a Sony ILCE-7SM2 at ISO 3200: 5200 electrons at white, Tukey-lambda read noise, rows.
SENSOR = SensorNoise(
    shot=(1.9e-4,) * 4, read=(6e-8,) * 4, tukey_scale=(1.5e-4,) * 4, tukey_lambda=-0.05, row_sigma=3e-5
)
RATES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def model_runs(clean: Tensor, compiled: bool) -> Runs:
    """Return a call a model on the same tensor."""
    words = seeding.seed_words(range(len(clean)), clean.device)
    runs: Runs = {}
    for name, model in NOISE_MODELS.items():
        if model.takes_frames:
            continue
        entry = model.create()
        params = entry.tensors([entry.draw(SENSOR, np.random.default_rng(0))] * len(clean), clean.device)
        runs[f"{name}, eager"] = lambda add=entry.add, p=params: add(clean, words, p)
        if compiled:
            add = torch.compile(entry.add, fullgraph=True)
            runs[f"{name}, compiled"] = lambda add=add, p=params: add(clean, words, p)
    return runs


def draw_counts(rate: Tensor, words: Tensor) -> Tensor:
    """Draw exact counts from seeds."""
    return poisson_from_normal(rate, seeding.normal_planes(words, rate.shape[-2], rate.shape[-1]))


def count_runs(rate: Tensor, compiled: Callable[[Tensor, Tensor], Tensor] | None) -> Runs:
    """Return torch.poisson and the package's exact counts, the standard normals that they start from included."""
    words = seeding.seed_words(range(len(rate)), rate.device)
    runs: Runs = {"torch.poisson": lambda: torch.poisson(rate), "eager": lambda: draw_counts(rate, words)}
    if compiled is not None:
        runs["compiled"] = lambda: compiled(rate, words)
    return runs


def seeding_runs(clean: Tensor, compiled: bool) -> Runs:
    """Return the draws with a seed a sample, and with one seed for the whole batch."""
    batch, _, height, width = clean.shape
    own, one = (seeding.seed_words(range(n), clean.device) for n in (batch, 1))
    kinds = {"eager": seeding.normal_planes}
    if compiled:
        kinds["compiled"] = torch.compile(seeding.normal_planes, fullgraph=True)
    runs: Runs = {}
    for name, draw in kinds.items():
        runs[f"one seed a batch, {name}"] = lambda draw=draw: draw(one, batch * height, width)
        runs[f"one seed a sample, {name}"] = lambda draw=draw: draw(own, height, width)
    return runs


def peak_tensors(name: str, batch: int, side: int) -> float:
    """Run an eager model once, in a process of its own, and return its peak resident memory in input tensors."""
    clean = photograph(batch, side)
    run = model_runs(clean, compiled=False)[name]
    # Forgets the peak so far, that of the imports.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    with torch.no_grad():
        run()
    return (_status("VmHWM") - before) / (clean.numel() * clean.element_size())


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def photograph(batch: int, side: int) -> Tensor:
    """Clean light, most of it near black as a photograph's is."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 4, side // 2, side // 2, generator=generator).pow_(2.2)


def print_models(runs: Mapping[str, Callable[[], Tensor]], clean: Tensor, rounds: int) -> None:
    """Print Mpixel/s, the ratios and the peak memory of eager models, a row an alternative."""
    seconds = side_by_side(runs, rounds)
    batch, side = len(clean), 2 * clean.shape[-1]
    # So that a freed tensor leaves the resident set at once.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 20)
    print("| | Mpixel/s | of torch.randn | of torch.poisson | memory, tensors |\n| --- | --- | --- | --- | --- |")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, value in seconds.items():
            eager = name.endswith("eager") and clean.device.type == "cpu" and sys.platform == "linux"
            memory = f"{pool.apply(peak_tensors, (name, batch, side)):.1f}" if eager else "-"
            of = f"{seconds['torch.randn'] / value:.2f} | {seconds['torch.poisson'] / value:.2f}"
            print(f"| {name} | {clean.numel() / value / 1e6:.1f} | {of} | {memory} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=504, help="of the mosaic")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true", help="leave out compiled rows; compiling takes minutes")
    args = parser.parse_args()
    clean = photograph(args.batch, args.side).to(args.device)
    threads = f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {args.device}, {threads}, {args.batch} x {args.side}x{args.side}\n")
    electrons = clean / SENSOR.shot[0]
    base: Runs = {"torch.randn": lambda: torch.randn_like(clean), "torch.poisson": lambda: torch.poisson(electrons)}
    print_models({**base, **model_runs(clean, not args.no_compile)}, clean, args.rounds)

    counts = None if args.no_compile else torch.compile(draw_counts, fullgraph=True)
    print("\n| exact counts, by mean rate | torch.poisson, Mpixel/s | eager | compiled |\n| --- | --- | --- | --- |")
    for mean in RATES:
        seconds = side_by_side(count_runs(clean * (mean * 3.2), counts), args.rounds)
        base_s = seconds.pop("torch.poisson")
        ratios = " | ".join(f"{base_s / value:.2f}x" for value in seconds.values())
        print(f"| {mean:g} | {clean.numel() / base_s / 1e6:.1f} | {ratios} |", flush=True)

    seconds = side_by_side(seeding_runs(clean, not args.no_compile), 3 * args.rounds)
    print("\n| seeds | ms | cost of a seed a sample |\n| --- | --- | --- |")
    for name, value in seconds.items():
        cost = value / seconds[name.replace("a sample", "a batch")] - 1
        print(f"| {name} | {1000 * value:.2f} | {100 * cost:+.1f} % |")


if __name__ == "__main__":
    with torch.no_grad():
        main()
