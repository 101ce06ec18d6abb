"""Four ways back to RAW, learned from the same synthetic pairs at the same cost.

    python benchmarks/bench_synthetic_pairs.py PHOTOGRAPHS --json synthetic.json
    python benchmarks/bench_synthetic_pairs.py PHOTOGRAPHS --pool 320 --steps 40 --crop 64       # does it run

Photographs become light, one camera under one light sees it, random ISPs develop it (docs/forward-isp.md): crops in
pairs with packed RAW, a pool to learn from and, of photographs kept back, one to be judged on. The learned ones see the
same crops in the same order, as often, with nothing but a crop to read a style from, and have the same
multiply-accumulates: `rst_isp_net` is as wide as the budget of `rst_isp_net_small` allows, with the authors' losses
and with the mended ones. `unprocess` and undoing sRGB's curve learn nothing and, as `rst_isp_net_small`, are told the
camera's matrix and white balance; `rst_isp_net` has all pairs of this one camera to learn them from.

The table says PSNR of packed RAW, absolute and with one exposure factor a crop. Synthetic, short of what any of them
reaches when trained to the end, and a comparison within this run only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_network import macs_of
from torch import Tensor

from rawsynth.cameras import load_camera
from rawsynth.evaluation.metrics import exposure_fitted_psnr, psnr
from rawsynth.methods.global_inverse import srgb_decoding
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.style_encoder import sample_grid
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.photographs import read_photographs
from rawsynth.pairs.renderings import load_renderings
from rawsynth.raw.cfa import mosaic
from rawsynth.training.config import TrainConfig
from rawsynth.training.data import TrainBatch
from rawsynth.training.distributed import Place
from rawsynth.training.learner import Learner
from rawsynth.training.scene_config import LocalStageConfig
from rawsynth.training.scene_learner import SceneLearner
from rawsynth.training.scene_loss import sensor_response
from rawsynth.training.surrogates import RenderedBatch, RenderedSurrogates, collate, split_photographs
from rawsynth.transforms import ReverseISP

_PLACE = Place(rank=0, world=1, device=torch.device("cpu"))
_COUNTED = 512

Developer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OneLight:
    """A camera that only ever sees one light."""

    matrix: Any
    gains: tuple[float, float]

    def color(self, cct_k: float) -> tuple[Any, tuple[float, float]]:
        """Return its matrix and gains, whatever the light."""
        return self.matrix, self.gains


@dataclass(frozen=True)
class Pool:
    """Crops in pairs.

    Attributes:
        srgb: ``(N, 3, s, s)`` uint8.
        camera_rgb: ``(N, 3, s, s)`` float32, all colours at each pixel.
    """

    srgb: Tensor
    camera_rgb: Tensor

    @property
    def raw(self) -> Tensor:
        """Packed RGGB, ``(N, 4, s/2, s/2)``."""
        return mosaic(self.camera_rgb, "RGGB")


def make_pool(photographs: Any, camera: OneLight, *, count: int, crop: int, seed: int) -> Pool:
    """Make crops of photographs."""
    samples = RenderedSurrogates(
        photographs, (camera,), isp=ForwardISP(load_renderings()), seed=seed, crop=crop  # type: ignore[arg-type]
    )
    batch = collate([samples[k] for k in range(count)])
    assert batch.crop_srgb is not None and batch.crop_raw is not None
    return Pool(batch.crop_srgb, batch.crop_raw)


def widest(budget: float) -> int:
    """Return how wide rst_isp_net may be for a number of multiply-accumulates at 512x512."""

    def macs(width: int) -> float:
        network = RstIspNet.build({"variant": "p20", "depth": 4, "width": width}).eval()
        return macs_of(lambda: network(torch.zeros(1, 3, _COUNTED, _COUNTED)))

    width = 2
    while macs(width + 1) <= budget:
        width += 1
    return width


def order(pool: int, steps: int, batch: int) -> list[Tensor]:
    """Return which crops each step sees, every one equally often."""
    rng = np.random.default_rng(0)
    rounds = -(-steps * batch // pool)
    places = torch.from_numpy(np.concatenate([rng.permutation(pool) for _ in range(rounds)]))
    return [places[k * batch : (k + 1) * batch] for k in range(steps)]


def learn_small(
    pool: Pool, camera: OneLight, args: argparse.Namespace, *, dtype: torch.dtype = torch.float32
) -> Developer:
    """Train rst_isp_net_small, both parts at once, on crops that are their own frames."""
    torch.manual_seed(0)
    stage = LocalStageConfig(
        steps=args.steps, batch=args.batch, lr=args.lr, warmup=args.steps // 20, rest_lr=1.0, global_loss=1.0
    )
    learner = SceneLearner(SceneLinearNet(), stage, points=24, seed=0, place=_PLACE, dtype=dtype)
    for step, places in enumerate(order(len(pool.srgb), args.steps, args.batch)):
        srgb, raw = pool.srgb[places], pool.camera_rgb[places]
        matrix, gains = colors(camera, len(places))
        learner.step(RenderedBatch(sample_grid(srgb), sample_grid(raw), srgb, raw, matrix, gains), step)
    network = learner.average.network

    def develop(srgb: Tensor) -> Tensor:
        light = network.decode(srgb, network.encode_style(srgb.float() / 255))
        return mosaic(sensor_response(light, *colors(camera, len(srgb))), "RGGB")

    return develop


def learn_rst(loss: str) -> Callable[[Pool, OneLight, argparse.Namespace], Developer]:
    """Return what trains rst_isp_net with the losses of that name."""

    def learn(pool: Pool, camera: OneLight, args: argparse.Namespace) -> Developer:
        torch.manual_seed(0)
        optimizer = {
            "steps": args.steps, "batch": args.batch, "lr": args.rst_lr, "warmup": args.steps // 20, "ema": 0.998,
        }  # fmt: skip
        sections = {"data": {"train": "", "flips": False}, "loss": {"preset": loss}, "optimizer": optimizer}
        config = TrainConfig.model_validate({"output": "", **sections})
        network = RstIspNet.build({"variant": "p20", "depth": 4, "width": args.width})
        learner = Learner(config, RstIspNet, network, _PLACE)
        raw = pool.raw
        for step, places in enumerate(order(len(pool.srgb), args.steps, args.batch)):
            learner.step(TrainBatch(pool.srgb[places], raw[places], (), ()), step)
        average = learner.average.network
        return lambda srgb: average(srgb.float() / 255)

    return learn


def colors(camera: OneLight, count: int) -> tuple[Tensor, Tensor]:
    """Return matrix and gains for a batch."""
    matrix = torch.from_numpy(np.asarray(camera.matrix)).float().expand(count, 3, 3)
    return matrix, torch.tensor(camera.gains).expand(count, 2)


def plain(pool: Pool, camera: OneLight, args: argparse.Namespace) -> Developer:
    """Undo sRGB's curve; nothing is learned."""
    return lambda srgb: mosaic(sensor_response(srgb_decoding(srgb.float() / 255), *colors(camera, len(srgb))), "RGGB")


