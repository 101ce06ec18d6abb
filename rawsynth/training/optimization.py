"""Learning rate by step, and the running average of parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from rawsynth.training.config import OptimizerConfig, UpdatesConfig

Network = TypeVar("Network", bound=nn.Module)


def learning_rate(config: UpdatesConfig, step: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then half a cosine or a constant.

    >>> config = OptimizerConfig(steps=100, lr=1.0)
    >>> [round(learning_rate(config, step), 2) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return config.lr
    progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    share = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr * share


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Make Adam over what is trained; linear layers of the style path are a group of their own."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    style = [p for name, p in named if is_style(name)]
    rest = [p for name, p in named if not is_style(name)]
    groups: list[dict[str, Any]] = [{"params": rest, "factor": 1.0}, {"params": style, "factor": config.style_lr}]
    return torch.optim.Adam([g for g in groups if g["params"]], lr=config.lr, betas=config.betas, foreach=True)


def is_style(name: str) -> bool:
    """Whether a parameter belongs to a style projector or extractor."""
    return ".style." in name or ".extractor." in name


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set each group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)


class Average(Generic[Network]):
    """Exponential moving average of a network's parameters, over fewer steps at the start.

    The decay of update n is ``min(decay, (1 + n) / (10 + n))``, so that the average of a short training is not its
    random beginning.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network after its update number ``step``, counted from 0."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step)) if self.decay else 1.0
        mine, theirs = list(_tensors(self.network)), list(_tensors(network))
        torch._foreach_lerp_(mine, theirs, share)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from (buffer for buffer in network.buffers() if buffer.is_floating_point())
