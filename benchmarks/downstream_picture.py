"""A picture of the downstream proof: noisy, by Brooks' corpus, by ours, clean; a row a crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from downstream_denoiser import SmallUNet, denoise, variance_map
from downstream_scenes import Scene, take_shots
from downstream_sensor import Sensor
from PIL import Image, ImageDraw
from torch import Tensor

_SIDE, _SCALE, _EDGE = 88, 3, 6


def save_picture(
    path: Path, scenes: Sequence[Scene], sensor: Sensor, networks: Mapping[str, SmallUNet], *,
    electrons: Sequence[float], seed: int,
) -> None:  # fmt: skip
    """Draw one crop of each of the first scenes, at each level of light.

    Args:
        path: of the picture.
        scenes, sensor: of the tests.
        networks: columns between the noisy and the clean.
        electrons: levels.
        seed: of photons and dark frames.
    """
    rows = []
    for k, scene in enumerate(scenes[:4]):
        crop = scene.crops[len(scene.crops) // 2]
        shot = list(take_shots([replace(scene, crops=(crop,))], sensor, electrons, seed=seed + k))[k % len(electrons)]
        variance = variance_map(shot.noisy[None], shot.shot, shot.read)[0]
        results = {name: denoise(network, shot.noisy, variance) for name, network in networks.items()}
        exposure = 0.5 / float(torch.quantile(crop.flatten()[:1_000_000], 0.9).clamp(min=1e-3))
        columns = {f"noisy, {shot.electrons:g} e- at white": shot.noisy, **results, "clean": shot.clean}
        rows.append(_row(columns, scene.white_balance, exposure))
    Image.fromarray(np.concatenate(rows)).save(path, quality=92)


def _row(columns: Mapping[str, Tensor], gains: tuple[float, float], exposure: float) -> np.ndarray:
    parts = []
    for words, planes in columns.items():
        image = Image.fromarray(_rendered(planes, gains, exposure))
        image = image.resize((image.width * _SCALE, image.height * _SCALE), Image.Resampling.NEAREST)
        ImageDraw.Draw(image).text((4, 3), words, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
        parts.append(np.pad(np.asarray(image), ((0, _EDGE), (0, _EDGE), (0, 0)), constant_values=255))
    return np.concatenate(parts, axis=1)


def _rendered(planes: Tensor, gains: tuple[float, float], exposure: float) -> np.ndarray:
    """Half-size colour: white balance, exposure, gamma; the middle of the crop."""
    height, width = planes.shape[-2:]
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    red, first, second, blue = planes[:, top : top + _SIDE, left : left + _SIDE]
    rgb = torch.stack([red * gains[0], (first + second) / 2, blue * gains[1]]) * exposure
    shown = rgb.clamp(0, 1) ** (1 / 2.2)
    return (shown * 255).round().byte().permute(1, 2, 0).numpy()