def unprocess(pool: Pool, camera: OneLight, args: argparse.Namespace) -> Developer:
    """Unprocess with the camera's colour and the middle of its published gains; nothing is learned."""
    to_raw = ReverseISP(
        "unprocess", cam_from_srgb=camera.matrix, white_balance=camera.gains, rgb_gain=1.25, cfa="RGGB", seed=0
    )
    return lambda srgb: to_raw(srgb, keys=[str(k) for k in range(len(srgb))]).packed


METHODS: dict[str, Callable[[Pool, OneLight, argparse.Namespace], Developer]] = {
    "unprocess": unprocess,
    "sRGB undone": plain,
    "rst_isp_net, authors' losses": learn_rst("published"),
    "rst_isp_net, mended losses": learn_rst("default"),
    "rst_isp_net_small": learn_small,
}


@torch.no_grad()
def judge(develop: Developer, held: Pool) -> dict[str, float]:
    """Return the means over the crops kept back."""
    results = torch.cat([develop(part) for part in torch.split(held.srgb, 8)]).float().clamp(0, 1)
    fitted, factors = exposure_fitted_psnr(results, held.raw)
    return {
        "absolute_db": float(psnr(results, held.raw).mean()),
        "fitted_db": float(fitted.mean()),
        "exposure_ev": float(factors.clamp(min=1e-3).log2().abs().mean()),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="folder of photographs")
    parser.add_argument("--cache", help="folder that keeps them reduced")
    parser.add_argument("--camera", default="Sony ILCE-7SM2", help="camera of all pairs")
    parser.add_argument("--cct", type=float, default=5500.0, help="temperature of their light, K")
    parser.add_argument("--pool", type=int, default=2400, help="crops to learn from")
    parser.add_argument("--held", type=int, default=200, help="crops to be judged on")
    parser.add_argument("--crop", type=int, default=128, help="their side, a multiple of 16")
    parser.add_argument("--steps", type=int, default=1500, help="updates of each network")
    parser.add_argument("--batch", type=int, default=8, help="crops an update")
    parser.add_argument("--lr", type=float, default=1e-3, help="of rst_isp_net_small")
    parser.add_argument("--rst-lr", type=float, default=1e-3, help="of rst_isp_net")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="these methods")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def main() -> None:
    """Make the pools, learn, judge."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    matrix, gains = load_camera(args.camera).color(args.cct)
    camera = OneLight(matrix, gains)
    train, kept = split_photographs(read_photographs(args.photographs, cache=args.cache, observe=print), 0.08)
    pool, held = (
        make_pool(part, camera, count=count, crop=args.crop, seed=seed)
        for part, count, seed in ((train, args.pool, 1), (kept, args.held, 2))
    )
    small = SceneLinearNet().eval()
    budget = macs_of(lambda: small(torch.zeros(1, 3, _COUNTED, _COUNTED)))
    args.width = widest(budget)
    print(f"{args.steps} steps of {args.batch} from {args.pool} crops; {budget / 1e9:.2f} GMAC at 512x512 at most; "
          f"rst_isp_net of width {args.width}, 4 blocks\n")  # fmt: skip
    print("| method | absolute / fitted, dB | exposure error, EV | seconds |\n| --- | --- | --- | --- |")
    rows: dict[str, Any] = {}
    for name in args.only:
        began = time.perf_counter()
        develop = METHODS[name](pool, camera, args)
        seconds = time.perf_counter() - began
        rows[name] = {**judge(develop, held), "seconds": seconds}
        figures = rows[name]
        print(f"| {name} | {figures['absolute_db']:.1f} / {figures['fitted_db']:.1f} | {figures['exposure_ev']:.2f} "
              f"| {seconds:.0f} |", flush=True)  # fmt: skip
    if args.json:
        chosen = {name: value for name, value in vars(args).items() if name not in ("json", "cache", "photographs")}
        args.json.write_text(json.dumps({"options": chosen, "budget_macs": budget, "methods": rows}, indent=1))


if __name__ == "__main__":
    main()
