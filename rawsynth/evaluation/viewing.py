"""How a pair's RAW is developed for eyes: as its metadata state, and by estimates from the reference where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.evaluation.running import COLOR_FIELDS, PAIR_CFA
from rawsynth.pairs import Pair
from rawsynth.raw.metadata import RawMetadata
from rawsynth.transforms.reverse_isp import check_physics

_SATURATED = 0.98
_GAIN_RANGE, _EXPOSURE_RANGE = (0.2, 10.0), (1.0, 64.0)
# An estimate needs no more pixels than this on a side.
_SAMPLES = 256


@dataclass(frozen=True)
class View:
    """One way of developing, for reference and result alike.

    Attributes:
        metadata: what :func:`rawsynth.raw.rendering.render` goes by.
        words: the same for a caption, and where it comes from.
    """

    metadata: RawMetadata
    words: str


def view_of(pair: Pair) -> View:
    """Choose how a pair is developed.

    What the metadata state soundly is used. Otherwise the white balance is the gray world's over the reference's
    unsaturated pixels, the colour matrix the identity, and the exposure lifts the reference's brightest percent to
    0.8 of white.
    """
    stated = stated_color(pair.meta)
    white_balance = stated.get("white_balance") or gray_world(pair.raw)
    exposure = stated.get("rgb_gain") or bright_exposure(pair.raw, white_balance)
    metadata = replace(
        RawMetadata.neutral(cfa=PAIR_CFA),
        white_balance=torch.tensor(white_balance, dtype=torch.float32),
        rgb_gain=torch.tensor(exposure, dtype=torch.float32),
        cam_from_srgb=torch.tensor(stated.get("cam_from_srgb", np.eye(3).tolist()), dtype=torch.float32),
    )
    red, blue = white_balance
    balance = f"R {red:.2f} B {blue:.2f} {'stated' if 'white_balance' in stated else 'gray world'}"
    matrix = "" if "cam_from_srgb" in stated else ", no colour matrix"
    shown = f"x {exposure:.2f} {'stated' if 'rgb_gain' in stated else 'estimated'}"
    return View(metadata, f"{balance}{matrix}, {shown}")


def stated_color(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the colour and exposure that metadata state, without what cannot be."""
    sound: dict[str, Any] = {}
    for name in COLOR_FIELDS:
        if meta.get(name) is None:
            continue
        try:
            value = check_physics({name: meta[name]})[name]
        except UsageError:
            continue
        if name != "cam_from_srgb" or np.linalg.cond(value) < 1e4:
            sound[name] = value
    return sound


def gray_world(raw: Tensor) -> list[float]:
    """Return the red and blue gain that make the unsaturated pixels of ``(4, h, w)`` RGGB gray on average."""
    planes = _sample(raw).clamp(min=0.0).flatten(1)
    kept = planes[:, (planes < _SATURATED).all(dim=0)]
    red, first, second, blue = (kept if kept.shape[1] else planes).mean(dim=1).tolist()
    green, (low, high) = (first + second) / 2, _GAIN_RANGE
    return [min(max(green / plane, low), high) if plane > 0 and green > 0 else 1.0 for plane in (red, blue)]


def bright_exposure(raw: Tensor, white_balance: list[float]) -> float:
    """Return the factor that lifts the brightest percent of balanced ``(4, h, w)`` RGGB to 0.8, within bounds."""
    red, blue = white_balance
    balanced = _sample(raw) * torch.tensor([red, 1.0, 1.0, blue])[:, None, None]
    bright = float(np.quantile(balanced.clamp(0.0, 1.0).numpy(), 0.99))
    low, high = _EXPOSURE_RANGE
    return min(max(0.8 / bright, low), high) if bright > 0 else low


def _sample(raw: Tensor) -> Tensor:
    rows, columns = (max(1, side // _SAMPLES) for side in raw.shape[-2:])
    return raw[..., ::rows, ::columns].float().cpu()
