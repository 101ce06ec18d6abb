"""ReverseISP("unprocess") and AddNoise against a plain PyTorch transcription of Brooks et al.'s published steps.

    python benchmarks/bench_unprocess.py

The transcription handles one image at a time, as the original does: float32, every step on all three colours. All
alternatives take the same uint8 batch and give clean (and noisy) packed RAW. Ratios are within one run.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measure import print_table, side_by_side
from skimage import data
from torch import Tensor

from rawsynth.methods.unprocess import DND_CAM_FROM_XYZ
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB
from rawsynth.raw.levels import CLEAN_LEVELS, Levels
from rawsynth.raw.quantize import quantize
from rawsynth.transforms import AddNoise, ReverseISP


def plain_unprocess(image: Tensor) -> Tensor:
    """The published steps on one (H, W, 3) float image in [0, 1], with fresh random parameters."""
    weights = torch.empty(4).uniform_(1e-8, 1e8)
    cam_from_xyz = (weights[:, None, None] * torch.from_numpy(DND_CAM_FROM_XYZ).float()).sum(0) / weights.sum()
    rgb2cam = cam_from_xyz @ torch.from_numpy(XYZ_FROM_SRGB).float()
    rgb2cam = rgb2cam / rgb2cam.sum(dim=-1, keepdim=True)
    rgb_gain = 1.0 / (0.8 + 0.1 * torch.randn(()))
    red_gain, blue_gain = torch.empty(()).uniform_(1.9, 2.4), torch.empty(()).uniform_(1.5, 1.9)

    image = image.clamp(0.0, 1.0)
    image = 0.5 - torch.sin(torch.asin(1.0 - 2.0 * image) / 3.0)
    image = image.clamp(min=1e-8) ** 2.2
    image = (image.reshape(-1, 3) @ rgb2cam.T).reshape(image.shape)
    gains = torch.stack([1.0 / red_gain, torch.ones(()), 1.0 / blue_gain]) / rgb_gain
    gray = image.mean(dim=-1, keepdim=True)
    mask = ((gray - 0.9).clamp(min=0.0) / (1.0 - 0.9)) ** 2
    image = image * torch.maximum(mask + (1.0 - mask) * gains, gains)
    image = image.clamp(0.0, 1.0)
    return torch.stack(
        [image[0::2, 0::2, 0], image[0::2, 1::2, 1], image[1::2, 0::2, 1], image[1::2, 1::2, 2]], dim=-1
    )


def plain_noise(raw: Tensor) -> Tensor:
    """The published noise: levels from the law, then Gaussian noise of variance ``shot x + read``."""
    log_shot = torch.empty(()).uniform_(np.log(1e-4), np.log(1.2e-2))
    log_read = 2.18 * log_shot + 1.20 + 0.26 * torch.randn(())
    return raw + torch.randn_like(raw) * torch.sqrt(raw * log_shot.exp() + log_read.exp())


def photographs(batch: int, side: int) -> Tensor:
    """A uint8 batch (B, 3, side, side) tiled from real photographs."""
    images = [getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")]
    tiles = [np.tile(image, (side // 300 + 2, side // 300 + 2, 1))[:side, :side] for image in images]
    return torch.from_numpy(np.stack([tiles[i % 4] for i in range(batch)])).permute(0, 3, 1, 2).contiguous()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device, srgb = torch.device(args.device), photographs(args.batch, args.side).to(args.device)
    size = f"{args.batch} x {args.side}x{args.side}"
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {size}")

    def plain(noise: bool) -> list[Tensor]:
        clean = [plain_unprocess(image.permute(1, 2, 0).float() / 255.0) for image in srgb]
        return [plain_noise(raw) for raw in clean] if noise else clean

    eager, compiled = ReverseISP(), ReverseISP().compile_kernels()
    runs = {"plain transcription": lambda: plain(False), "eager": lambda: eager(srgb)}
    runs["compiled"] = lambda: compiled(srgb)
    print("\nunprocess, clean RAW out")
    print_table(side_by_side(runs, args.rounds), args.batch, "plain transcription")

    runs = {"plain transcription": lambda: plain(True)}
    for model in ("heteroscedastic_gaussian", "poisson_gaussian"):
        add, add_compiled = AddNoise(model), AddNoise(model).compile_kernels()
        runs[f"eager, {model}"] = lambda add=add: add(eager(srgb))
        runs[f"compiled, {model}"] = lambda add=add_compiled: add(compiled(srgb))
    print("\nunprocess and noise, clean and noisy RAW out (the transcription adds Gaussian noise)")
    print_table(side_by_side(runs, args.rounds), args.batch, "plain transcription")

    clean, levels = eager(srgb).packed, Levels(512, 16383, 14)
    fields = {"torch.randn": lambda: torch.randn_like(clean), "torch.poisson": lambda: torch.poisson(clean * 1000)}
    fields |= {"quantize to DN": lambda: (quantize(clean, levels), quantize(clean, CLEAN_LEVELS))}
    print("\nfor scale, on the same planes")
    print_table(side_by_side(fields, args.rounds), args.batch, "torch.randn")


if __name__ == "__main__":
    with torch.no_grad():
        main()
