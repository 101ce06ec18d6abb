"""RAW images as notebooks show them: rendered, small, with their names under them."""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import Panel, compose, encode_png, picture
from rawsynth.raw.rendering import render

_MOST_SHOWN, _SINGLE_PX, _STRIP_PX, _NARROWEST_PX = 8, 384, 192, 150
# A panorama would make a strip of any width.
_WIDEST = 4


def encode_shown(raw: RawImage) -> bytes | None:
    """Render an image, or the first eight of a batch in a row, as a PNG of bounded size.

    Args:
        raw: on any device, with any leading shape.

    Returns:
        The PNG; ``None`` where there are no pixels to show: an empty batch, or tensors without values.
    """
    if raw.packed.numel() == 0 or raw.device.type == "meta":
        return None
    lead = raw.packed.shape[:-3]
    shown = first_images(raw)
    height = _SINGLE_PX if not lead else _STRIP_PX
    panels = [_panel(image, height) for image in shown]
    left_out = lead.numel() - len(shown)
    if left_out > 0:
        last = panels[-1]
        panels[-1] = Panel(last.image, last.title, f"{last.detail}, and {left_out} more")
    return encode_png(compose([panels], height, min_width=_NARROWEST_PX))


def first_images(raw: RawImage) -> list[RawImage]:
    """Return the first images of a batch of any leading shape, on the CPU; the image itself where it is one."""
    while raw.packed.dim() > 4:
        raw = raw[0]
    # Before it is moved: a batch on a GPU may be large.
    return [image.cpu() for image in raw[:_MOST_SHOWN]] if raw.is_batched else [raw.cpu()]


def shrink_packed(packed: Tensor, most: int) -> Tensor:
    """Average squares of sites of each plane until no side of ``(4, h, w)`` exceeds ``most``; the CFA stays.

    >>> shrink_packed(torch.arange(16.0).reshape(1, 4, 4).expand(4, 4, 4), 2)[0]
    tensor([[ 2.5000,  4.5000],
            [10.5000, 12.5000]])
    """
    height, width = packed.shape[-2:]
    factor = -(-max(height, width) // most)
    down, across = min(factor, height), min(factor, width)
    if factor <= 1:
        return packed
    rows, columns = height // down, width // across
    cut = packed[..., : rows * down, : columns * across]
    return cut.reshape(*packed.shape[:-2], rows, down, columns, across).mean(dim=(-3, -1))


def _panel(raw: RawImage, height: int) -> Panel:
    meta = raw.metadata
    sensor_height, sensor_width = (2 * side for side in raw.packed.shape[-2:])
    small = shrink_packed(torch.nan_to_num(raw.packed.float()), _WIDEST * height // 2)
    image = picture(render(RawImage(small, meta)), height, smooth=True)
    image = image.crop((0, 0, min(image.width, _WIDEST * height), height))
    iso = f", ISO {float(meta.iso):.0f}" if meta.iso is not None and float(meta.iso) > 0 else ""
    added = getattr(meta.noise, "model", None) or ("noisy" if meta.shot is not None else "no noise recorded")
    detail = f"{meta.cfa} {sensor_width} x {sensor_height}, {added}"
    return Panel(image, f"{meta.camera or meta.method or 'RAW'}{iso}", detail)
