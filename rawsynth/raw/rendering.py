"""RAW to sRGB, for eyes: good enough to judge a picture, not a camera's ISP."""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.raw.cfa import unpack
from rawsynth.raw.image import RawImage

# kornia follows OpenCV, which names a layout after the second row's second and third site.
_KORNIA_NAMES = {"RGGB": "BG", "GRBG": "GB", "BGGR": "RG", "GBRG": "GR"}


def render(raw: RawImage, *, exposure: bool = True) -> Tensor:
    """Develop RAW: white balance, bilinear demosaic, inverse colour matrix, exposure, tone curve.

    The tone curve is the one that ``unprocess`` inverts: gamma 1/2.2 and ``3 y**2 - 2 y**3``.

    Args:
        raw: one image or a batch of leading shape ``(B,)``.
        exposure: multiply by the metadata's ``rgb_gain``, which undoes what the reverse ISP divided by.

    Returns:
        ``(..., 3, H, W)`` float32 sRGB in [0, 1].
    """
    if not raw.is_batched:
        return render(RawImage.stack([raw]), exposure=exposure)[0]
    return torch.stack([_render_one(image, exposure) for image in raw])


def _render_one(raw: RawImage, exposure: bool) -> Tensor:
    meta = raw.metadata
    assert isinstance(meta.cfa, str)
    balanced = raw.packed.float() * _plane_gains(meta.cfa, meta.white_balance)[:, None, None]
    rgb = demosaic(unpack(balanced.clamp(0.0, 1.0)), meta.cfa)
    linear = torch.einsum("ij,jhw->ihw", torch.linalg.inv(meta.cam_from_srgb), rgb)
    if exposure:
        linear = linear * meta.rgb_gain
    y = linear.clamp(1e-8, 1.0) ** (1.0 / 2.2)
    return (3.0 - 2.0 * y) * y * y


def demosaic(mosaic: Tensor, cfa: str) -> Tensor:
    """Interpolate a mosaic ``(H, W)`` bilinearly to ``(3, H, W)``."""
    # Imported here: kornia takes a second to load and only pictures need it.
    from kornia.color import raw as kornia_raw

    layout = getattr(kornia_raw.CFA, _KORNIA_NAMES[cfa])
    return kornia_raw.raw_to_rgb(mosaic[None, None], layout)[0]


def _plane_gains(cfa: str, white_balance: Tensor) -> Tensor:
    red, blue = white_balance
    return torch.stack([{"R": red, "G": torch.ones_like(red), "B": blue}[color] for color in cfa])
