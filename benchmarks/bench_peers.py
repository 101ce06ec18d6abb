"""Every reverse ISP that learns, on the same synthetic pairs: with as many samples, and with as many products.

    python benchmarks/bench_peers.py PHOTOGRAPHS --work peers/ --threads 2
    python benchmarks/bench_peers.py PHOTOGRAPHS --work try/ --pool 64 --held 16 --samples 32 --tmacs 0.05      # a try

Pairs as in bench_synthetic_pairs.py: photographs become light, one camera under one light sees it, random ISPs develop
it; crops of photographs kept back are judged. Networks have their published sizes. All see the same crops in the same
order, with the same loss, optimiser, rate, batch, seed and type, and nothing but a crop; two regimes:

    samples     as many crops each
    products    as many multiply-accumulates each in forward passes, so that a network that is lighter sees more crops

`rst_isp_net_small` learns by its own loss and rate, and is told the camera's matrix and white balance, as are
`unprocess`, `srgb_linear` and `smoothstep_gamma`, which learn nothing; the others learn them from the pairs. Results
stay in --work, one a method and regime, and are read back by the next run. The tables are short of what any of them
reaches when trained to the end, synthetic, and a comparison within this run only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_network import macs_of
from bench_synthetic_pairs import OneLight, Pool, judge, learn_small, make_pool, order

from rawsynth.cameras import load_camera
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.pairs.photographs import read_photographs
from rawsynth.training.config import TrainConfig
from rawsynth.training.data import TrainBatch
from rawsynth.training.distributed import Place
from rawsynth.training.learner import Learner
from rawsynth.training.surrogates import split_photographs
from rawsynth.transforms import ReverseISP

SMALL = "rst_isp_net_small"
FIXED = ("unprocess", "srgb_linear", "smoothstep_gamma")
LEARNED = (SMALL, *sorted(name for name, method in METHODS.items() if issubclass(method, LearnedMethod)))
# Steps beyond this many teach the small ones little on a small pool, and take most of the time.
_MOST_STEPS = 6000
_PLACE = Place(rank=0, world=1, device=torch.device("cpu"))


def build(name: str) -> torch.nn.Module:
    """Return a fresh network of the published size."""
    torch.manual_seed(0)
    if name == SMALL:
        return SceneLinearNet()
    method = METHODS[name]
    assert issubclass(method, LearnedMethod)
    return method.build({"preset": next(iter(method.presets))})


def macs_a_crop(name: str, side: int) -> float:
    """Return the multiply-accumulates of one forward pass over a crop."""
    network = build(name).eval()
    return macs_of(lambda: network(torch.zeros(1, 3, side, side)))


def learn_peer(name: str, pool: Pool, steps: int, args: argparse.Namespace) -> Any:
    """Train one of the networks that make one camera's RAW."""
    method = METHODS[name]
    assert issubclass(method, LearnedMethod)
    sections = {
        "data": {"train": "", "flips": False},
        "optimizer": {"steps": steps, "batch": args.batch, "lr": args.lr, "warmup": steps // 20, "ema": 0.99},
        "compute": {"dtype": args.dtype},
    }
    learner = Learner(TrainConfig.model_validate({"output": "", **sections}), method, build(name), _PLACE)
    raw = pool.raw
    for step, places in enumerate(order(len(pool.srgb), steps, args.batch)):
        learner.step(TrainBatch(pool.srgb[places], raw[places], (), ()), step)
    network = learner.average.network.eval()
    return lambda srgb: network(srgb.float() / 255)


def fixed(name: str, camera: OneLight) -> Any:
    """Return a method that learns nothing, told the camera's colour and the middle of Brooks' exposures."""
    gain = 1.25 if name == "unprocess" else 1.0
    to_raw = ReverseISP(name, cam_from_srgb=camera.matrix, white_balance=camera.gains, rgb_gain=gain, seed=0)
    return lambda srgb: to_raw(srgb, keys=[str(k) for k in range(len(srgb))]).packed


def measure(name: str, regime: str, pools: tuple[Pool, Pool], camera: OneLight, args: argparse.Namespace) -> Any:
    """Train and judge one method, or read what an earlier run left."""
    place = args.work / f"{name}-{regime}.json"
    options = {key: value for key, value in vars(args).items() if key not in ("work", "photographs", "only", "threads")}
    if place.exists() and (kept := json.loads(place.read_text()))["options"] == options:
        return kept
    macs, began = 0.0, time.perf_counter()
    steps = 0
    if name in FIXED:
        develop = fixed(name, camera)
    else:
        macs = macs_a_crop(name, args.crop)
        samples = args.samples if regime == "samples" else args.tmacs * 1e12 / macs
        steps = min(_MOST_STEPS, max(1, round(samples / args.batch)))
        small = argparse.Namespace(steps=steps, batch=args.batch, lr=args.small_lr)
        develop = (
            learn_small(pools[0], camera, small, dtype=getattr(torch, args.dtype))
            if name == SMALL
            else learn_peer(name, pools[0], steps, args)
        )
    seconds = time.perf_counter() - began
    row = {"options": options, "method": name, "regime": regime, "samples": steps * args.batch, "macs": macs,
           "parameters": sum(p.numel() for p in build(name).parameters()) if macs else 0,
           "seconds": seconds, **judge(develop, pools[1])}  # fmt: skip
    place.write_text(json.dumps(row, indent=1))
    return row


def table(rows: list[Mapping[str, Any]]) -> str:
    """Return Markdown, the best first."""
    lines = ["| method | parameters | MMAC a crop | samples | absolute / fitted, dB | exposure error, EV | seconds |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for row in sorted(rows, key=lambda row: -row["absolute_db"]):
        lines.append(
            f"| {row['method']} | {row['parameters']:,} | {row['macs'] / 1e6:,.0f} | {row['samples']:,} | "
            f"{row['absolute_db']:.1f} / {row['fitted_db']:.1f} | {row['exposure_ev']:.2f} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="folder of photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder for results and reduced photographs")
    parser.add_argument("--camera", default="Sony ILCE-7SM2", help="camera of all pairs")
    parser.add_argument("--cct", type=float, default=5500.0, help="temperature of their light, K")
    parser.add_argument("--pool", type=int, default=1600, help="crops to learn from")
    parser.add_argument("--held", type=int, default=200, help="crops to be judged on")
    parser.add_argument("--crop", type=int, default=64, help="their side, a multiple of 16")
    parser.add_argument("--samples", type=int, default=1600, help="crops that each sees, of the first regime")
    parser.add_argument("--tmacs", type=float, default=4.0, help="10^12 products that each gets, of the second")
    parser.add_argument("--batch", type=int, default=8, help="crops an update")
    parser.add_argument("--lr", type=float, default=5e-4, help="learning rate")
    parser.add_argument("--small-lr", type=float, default=1e-3, help="learning rate of rst_isp_net_small")
    parser.add_argument("--dtype", default="bfloat16", help="of the training's arithmetic")
    parser.add_argument("--only", nargs="+", choices=(*FIXED, *LEARNED), default=[*FIXED, *LEARNED], help="these")
    parser.add_argument("--threads", type=int, help="of torch")
    return parser.parse_args()


def main() -> None:
    """Make the pools, learn, judge."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    matrix, gains = load_camera(args.camera).color(args.cct)
    camera = OneLight(np.asarray(matrix), gains)
    photographs = read_photographs(args.photographs, cache=str(args.work / "reduced"), observe=print)
    train, kept = split_photographs(photographs, 0.08)
    pools = (
        make_pool(train, camera, count=args.pool, crop=args.crop, seed=1),
        make_pool(kept, camera, count=args.held, crop=args.crop, seed=2),
    )
    for regime in ("samples", "products"):
        rows = []
        for name in args.only:
            rows.append(measure(name, regime, pools, camera, args))
            print(f"{regime}: {name}: {rows[-1]['absolute_db']:.1f} dB, {rows[-1]['seconds']:.0f} s", flush=True)
        limit = f"{args.samples} samples each" if regime == "samples" else f"{args.tmacs:g} TMAC of forward passes each"
        print(f"\n{limit}, {args.dtype}, {torch.get_num_threads()} threads\n\n{table(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
