"""Train a narrow RST-ISP-Net in under two minutes on a CPU, and look at what it learned.

    python examples/04_train_tiny.py FOLDER [STEPS]

The pairs are synthetic: scikit-image's photographs, unprocessed for one camera. One photograph is kept for validation
and never trained on. FOLDER/picture.png shows it: sRGB, the RAW to find, the RAW of the untrained and of the trained
network, all rendered alike.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

import rawsynth
from rawsynth.cli.demo import copy_photographs
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.pairs import Pair
from rawsynth.pipeline.config import build_config
from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import Panel, compose, picture
from rawsynth.raw.rendering import render
from rawsynth.training.config import load_train_config
from rawsynth.training.data import open_sets
from rawsynth.training.train import fresh_network, train
from rawsynth.training.validation import trial_method


def main() -> None:
    """Make pairs, train, draw."""
    root = Path(sys.argv[1])
    copy_photographs(root / "photos")
    corpus = {
        "input": str(root / "photos"),
        "output": str(root / "corpus"),
        "image": {"crop": 128, "crops": 64},
        "method": {"method": "unprocess", "camera": "Canon EOS 5D Mark IV", "rgb_gain": 1.25},
        "write": {"srgb": True},
        "run": {"quiet": True},
    }
    summary = rawsynth.generate(build_config(corpus))
    print(f"{summary.samples} pairs from {summary.sources} photographs")

    chosen = {"data.train": str(root / "corpus"), "output": str(root / "run")}
    if len(sys.argv) > 2:
        chosen["optimizer.steps"] = sys.argv[2]
    config = load_train_config("tiny", chosen)
    result = train(config)
    assert result.best is not None and result.weights is not None
    print(f"validation after {result.steps} steps: {result.best['psnr']:.1f} dB")

    untrained = trial_method(RstIspNet, fresh_network(config, RstIspNet), config.model.network_config(), {})
    trained = rawsynth.ReverseISP("rst_isp_net", result.weights)
    methods = {"untrained": rawsynth.ReverseISP(untrained), "trained": trained}
    _, validation = open_sets(config.data, config.seed)
    sheet = compose([draw(validation[index], methods) for index in (0, len(validation) // 2)], 256)
    sheet.save(root / "picture.png")
    print(f"picture: {root / 'picture.png'}")


def draw(pair: Pair, methods: dict[str, rawsynth.ReverseISP]) -> list[Panel]:
    """Draw one pair: the input, the target and each method's result, in the colour that the pair states."""
    known = {name: torch.tensor(pair.meta[name]) for name in ("cam_from_srgb", "white_balance", "rgb_gain")}
    raws = {"target RAW": pair.raw} | {name: method(pair.srgb).packed for name, method in methods.items()}
    panels = [Panel(picture(pair.srgb, 256), "sRGB", f"from {pair.scene}")]
    for name, packed in raws.items():
        psnr = -10 * float(torch.log10((packed - pair.raw).square().mean().clamp_min(1e-12)))
        detail = "rendered" if packed is pair.raw else f"rendered; {psnr:.1f} dB against the target"
        metadata = RawImage.from_packed(packed).metadata
        panels.append(Panel(picture(render(RawImage(packed, replace(metadata, **known))), 256), name, detail))
    return panels


if __name__ == "__main__":
    main()
