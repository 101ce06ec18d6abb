"""Linear sRGB to camera RGB at the sites of a colour filter array, with gains inverted so that highlights stay.

Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3.2. A CFA site keeps one colour, so
it costs one row of the matrix and the luma that guards the highlights, never three colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.methods.base import MethodParams
from rawsynth.raw.cfa import color_indices

HIGHLIGHT_INFLECTION = 0.9
# Rounding of float32 sums cannot lift a grey value over the inflection from further below than this.
_ROUNDING = 1e-5
# Above this share of bright pixels, looking after each of them costs more than looking after all.
_FEW_BRIGHT = 0.15
# Pixels that eager code takes at once: few enough that what lies between its passes stays in cache, and enough to be
# worth the calls.
_BLOCK = 1 << 18


def site_colors(
    params: Sequence[MethodParams],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Resolve samples' colour and exposure to what each CFA site needs, in float64.

    Returns:
        ``cam_from_srgb`` ``(B, 3, 3)``; the row of it that each site keeps, ``(B, 4, 3)``; what each site is multiplied
        by, the inverse of its white-balance gain and of the exposure, ``(B, 4)``.
    """
    cam = np.array([p["cam_from_srgb"] for p in params], dtype=np.float64)
    colors = np.array([color_indices(p["cfa"]) for p in params])
    red, blue = np.array([p["white_balance"] for p in params], dtype=np.float64).T
    exposure = np.array([p["rgb_gain"] for p in params], dtype=np.float64)
    inverse = np.stack([1.0 / red, np.ones_like(red), 1.0 / blue], axis=1) / exposure[:, None]
    return cam, np.take_along_axis(cam, colors[:, :, None], axis=1), np.take_along_axis(inverse, colors, axis=1)


