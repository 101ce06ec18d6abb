"""What counts as an sRGB image, a batch of them, and the frames that they were cut from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rawsynth.errors import UsageError

# Resizing overshoots black and white a little; 0 to 255, and what was normalised to -1 to 1, do so by far.
_DARKEST, _BRIGHTEST = -0.5, 2.0


def check_srgb(srgb: Tensor) -> None:
    """Raise UsageError unless this is an sRGB image or batch with even sides."""
    if not isinstance(srgb, Tensor) or srgb.dim() < 3 or srgb.shape[-3] != 3:
        what = tuple(srgb.shape) if isinstance(srgb, Tensor) else type(srgb).__name__
        raise UsageError(f"sRGB is a tensor (..., 3, H, W); got {what}.{_way_to_planes(srgb)}")
    if srgb.dtype != torch.uint8 and not srgb.is_floating_point():
        raise UsageError(f"sRGB is uint8, or float in [0, 1]; got {srgb.dtype}.")
    if 0 in srgb.shape:
        raise UsageError(f"there is no image in an empty tensor; got {tuple(srgb.shape)}.")
    if srgb.shape[-2] % 2 or srgb.shape[-1] % 2:
        raise UsageError(f"a mosaic has even sides; got {srgb.shape[-2]}x{srgb.shape[-1]}. Crop one row or column.")
    if _is_seen(srgb):
        _check_range(*(float(end) for end in srgb.detach().aminmax()))


def _check_range(least: float, most: float) -> None:
    # NaN passes: it stays in its own image, where it is seen.
    if most > _BRIGHTEST:
        raise UsageError(f"float sRGB lies in [0, 1]; got values up to {most:g}. Divide them by 255.")
    if least < _DARKEST:
        raise UsageError(f"float sRGB lies in [0, 1]; got values down to {least:g}. Undo their normalisation first.")


def _way_to_planes(given: object) -> str:
    """How the usual other forms of a picture become planes."""
    if isinstance(given, Tensor):
        return " Channels come first: image.permute(2, 0, 1)." if given.dim() == 3 and given.shape[-1] == 3 else ""
    return " An array (H, W, 3): torch.from_numpy(array).permute(2, 0, 1); a PIL image: numpy.array(image) first."


def _is_seen(srgb: Tensor) -> bool:
    """Whether values can be looked at for little: to ask a GPU would wait for it, and a compiler has none."""
    return srgb.is_floating_point() and srgb.device.type == "cpu" and not torch.compiler.is_compiling()


def check_frame(frame: Tensor, lead: Sequence[int]) -> None:
    """Raise UsageError unless there is one sRGB frame an image, of any size."""
    fits = isinstance(frame, Tensor) and frame.dim() >= 3 and (*frame.shape[:-3], frame.shape[-3]) == (*lead, 3)
    if not fits or (frame.dtype != torch.uint8 and not frame.is_floating_point()) or 0 in frame.shape:
        what = f"{frame.dtype} {tuple(frame.shape)}" if isinstance(frame, Tensor) else type(frame).__name__
        raise UsageError(f"frame is sRGB like the images, {(*lead, 3)} by any height and width; got {what}.")
