"""All three colours at every site: the target of networks that denoise and demosaic at once.

Camera RGB on the scale of the clean RAW, neither white-balanced nor turned to sRGB: sampled at the sites of the CFA, it
is the clean RAW, bit for bit, so one target serves whatever a network is to learn beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rawsynth.raw.cfa import color_indices, unpack
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import quantize
from rawsynth.raw.rendering import demosaic

LINEAR_MEMBER = "linear.npy"


def linear_of_layouts(stored: Tensor, cfas: Sequence[str], remake: Callable[[list[str]], Tensor]) -> Tensor:
    """Ask a reverse ISP for all four layouts: together they have every colour at every site, before any mosaic.

    Args:
        stored: ``(B, 4, h, w)`` DN of the clean RAW in its own layouts.
        cfas: those layouts.
        remake: returns the DN for other layouts, of the same parameters.

    Returns:
        ``(B, 3, 2h, 2w)`` DN.
    """
    batch, _, height, width = stored.shape
    out = stored.new_empty((batch, 3, 2 * height, 2 * width))
    # Green is met twice; what the RAW itself has comes last and stays.
    for turn in (3, 2, 1, 0):
        layouts = [_turned(cfa, turn) for cfa in cfas]
        _place(out, remake(layouts) if turn else stored, layouts)
    return out


def linear_of_mosaic(stored: Tensor, raw: RawImage, levels: Levels) -> Tensor:
    """Interpolate what a sensor recorded bilinearly; see :func:`linear_of_layouts`.

    Args:
        stored: ``(B, 4, h, w)`` DN of the clean RAW.
        raw: the same on the unit scale.
        levels: of the DN.
    """
    cfas = [str(cfa) for cfa in raw.metadata.cfa]
    pictures = [demosaic(unpack(packed), cfa) for packed, cfa in zip(raw.packed, cfas, strict=True)]
    out = quantize(torch.stack(pictures), levels)
    _place(out, stored, cfas)
    return out


def _turned(cfa: str, turn: int) -> str:
    """Exchange the columns of a layout (1), its rows (2) or both (3).

    >>> [_turned("RGGB", turn) for turn in range(4)]
    ['RGGB', 'GRBG', 'GBRG', 'BGGR']
    """
    return "".join(cfa[site ^ turn] for site in range(4))


def _place(out: Tensor, stored: Tensor, cfas: Sequence[str]) -> None:
    for image, planes, cfa in zip(out, stored, cfas, strict=True):
        for site, color in enumerate(color_indices(cfa)):
            image[color, site // 2 :: 2, site % 2 :: 2] = planes[site]
