"""The network that ships: speed of its parts beside plain convolutions of like cost, and beside what the machine can.

    python benchmarks/bench_network.py
    python benchmarks/bench_network.py --batch 1 8 --dtype float32 bfloat16 --compile --rounds 9
    python benchmarks/bench_network.py --device cuda --batch 64 --dtype bfloat16 --compile
    python benchmarks/bench_network.py --accuracy

Every row is a process of its own, so that its peak memory is its own, and is timed in turn with two yardsticks of the
same type: 3x3 convolutions of 32 channels at half the side, channels last, as many as have the whole network's MACs
(together a "pass", the same for all rows), and one large matrix product, whose MAC/s is called the ceiling. Ratios are
medians over rounds, each of one neighbour to the next, on which a machine's load weighs little; images/s are those of
the run. "passes" is how many passes an image takes, "at ceiling" the share of the time that the row's own MACs would
take at the ceiling: what is left is memory, work element by element and convolutions too small to fill the machine.
"memory" is what the process held at its peak above what it held before the row was built; compiling would hide it.
`--clock cpu` counts the process's own seconds, for a machine that is busy with other work; use one thread then.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import cast

import torch
from bench_methods import build, held
from bench_unprocess import photographs
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rawsynth.methods import DEFAULT_METHOD
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.scene_linear import SceneLinearMethod
from rawsynth.transforms import ReverseISP

ROWS = ("style", "decode", DEFAULT_METHOD, "unprocess", "rst_isp_net/p20")
_CHANNELS = 32


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    batch: int
    side: int
    dtype: torch.dtype
    compile: bool
    device: str
    rounds: int
    clock: str
    network_macs: float


@dataclass(frozen=True)
class Figures:
    """What one row says."""

    ms: float
    gmac: float
    passes: float
    at_ceiling: float
    ceiling_gmac_per_s: float
    memory_mb: float


def measure(case: Case) -> Figures:
    """Measure one row in this process."""
    device = torch.device(case.device)
    srgb = photographs(case.batch, case.side).to(device)
    layers_macs, layers = plain_convolutions(case, device)
    product_macs, multiply = large_product(case.dtype, device)
    before = held(device)
    call = row(case, srgb)

    def run() -> object:
        with torch.autocast(device.type, case.dtype, enabled=case.dtype != torch.float32):
            return call()

    with torch.no_grad():
        run()
        memory = math.nan if case.compile and device.type == "cpu" else held(device) - before
        seconds = rounds(case, {"row": run, "pass": layers, "product": multiply})
        # Compiled code cannot be counted, and does what eager code does.
        macs = macs_of(run) if not case.compile else case.network_macs * (case.name in ("decode", DEFAULT_METHOD))
    scale = case.network_macs / layers_macs
    ceilings = [product_macs / s for s in seconds["product"]]
    return Figures(
        ms=1000 * statistics.median(seconds["row"]) / case.batch,
        gmac=macs / case.batch / 1e9,
        passes=statistics.median(r / (p * scale) for r, p in zip(seconds["row"], seconds["pass"], strict=True)),
        at_ceiling=statistics.median(macs / c / r for r, c in zip(seconds["row"], ceilings, strict=True)),
        ceiling_gmac_per_s=statistics.median(ceilings) / 1e9,
        memory_mb=memory,
    )


def row(case: Case, srgb: Tensor) -> Callable[[], object]:
    """Return what a row times: from uint8 on the device to style, light or packed RAW there."""
    to_raw = (ReverseISP(seed=0) if case.name in ROWS[:3] else build(case.name)).to(srgb.device)
    if case.compile:
        to_raw.compile_kernels()
    if case.name in ("style", "decode"):
        method = cast(SceneLinearMethod, to_raw.method)
        style = method.style_of(srgb)
        decode = torch.compile(method.network.decode_sites) if case.compile else method.network.decode_sites
        return (lambda: decode(srgb, style)) if case.name == "decode" else (lambda: method.style_of(srgb))
    params = to_raw.make_params(case.batch, keys=[str(i) for i in range(case.batch)])
    return lambda: to_raw.apply_params(srgb, params).packed


def network_macs(side: int) -> float:
    """Count the network's multiply-accumulates for an image."""
    network, srgb = SceneLinearNet().eval(), torch.zeros(1, 3, side, side)
    return macs_of(lambda: network(srgb))