def sample_sites(
    image: Tensor, table: Tensor | None, rows: Tensor, luma: Tensor | None, gains: Tensor
) -> Tensor:
    """Take linear sRGB to camera RGB at the CFA's sites only, invert the gains and clip.

    Args:
        image: ``(B, 3, H, W)``: linear float32, or uint8 with ``table``.
        table: ``(256,)`` linear light of uint8 values, rising, or ``None``.
        rows: ``(B, 4, 3)``, the row of ``cam_from_srgb`` that each site keeps.
        luma: ``(B, 3)``, the mean of the three rows: the camera's grey value, for the highlight mask; ``None``:
            highlights are darkened like everything else.
        gains: ``(B, 4)``, what each site is multiplied by below the highlights.

    Returns:
        ``(B, 4, H/2, W/2)`` float32 in [0, 1].
    """
    if torch.compiler.is_compiling() or image.device.type != "cpu" or image.requires_grad:
        return _sample_all(image, table, rows, luma, gains)
    sites = torch.empty((image.shape[0], 4, image.shape[2] // 2, image.shape[3] // 2))
    for index in range(len(image)):
        if luma is None:
            _sample_below(image[index], table, rows[index], gains[index], sites[index])
            continue
        one = slice(index, index + 1)
        limit = _bright_limit(luma[index])
        brightest = image[index].amax(dim=0).numpy()
        bright = np.flatnonzero(brightest >= (limit if table is None else _code_of(limit, table)))
        if len(bright) > _FEW_BRIGHT * brightest.size:
            sites[one] = _sample_all(image[one], table, rows[one], luma[one], gains[one])
            continue
        _sample_below(image[index], table, rows[index], gains[index], sites[index])
        if len(bright):
            at = torch.from_numpy(bright)
            _sample_bright(image[index], table, rows[index], luma[index], gains[index], at, sites[index])
    return sites


def safe_inverse_gain(gray: Tensor, gain: Tensor) -> Tensor:
    """Blend an inverse gain towards 1 where the grey value passes 0.9, so that clipped highlights stay clipped."""
    mask = ((gray - HIGHLIGHT_INFLECTION) * (1.0 / (1.0 - HIGHLIGHT_INFLECTION))).clamp(min=0.0) ** 2
    return torch.maximum(mask + (1.0 - mask) * gain, gain)


def _sample_all(
    image: Tensor, table: Tensor | None, rows: Tensor, luma: Tensor | None, gains: Tensor
) -> Tensor:
    """All pixels alike: one expression a site, to be fused by a compiler."""
    planes = []
    for site in range(4):
        pixels = image[:, :, site // 2 :: 2, site % 2 :: 2]
        red, green, blue = (pixels[:, c] if table is None else table[pixels[:, c].int()] for c in range(3))
        row, gain = rows[:, site, :, None, None], gains[:, site, None, None]
        value = red * row[:, 0] + green * row[:, 1] + blue * row[:, 2]
        if luma is None:
            planes.append((value * gain).clamp(0.0, 1.0))
            continue
        gray = luma[:, :, None, None]
        level = red * gray[:, 0] + green * gray[:, 1] + blue * gray[:, 2]
        planes.append((value * safe_inverse_gain(level, gain)).clamp(0.0, 1.0))
    return torch.stack(planes, dim=1)


def _sample_below(image: Tensor, table: Tensor | None, rows: Tensor, gains: Tensor, out: Tensor) -> None:
    """One image ``(3, H, W)`` as if nothing passed the inflection, where the blended gain is the gain, exactly."""
    height = image.shape[1]
    step = 2 * max(1, _BLOCK // (2 * image.shape[2]))
    for top in range(0, height, step):
        columns = _even_and_odd_columns(image[:, top : top + step], table)
        block = out[:, top // 2 : (top + step) // 2]
        for site in range(4):
            red, green, blue = columns[site % 2][:, site // 2 :: 2]
            by_red, by_green, by_blue = rows[site].tolist()
            value = torch.mul(red, by_red, out=block[site]).add_(green * by_green).add_(blue * by_blue)
            value.mul_(gains[site]).clamp_(0.0, 1.0)


def _sample_bright(
    image: Tensor, table: Tensor | None, rows: Tensor, luma: Tensor, gains: Tensor, at: Tensor, out: Tensor
) -> None:
    """Those pixels of the image at which a highlight may be, by their places in ``(H, W)``."""
    _, height, width = image.shape
    y, x = at // width, at % width
    site = y % 2 * 2 + x % 2
    # index_select, because indexing by a tensor takes three times as long.
    pixels = image.reshape(3, -1).index_select(1, at)
    red, green, blue = pixels if table is None else table.index_select(0, pixels.view(-1).int()).view(3, -1)
    row, gain = rows.T.index_select(1, site), gains.index_select(0, site)
    value = red * row[0] + green * row[1] + blue * row[2]
    level = red * luma[0] + green * luma[1] + blue * luma[2]
    value = (value * safe_inverse_gain(level, gain)).clamp_(0.0, 1.0)
    out.view(-1).index_copy_(0, (site * (height // 2) + y // 2) * (width // 2) + x // 2, value)


def _even_and_odd_columns(image: Tensor, table: Tensor | None) -> tuple[Tensor, Tensor]:
    """Linear light of the even and the odd columns, each ``(3, H, W/2)``."""
    if table is None:
        return image[..., ::2], image[..., 1::2]
    # Two bytes side by side are one number of 16 bits, which is taken apart much faster than every other byte is read.
    pairs = image.contiguous().numpy().view("<u2")
    codes = np.empty((2, *pairs.shape), np.int32)
    np.bitwise_and(pairs, 255, out=codes[0], casting="unsafe")
    np.right_shift(pairs, 8, out=codes[1], casting="unsafe")
    linear = table.index_select(0, torch.from_numpy(codes).view(-1)).view(codes.shape)
    return linear[0], linear[1]


def _bright_limit(luma: Tensor) -> float:
    """Linear light that a pixel's brightest colour has at least where the grey value passes the inflection."""
    weights = luma.double()
    most = float(weights.clamp(min=0.0).sum())
    return (HIGHLIGHT_INFLECTION - _ROUNDING * float(weights.abs().sum())) / most if most > 0 else float("inf")


def _code_of(limit: float, table: Tensor) -> int:
    """The first code whose linear light is at least ``limit``; 256 if none is."""
    return int(np.searchsorted(table.numpy(), limit))
