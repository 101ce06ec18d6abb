"""Large images through a network that reads a style once: tiles with a halo, all with the style of the frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    def outer(start: int, stop: int, side: int) -> tuple[int, int]:
        """Add the halo, at a size that the network takes without padding."""
        first = max(0, start - network.halo)
        wanted = stop + network.halo - first
        return first, min(side, first + network.padded_size(wanted, wanted)[0])

    packed = stitch(
        lambda box: network.decode(_window(srgb, *box), style), rows, columns, tile=tile, outer=outer, shrink=2
    )
    return packed[..., : height // 2, : width // 2]


def apply_tiled(
    run: Callable[[Tensor], Tensor], frame: Tensor, *, tile: int, halo: int, shrink: int = 2
) -> Tensor:
    """Apply a local function to a frame tile by tile, in memory that a tile bounds.

    Args:
        run: maps ``(B, C, h, w)`` to ``(B, D, h / shrink, w / shrink)``; a value looks at most ``halo`` pixels away,
            and what it takes from beyond a window's right or bottom is decided by the window's last rows and columns.
        frame: ``(B, C, H, W)``, of any type.
        tile: side of what is kept of a window.
        halo: by how much a window is larger; with ``tile`` a multiple of the strides in ``run``.
        shrink: 2 where ``run`` gives packed RAW, 1 where it keeps the resolution.

    Returns:
        ``run(frame)``, up to rounding.
    """
    height, width = frame.shape[-2:]

    def outer(start: int, stop: int, side: int) -> tuple[int, int]:
        return max(0, start - halo), min(side, stop + halo)

    return stitch(
        lambda box: run(frame[..., box[0] : box[1], box[2] : box[3]]),
        height,
        width,
        tile=tile,
        outer=outer,
        shrink=shrink,
    )


def stitch(
    run: Callable[[tuple[int, int, int, int]], Tensor],
    height: int,
    width: int,
    *,
    tile: int,
    outer: Callable[[int, int, int], tuple[int, int]],
    shrink: int,
) -> Tensor:
    """Lay the inner parts of windows side by side.

    Args:
        run: makes the result of a window ``(top, bottom, left, right)``, sides divided by ``shrink``.
        height, width: of the frame; multiples of ``shrink``, as ``tile`` is.
        tile: side of an inner part.
        outer: from where to where the window reaches for the inner part ``(start, stop)`` of a side of that length.
        shrink: pixels a value of the result, along each side.
    """
    out: Tensor | None = None
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            (y0, y1), (x0, x1) = outer(top, bottom, height), outer(left, right, width)
            made = run((y0, y1, x0, x1))
            inner = made[..., _part(top - y0, bottom - y0, shrink), _part(left - x0, right - x0, shrink)]
            if out is None:
                out = inner.new_empty(*inner.shape[:-2], height // shrink, width // shrink)
            out[..., _part(top, bottom, shrink), _part(left, right, shrink)] = inner
    assert out is not None
    return out


def _spans(side: int, tile: int) -> Iterator[tuple[int, int]]:
    """Cut ``side`` into inner parts that begin at multiples of the tile."""
    for start in range(0, side, tile):
        yield start, min(start + tile, side)


def _part(start: int, stop: int, shrink: int) -> slice:
    return slice(start // shrink, stop // shrink)


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
