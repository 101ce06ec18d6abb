"""Every reverse ISP: speed, share of what a plain convolution reaches, and peak memory, by batch size and dtype.

    python benchmarks/bench_methods.py
    python benchmarks/bench_methods.py --batch 1 16 --dtype float32 bfloat16 --compile --device cuda

Networks run with fresh weights, which cost what trained ones cost. A row is a process of its own, so that its peak
memory is its own. A plain 3x3 convolution of 64 channels at half the side is timed in turn with it: "of conv" is the
method's MAC/s over the convolution's. Times are synchronised with the device. "memory" is what the process held at its
peak above what it held before the method was built: on a GPU as the allocator counts it, on a CPU resident memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
from collections.abc import Callable
from dataclasses import dataclass

import torch
from bench_unprocess import photographs
from measure import side_by_side
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.weights import ModelCard
from rawsynth.transforms import ReverseISP

METHODS = ("unprocess", "rst_isp_net/s7", "rst_isp_net/p20", "rst_isp_net/text", "rst_isp_net/tiny")


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    method: str
    batch: int
    side: int
    dtype: str
    compile: bool
    device: str
    rounds: int


@dataclass(frozen=True)
class Figures:
    """What one row says."""

    ms: float
    gmac: float
    gmac_per_s: float
    of_convolution: float
    memory_mb: float


def build(name: str) -> ReverseISP:
    """Build a method by the table's name."""
    method, _, preset = name.partition("/")
    if not preset:
        return ReverseISP(method, seed=0)
    config = {"preset": preset}
    return ReverseISP(RstIspNet(RstIspNet.build(config), config, ModelCard(), "fresh"), seed=0)


def measure(case: Case) -> Figures:
    """Measure one row in this process."""
    device, dtype = torch.device(case.device), getattr(torch, case.dtype)
    srgb = photographs(case.batch, case.side).to(device)
    convolution = plain_convolution(case, device)
    before = held(device)
    to_raw = build(case.method).to(device)
    params = to_raw.make_params(case.batch, keys=[str(i) for i in range(case.batch)])

    def run() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return to_raw.apply_params(srgb, params).packed

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    macs = counter.get_total_flops() / 2
    if case.compile:
        to_raw.compile_kernels()
    with torch.no_grad():
        run()
        memory = held(device) - before
        seconds = side_by_side({"method": run, "convolution": convolution[1]}, case.rounds)
    rate, plain = macs / seconds["method"], convolution[0] / seconds["convolution"]
    return Figures(1000 * seconds["method"] / case.batch, macs / case.batch / 1e9, rate / 1e9, rate / plain, memory)


def plain_convolution(case: Case, device: torch.device) -> tuple[float, Callable[[], Tensor]]:
    """Return a convolution's MACs and a call that runs it, in the row's type."""
    channels, side, dtype = 64, case.side // 2, getattr(torch, case.dtype)
    layer = nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype).to(memory_format=torch.channels_last)
    x = torch.rand(case.batch, channels, side, side, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    return float(case.batch * side**2 * channels**2 * 9), lambda: layer(x)


def held(device: torch.device) -> float:
    """Most memory held so far, MB."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, metavar="METHOD")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile the methods")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    how = "compiled" if args.compile else "eager"
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {args.device} ({name}), {how}, uint8 photographs of {args.side}x{args.side}\n")
    print("| method | batch | dtype | ms/image | images/s | GMAC/image | GMAC/s | of conv | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for method in args.methods:
            for dtype in args.dtype:
                for batch in args.batch:
                    case = Case(method, batch, args.side, dtype, args.compile, args.device, args.rounds)
                    row = pool.apply(measure, (case,))
                    macs = f"{row.gmac:.2f} | {row.gmac_per_s:.0f} | {row.of_convolution:.2f}"
                    macs = macs if row.gmac else "- | - | -"
                    print(
                        f"| {method} | {batch} | {dtype} | {row.ms:.2f} | {1000 / row.ms:.1f} | {macs} | "
                        f"{row.memory_mb:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
