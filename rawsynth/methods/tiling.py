"""Large images through a network that reads a style once: tiles with a halo, all with the style of the frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from rawsynth.methods.learned import StyledNetwork


@dataclass(frozen=True)
class Tiling:
    """When and how images are cut.

    Attributes:
        whole_pixels: images of up to so many pixels go through the network in one piece.
        tile: side of a tile's inner part, a multiple of 16.
        thumbnail: longer side of the image that the style of a cut one is read from.
    """

    whole_pixels: int = 1 << 21
    tile: int = 1024
    thumbnail: int = 512

    def __post_init__(self) -> None:
        if self.tile < 16 or self.tile % 16 or self.thumbnail < 2:
            raise UsageError(f"tiles have sides of a multiple of 16, thumbnails of at least 2; got {self}.")


def run_tiled(network: StyledNetwork, run: Any, srgb: Tensor, tiling: Tiling) -> Tensor:
    """Run a network over images of any size in bounded memory.

    Images of up to ``tiling.whole_pixels`` take the direct way. Of larger ones the style is read once from a
    thumbnail and the network then runs tile by tile with that style. What is approximated is the style alone: the
    statistics of a thumbnail (area-averaged, in sRGB) are not those of the full frame, whose fine detail has more
    variance. Given the style, tiles are exact: they reach :attr:`StyledNetwork.halo` pixels beyond what is kept of
    them, and padding is that of the whole frame.

    Args:
        network: for its style, strides and halo.
        run: the network's forward, compiled or not.
        srgb: ``(B, 3, H, W)`` float in [0, 1].
        tiling: sizes.

    Returns:
        ``(B, 4, H/2, W/2)``, not clamped.
    """
    height, width = srgb.shape[-2:]
    if height * width <= tiling.whole_pixels:
        # Padded and laid out outside of what may be compiled, which so needs few graphs for many sizes.
        packed: Tensor = run(network.pad(srgb).contiguous(memory_format=torch.channels_last))
        return packed[..., : height // 2, : width // 2]
    return decode_tiled(network, srgb, network.encode_style(thumbnail(srgb, tiling.thumbnail)), tiling.tile)


def thumbnail(srgb: Tensor, longer: int) -> Tensor:
    """Area-average ``(B, 3, H, W)`` until its longer side is ``longer``, sides even; smaller images stay."""
    height, width = srgb.shape[-2:]
    shrink = longer / max(height, width)
    if shrink >= 1:
        return srgb
    return F.interpolate(srgb, size=[max(2, 2 * round(side * shrink / 2)) for side in (height, width)], mode="area")


def decode_tiled(network: StyledNetwork, srgb: Tensor, style: Any, tile: int) -> Tensor:
    """Apply a style tile by tile; equal to ``network.decode(srgb, style)`` up to rounding."""
    height, width = srgb.shape[-2:]
    rows, columns = network.padded_size(height, width)
    out: Tensor | None = None
    for top, bottom in _spans(rows, tile, network):
        for left, right in _spans(columns, tile, network):
            (y0, y1), (x0, x1) = _outer(top, bottom, rows, network), _outer(left, right, columns, network)
            packed = network.decode(_window(srgb, y0, y1, x0, x1), style)
            inner = packed[..., (top - y0) // 2 : (bottom - y0) // 2, (left - x0) // 2 : (right - x0) // 2]
            if out is None:
                out = inner.new_empty(*inner.shape[:-2], rows // 2, columns // 2)
            out[..., top // 2 : bottom // 2, left // 2 : right // 2] = inner
    assert out is not None
    return out[..., : height // 2, : width // 2]


def _spans(side: int, tile: int, network: StyledNetwork) -> Iterator[tuple[int, int]]:
    """Cut ``side`` into inner parts that begin at multiples of the stride."""
    starts = range(0, side, tile)
    for start in starts:
        yield start, min(start + tile, side)


def _outer(start: int, stop: int, side: int, network: StyledNetwork) -> tuple[int, int]:
    """Add the halo, at a size that the network takes without padding."""
    outer_start = max(0, start - network.halo)
    wanted = stop + network.halo - outer_start
    return outer_start, min(side, outer_start + network.padded_size(wanted, wanted)[0])


def _window(srgb: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Cut a window of the frame as it is padded by reflection at its right and its bottom."""
    rows, columns = (
        _reflected(start, stop, side, srgb.device)
        for start, stop, side in ((top, bottom, srgb.shape[-2]), (left, right, srgb.shape[-1]))
    )
    if bottom <= srgb.shape[-2] and right <= srgb.shape[-1]:
        return srgb[..., top:bottom, left:right]
    return srgb[..., rows, :][..., columns]


def _reflected(start: int, stop: int, side: int, device: torch.device) -> Tensor:
    index = torch.arange(start, stop, device=device) % (2 * (side - 1))
    return torch.minimum(index, 2 * (side - 1) - index)
