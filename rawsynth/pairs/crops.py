"""Crops of a matched RAW file: where they are, which are good, and what is stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.pairs.align import MIN_SCORE, Alignment, grid, local_alignment
from rawsynth.pairs.camera import Match, PairOptions
from rawsynth.pairs.correlation import Window
from rawsynth.pairs.shards import pair_members
from rawsynth.raw.cfa import pack
from rawsynth.raw.codecs import Members

# Sensors saturate a little below the white level that is stated, and JPEG leaves white a little below 255.
_NEAR_WHITE, _NEAR_255 = 0.99, 254


@dataclass(frozen=True)
class Crop:
    """One crop of a match.

    Attributes:
        row, column: place in the grid of crops.
        raw: window on the mosaic; it begins at a red site.
        srgb: window on the sRGB image in sensor orientation.
        local: how the crop itself lies, ``None`` where it is too flat or too saturated to say.
        fault: ``None`` for a good one, else ``saturated``, ``not alike``, ``misaligned`` or ``unchecked``.
    """

    row: int
    column: int
    raw: Window
    srgb: Window
    local: Alignment | None
    fault: str | None


def cut_crops(match: Match, options: PairOptions) -> list[Crop]:
    """Lay a grid of crops over what both images show, and judge each.

    A crop that is too flat to be measured goes with the nearest ones that were: it is kept if none of them lies wrong.
    The file's own alignment is good, or there would be no crops; what can be wrong in one place, a lens correction or
    something that moved, changes from crop to crop but slowly.
    """
    windows = grid(_overlap(match), (options.crop, options.crop))
    if not windows:
        return []
    columns = len({window[1] for window in windows})
    crops = [_judge(match, divmod(k, columns), window, options) for k, window in enumerate(windows)]
    measured = [crop for crop in crops if crop.local is not None]
    return [crop if crop.local is not None or crop.fault else _settle(crop, measured) for crop in crops]


def overlap_size(match: Match) -> tuple[int, int]:
    """Return height and width of what both images show."""
    return _overlap(match)[2:]


def crop_members(match: Match, crop: Crop, key: str) -> Members:
    """Encode a crop as the members of a WebDataset sample."""
    assert match.srgb is not None
    top, left, height, width = crop.srgb
    srgb = np.ascontiguousarray(match.srgb[:, top : top + height, left : left + width])
    return pair_members(srgb, _packed(match, crop.raw), match.levels, _meta(match, crop, key))


def _overlap(match: Match) -> Window:
    """Return what both images show, on the mosaic and from its first red site on."""
    assert match.srgb is not None and match.alignment is not None
    shift, bounds = (match.alignment.dy, match.alignment.dx), []
    red = match.raw.cfa.index("R")
    for axis, phase in enumerate((red // 2, red % 2)):
        first = max(0, shift[axis])
        last = min(match.raw.mosaic.shape[axis], match.srgb.shape[1 + axis] + shift[axis])
        first += (phase - first) % 2
        bounds.append((first, max(last - first, 0)))
    (top, height), (left, width) = bounds
    return top, left, height, width


def _judge(match: Match, place: tuple[int, int], raw: Window, options: PairOptions) -> Crop:
    assert match.alignment is not None and match.lumas is not None
    top, left, height, width = raw
    srgb = (top - match.alignment.dy, left - match.alignment.dx, height, width)
    if _saturated(match, raw, srgb) > options.max_saturated:
        return Crop(*place, raw, srgb, None, "saturated")
    local = local_alignment(*match.lumas, match.alignment, srgb)
    fault = None
    if local is not None and local.score < MIN_SCORE:
        fault = "not alike"
    elif local is not None and local.residual_px > options.max_residual:
        fault = "misaligned"
    return Crop(*place, raw, srgb, local, fault)


def _saturated(match: Match, raw: Window, srgb: Window) -> float:
    """Return the share of saturated pixels, in the RAW or in the sRGB, whichever is larger."""
    assert match.srgb is not None
    levels = match.levels
    dn = match.raw.mosaic[raw[0] : raw[0] + raw[2], raw[1] : raw[1] + raw[3]]
    pixels = match.srgb[:, srgb[0] : srgb[0] + srgb[2], srgb[1] : srgb[1] + srgb[3]]
    on_sensor = (dn >= levels.black_level + _NEAR_WHITE * levels.range_dn).mean()
    return float(max(on_sensor, (pixels >= _NEAR_255).all(axis=0).mean()))


def _settle(crop: Crop, measured: Sequence[Crop]) -> Crop:
    distances = [max(abs(crop.row - other.row), abs(crop.column - other.column)) for other in measured]
    nearest = [other for other, d in zip(measured, distances, strict=True) if d == min(distances)]
    good = bool(nearest) and all(other.fault is None for other in nearest)
    return Crop(crop.row, crop.column, crop.raw, crop.srgb, None, None if good else "unchecked")


def _site_blacks(match: Match, raw: Window) -> list[int]:
    """Return the black level of a window's first four sites in reading order."""
    return [match.raw.black[(raw[0] + k // 2) % 2 * 2 + (raw[1] + k % 2) % 2] for k in range(4)]


def _packed(match: Match, raw: Window) -> NDArray[np.uint16]:
    """Return planes R, Gr, Gb, B, each raised to the common black level."""
    top, left, height, width = raw
    window = np.ascontiguousarray(match.raw.mosaic[top : top + height, left : left + width])
    planes = np.asarray(pack(torch.from_numpy(window)).numpy(), np.uint16)
    raised = [match.levels.black_level - black for black in _site_blacks(match, raw)]
    if not any(raised):
        return planes
    higher = planes.astype(np.int64) + np.array(raised)[:, None, None]
    return np.asarray(higher.clip(0, 2**match.levels.bits - 1), np.uint16)


def _meta(match: Match, crop: Crop, key: str) -> dict[str, Any]:
    raw, alignment, rendition = match.raw, match.alignment, match.rendition
    assert alignment is not None and rendition is not None
    known = {
        "camera": raw.camera,
        "iso": raw.iso,
        "exposure_s": raw.exposure_s,
        "white_balance": None if raw.white_balance is None else list(raw.white_balance),
        "cam_from_srgb": None if raw.cam_from_srgb is None else raw.cam_from_srgb.tolist(),
        "srgb_profile": rendition.profile,
    }
    return {
        "key": key,
        "scene": match.source.scene,
        **{name: value for name, value in known.items() if value is not None},
        "source": {"raw": match.source.path, "srgb": rendition.path},
        "srgb_source": rendition.source,
        "srgb_turn": match.turn,
        "crop": {"raw": list(crop.raw), "srgb": list(crop.srgb)},
        "sensor": {"cfa": raw.cfa, "black_level": _site_blacks(match, crop.raw)},
        "alignment": {**rounded(alignment), "local": None if crop.local is None else rounded(crop.local)},
    }


def rounded(alignment: Alignment) -> dict[str, Any]:
    """Return an alignment as a JSON object, to the figures that mean something."""
    return {
        "shift": [alignment.dy, alignment.dx],
        "score": round(alignment.score, 3),
        "residual_px": round(alignment.residual_px, 3),
    }