def macs_of(run: Callable[[], object]) -> float:
    """Count multiply-accumulates of a call: those of its convolutions and matrix products."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


def plain_convolutions(case: Case, device: torch.device) -> tuple[float, Callable[[], object]]:
    """Return MACs and a call of as many plain convolutions as come closest to the network's."""
    side = case.side // 2
    each = case.batch * side**2 * _CHANNELS**2 * 9
    count = max(1, round(case.network_macs / each))
    layers = nn.Sequential(*(nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1) for _ in range(count)))
    layers = layers.to(device, case.dtype).to(memory_format=torch.channels_last)
    x = torch.rand(case.batch, _CHANNELS, side, side, device=device, dtype=case.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    return float(count * each), lambda: layers(x)


def large_product(dtype: torch.dtype, device: torch.device) -> tuple[float, Callable[[], object]]:
    """Return MACs and a call of a matrix product that is large for the device."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    return float(side**3), lambda: a @ b


def rounds(case: Case, runs: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Run each in turn, once to warm up and then ``case.rounds`` times; seconds by round, so that ratios pair."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    now = time.process_time if case.clock == "cpu" else time.perf_counter
    for number in range(case.rounds + 1):
        for name, run in runs.items():
            started = now()
            run()
            if case.device.startswith("cuda"):
                torch.cuda.synchronize()
            if number:
                seconds[name].append(now() - started)
    return seconds


def accuracy(side: int, device: str) -> None:
    """Print how far light in bfloat16 is from float32 on photographs, as PSNR with the level of saturation as peak."""
    to_raw = ReverseISP(seed=0).to(device)
    method = cast(SceneLinearMethod, to_raw.method)
    print("| photograph | light | light as its square root | packed RAW |\n| --- | --- | --- | --- |")
    for name, image in zip(("astronaut", "coffee", "chelsea", "rocket"), photographs(4, side).to(device), strict=True):
        made = []
        for enabled in (False, True):
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=enabled):
                style = method.style_of(image[None])
                light = method.network.decode_sites(image[None], style).clamp(0, 1)
                raw = to_raw(image[None], keys=[name]).packed
                made.append((light, light.sqrt(), raw))
        print(f"| {name} | " + " | ".join(f"{psnr_db(a, b):.1f} dB" for a, b in zip(*made, strict=True)) + " |")


def psnr_db(a: Tensor, b: Tensor) -> float:
    """Return the peak signal-to-noise ratio of values whose peak is 1."""
    return -10 * math.log10(max(float((a - b).square().mean()), 1e-12))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="ROW")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile the rows")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"], help="cpu: the process's own seconds")
    parser.add_argument("--accuracy", action="store_true", help="bfloat16 against float32 instead of speed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if args.accuracy:
        accuracy(args.side, args.device)
        return
    how = "compiled" if args.compile else "eager"
    where = torch.cuda.get_device_name() if args.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {args.device} ({where}), {how}, uint8 photographs of {args.side}x{args.side}\n")
    print("| | batch | dtype | ms/image | images/s | GMAC/image | passes | at ceiling | ceiling, GMAC/s | memory, MB |")
    print("|" + " --- |" * 10)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        macs = pool.apply(network_macs, (args.side,))
        for name, dtype, batch in product(args.rows, args.dtype, args.batch):
            case = Case(
                name, batch, args.side, getattr(torch, dtype), args.compile, args.device, args.rounds, args.clock,
                macs * batch,
            )  # fmt: skip
            print(line(case, pool.apply(measure, (case,))), flush=True)


def line(case: Case, figures: Figures) -> str:
    """Write a row of the table."""
    share = f"{figures.at_ceiling:.0%}" if figures.gmac else "-"
    gmac = f"{figures.gmac:.2f}" if figures.gmac else "-"
    memory = "-" if math.isnan(figures.memory_mb) else f"{figures.memory_mb:.0f}"
    return (
        f"| {case.name} | {case.batch} | {str(case.dtype).removeprefix('torch.')} | {figures.ms:.1f} | "
        f"{1000 / figures.ms:.1f} | {gmac} | {figures.passes:.2f} | {share} | {figures.ceiling_gmac_per_s:.0f} | "
        f"{memory} |"
    )


if __name__ == "__main__":
    main()
