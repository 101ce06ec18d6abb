"""The one denoiser of the downstream proof: a U-Net on packed RAW with a noise map, and how it is trained.

Four planes, the noise's standard deviation at each site and, in its units, what each value is off its 3x3 neighbours'
mean go in; the noise comes out in the same units and is taken off. Without such units little noise is learned late, and
corpora would differ in how soon they are learned. Errors are counted in them too, so that bright crops teach as much as
dark ones. Noise is drawn anew at every step from the corpus's own law; nothing about network, loss or schedule depends
on the corpus.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth import AddNoise, RawImage

_KEEP_EVERY = 100
# In units of the noise: beyond it is surely an edge.
_FARTHEST = 8.0
_WHITE = 65535.0


class SmallUNet(nn.Module):
    """Denoises packed RAW: 4 planes with their noise map in, residual out; three levels.

    Args:
        width: channels of the first level; doubled at each further one.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        a, b, c = width, 2 * width, 4 * width
        self.enter = nn.Sequential(_conv(12, a), _conv(a, a))
        self.down_b = nn.Sequential(_conv(a, b, stride=2), _conv(b, b))
        self.down_c = nn.Sequential(_conv(b, c, stride=2), _conv(c, c), _conv(c, c))
        self.up_b = nn.ConvTranspose2d(c, b, 2, stride=2)
        self.join_b = nn.Sequential(_conv(2 * b, b), _conv(b, b))
        self.up_a = nn.ConvTranspose2d(b, a, 2, stride=2)
        self.join_a = nn.Sequential(_conv(2 * a, a), _conv(a, a))
        self.leave = nn.Conv2d(a, 4, 3, padding=1)

    def forward(self, noisy: Tensor, variance: Tensor) -> Tensor:
        """Denoise.

        Args:
            noisy: ``(B, 4, h, w)`` on the unit scale; sides are multiples of 4.
            variance: of its noise, of the same shape.

        Returns:
            ``(B, 4, h, w)`` float32, not clipped.
        """
        deviation = variance.sqrt()
        around = F.avg_pool2d(noisy, 3, stride=1, padding=1, count_include_pad=False)
        detail = ((noisy - around) / deviation).clamp(-_FARTHEST, _FARTHEST)
        first = self.enter(torch.cat([noisy, deviation, detail], dim=1))
        second = self.down_b(first)
        third = self.down_c(second)
        second = self.join_b(torch.cat([self.up_b(third), second], dim=1))
        first = self.join_a(torch.cat([self.up_a(second), first], dim=1))
        return noisy - deviation * self.leave(first).float()


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.LeakyReLU(0.1, inplace=True))


@dataclass(frozen=True)
class Schedule:
    """How every denoiser is trained.

    Attributes:
        steps, batch: updates, and crops in each.
        lr: peak of Adam's rate: a linear rise over the first 5 %, then a cosine to 0.
        width: of the network.
        device, bfloat16: where, and whether products are of bfloat16.
    """

    steps: int
    batch: int = 16
    lr: float = 2e-3
    width: int = 16
    device: str = "cpu"
    bfloat16: bool = False


def variance_map(noisy: Tensor, shot: Tensor, read: Tensor) -> Tensor:
    """Return ``S max(y, 0) + O``, the variance that the denoiser is told, for planes ``(B, 4)`` of S and O."""
    return shot[..., None, None] * noisy.clamp(min=0) + read[..., None, None]


def train(clean: Any, add_noise: AddNoise, schedule: Schedule, *, seed: int, place: Path,
          observe: Callable[[str], None]) -> SmallUNet:  # fmt: skip
    """Train a denoiser, from where an earlier run was stopped.

    Args:
        clean: ``(N, 4, h, w)`` uint16, 65535 is white.
        add_noise: draws each batch's noise from torch's generator.
        schedule: how.
        seed: of weights, order and noise.
        place: file of the finished weights; beside it lies what is kept on the way.
        observe: is told of the progress.

    Returns:
        The network in evaluation mode.
    """
    torch.manual_seed(seed)
    network = SmallUNet(schedule.width).to(schedule.device, memory_format=torch.channels_last)
    if place.exists():
        network.load_state_dict(torch.load(place, weights_only=True))
        return network.eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.lr)
    running, begun, losses, began = place.with_suffix(".part"), 0, 0.0, time.perf_counter()
    if running.exists():
        begun = _resume(running, network, optimizer)
    for step in range(begun, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * _share(step, schedule.steps)
        losses += _step(network, optimizer, clean, add_noise, schedule)
        if (step + 1) % _KEEP_EVERY == 0:
            _keep(running, network, optimizer, step + 1)
            speed = (step + 1 - begun) / (time.perf_counter() - began)
            error = losses / _KEEP_EVERY
            observe(f"{place.stem}: step {step + 1}/{schedule.steps}, L1 {error:.4f} of the noise, {speed:.1f}/s")
            losses = 0.0
    _write(place, network.state_dict())
    running.unlink(missing_ok=True)
    return network.eval()


def _share(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def _step(network: SmallUNet, optimizer: torch.optim.Optimizer, clean: Any, add_noise: AddNoise,
          schedule: Schedule) -> float:  # fmt: skip
    places = torch.randint(len(clean), (schedule.batch,)).numpy()
    target = torch.from_numpy(clean[places].astype("float32") / _WHITE).to(schedule.device)
    noisy = add_noise(RawImage.from_packed(target, "RGGB"))
    x = noisy.packed.contiguous(memory_format=torch.channels_last)
    variance = noisy.variance()
    with torch.autocast(schedule.device.partition(":")[0], torch.bfloat16, enabled=schedule.bfloat16):
        result = network(x, variance)
    # The mean of a crop's variances: single sites of the map go with their own noise.
    loss = ((result - target).abs() / variance.mean(dim=(1, 2, 3), keepdim=True).sqrt()).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _keep(path: Path, network: SmallUNet, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    _write(path, {**state, "generator": torch.get_rng_state()})


def _resume(path: Path, network: SmallUNet, optimizer: torch.optim.Optimizer) -> int:
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["generator"].cpu())
    return int(state["step"])


def _write(path: Path, state: Any) -> None:
    """Write under another name first: what has its name is whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    torch.save(state, temporary)
    temporary.replace(path)


@torch.no_grad()
def denoise(network: SmallUNet, noisy: Tensor, variance: Tensor) -> Tensor:
    """Denoise one image ``(4, h, w)`` of any size, in float32 on the network's device; returns it on the CPU."""
    height, width = noisy.shape[-2:]
    pad = (0, -width % 4, 0, -height % 4)
    device = next(network.parameters()).device
    planes = [F.pad(image[None].to(device), pad, mode="replicate") for image in (noisy, variance)]
    return network(*planes)[0, :, :height, :width].cpu()
