"""A scene-linear network small enough for tests, with every part at work: a fresh one's local part gives zero."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from skimage import data
from torch import Tensor

from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.weights import ModelCard, save_weights

CONFIG: dict[str, Any] = {"code": 12, "knots": 6, "hidden": 8, "widths": [8, 10, 12], "blocks": [1, 1, 2]}
CARD = ModelCard(data="nothing: drawn at random")
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


@cache
def state(seed: int = 0) -> dict[str, Tensor]:
    """Return weights whose styles differ from photograph to photograph and whose corrections are large."""
    torch.manual_seed(seed)
    network = RstIspNetSmall.build(CONFIG)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("head.weight", "film.weight", "leave.weight", "second.weight")):
                parameter.add_(0.1 * torch.randn_like(parameter))
        network.globally.head.weight.mul_(3.0)
        network.style.join[-1].weight.mul_(4.0)
    return network.state_dict()


def save_small_network(folder: Path, *, seed: int = 0, name: str = "small.safetensors", **changes: Any) -> str:
    """Write its weights file; ``changes`` win over architecture, config, tensors and card."""
    url = str(folder / name)
    values = {
        "architecture": "rst_isp_net_small", "config": CONFIG, "tensors": state(seed), "card": CARD, **changes,
    }  # fmt: skip
    save_weights(url, **values)
    return url


def photographs(count: int = 4, height: int = 48, width: int = 64) -> Tensor:
    """Return pieces of real photographs, ``(count, 3, height, width)`` uint8."""
    pieces = []
    for k in range(count):
        pixels = torch.from_numpy(getattr(data, PHOTOGRAPHS[k % 4])()).permute(2, 0, 1)
        pieces.append(pixels[:, 30 + 8 * k : 30 + 8 * k + height, 120 : 120 + width])
    return torch.stack(pieces)
