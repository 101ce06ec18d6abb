"""Unprocessing: sRGB to RAW by inverting a generic ISP with random parameters.

Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3.2, in the order and with the
constants of its reference implementation (Apache-2.0): inverse smoothstep tone curve, gamma expansion, colour matrix,
inverse gains that spare highlights, clip to [0, 1], mosaic.

Two facts make it fast. Tone and gamma act on single values, so a table of 256 entries serves uint8 input. A CFA site
keeps one colour, so a site costs one row of the matrix and the luma that guards the highlights, never three colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.methods.base import MethodFacts, MethodParams, ReverseMethod
from rawsynth.methods.site_sampling import sample_sites
from rawsynth.raw.cfa import color_indices
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

GAMMA = 2.2

# XYZ to camera RGB of the four cameras of the Darmstadt Noise Dataset.
DND_CAM_FROM_XYZ = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)


def random_cam_from_srgb(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mix the four cameras' matrices with weights ``U(1e-8, 1e8)`` over their sum, and divide rows by their sums."""
    weights = rng.uniform(1e-8, 1e8, size=4)
    cam_from_xyz = np.tensordot(weights / weights.sum(), DND_CAM_FROM_XYZ, axes=1)
    cam_from_srgb = cam_from_xyz @ XYZ_FROM_SRGB
    return np.asarray(cam_from_srgb / cam_from_srgb.sum(axis=1, keepdims=True))


def random_gains(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw ``rgb_gain = 1 / N(0.8, 0.1)``, ``red ~ U(1.9, 2.4)`` and ``blue ~ U(1.5, 1.9)``."""
    return 1.0 / rng.normal(0.8, 0.1), rng.uniform(1.9, 2.4), rng.uniform(1.5, 1.9)


def inverse_smoothstep(srgb: Tensor) -> Tensor:
    """Invert the tone curve ``3 y**2 - 2 y**3``: ``y = 0.5 - sin(asin(1 - 2 x) / 3)`` for x clipped to [0, 1].

    Evaluated as ``sin(b)**2 + sqrt(3) sin(b) cos(b)`` with ``b = asin(sqrt(x)) / 3`` on the lower half and by symmetry
    on the upper: the same function without the cancellation that costs the published form three digits in float32 near
    0 and 1. The slope is infinite at both ends.
    """
    x = srgb.clamp(0.0, 1.0)
    upper = x > 0.5
    lower_half = torch.where(upper, 1.0 - x, x)
    angle = torch.asin(torch.sqrt(lower_half)) * (1.0 / 3.0)
    sine = torch.sin(angle)
    y = sine * sine + math.sqrt(3.0) * sine * torch.cos(angle)
    return torch.where(upper, 1.0 - y, y)


def gamma_expansion(values: Tensor) -> Tensor:
    """Convert to linear light by the pure power ``max(y, 1e-8)**2.2``."""
    # Not `**`: its vectorised body and its scalar tail differ in the last bit, so a batch would not equal its images.
    return torch.exp(GAMMA * torch.log(values.clamp(min=1e-8)))


def linearize(srgb: Tensor) -> Tensor:
    """Undo tone curve and gamma of float sRGB in [0, 1]: in float32, or in float64 if the input has it; float32 out."""
    precise = srgb if srgb.dtype == torch.float64 else srgb.to(torch.float32)
    return gamma_expansion(inverse_smoothstep(precise)).to(torch.float32)


def linear_table() -> Tensor:
    """Return linear light of the 256 uint8 sRGB values, float32, computed in float64."""
    return gamma_expansion(inverse_smoothstep(torch.arange(256, dtype=torch.float64) / 255.0)).to(torch.float32)


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


class Unprocess(ReverseMethod):
    """Brooks et al.'s unprocessing; needs no weights."""

    name: ClassVar[str] = "unprocess"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="a generic ISP undone by formula, with random colour and exposure",
        source="Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019",
        licence="Apache-2.0",
    )
    version = "1"
    ignores_batch: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        # Not a buffer: casting the model around it to half would cast the table too.
        self._tables = {torch.device("cpu"): linear_table()}
        self._linearize: Callable[[Tensor], Tensor] = linearize
        self._sample_sites: Callable[..., Tensor] = sample_sites

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one sample's parameters by the paper's law."""
        cam_from_srgb = random_cam_from_srgb(rng)
        rgb_gain, red_gain, blue_gain = random_gains(rng)
        return {"cam_from_srgb": cam_from_srgb.tolist(), "white_balance": [red_gain, blue_gain], "rgb_gain": rgb_gain}

    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Resolve each sample's CFA to a matrix row and a gain a site; float64 until the last step."""
        cam, rows, gains = site_colors(params)
        host = {"rows": rows, "luma": cam.mean(axis=1), "gains": gains}
        return {k: torch.from_numpy(v.astype(np.float32)).to(device, non_blocking=True) for k, v in host.items()}

    def forward(self, srgb: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        """Unprocess a batch; see :meth:`ReverseMethod.forward`."""
        if srgb.dtype == torch.uint8:
            if srgb.device not in self._tables:
                self._tables[srgb.device] = self._tables[torch.device("cpu")].to(srgb.device)
            table = self._tables[srgb.device]
            return self._sample_sites(srgb, table, tensors["rows"], tensors["luma"], tensors["gains"])
        if not srgb.is_floating_point():
            raise UsageError(f"sRGB is uint8, or float in [0, 1]; got {srgb.dtype}.")
        # Two kernels: fused into the strided sampling, the transcendental tone curve would not vectorise.
        return self._sample_sites(self._linearize(srgb), None, tensors["rows"], tensors["luma"], tensors["gains"])

    def compile_kernels(self, dynamic: bool | None = None) -> None:
        """Compile the two device functions; the dtype branch stays outside."""
        self._linearize = torch.compile(linearize, dynamic=dynamic)
        # A uint8 cannot leave a table of 256, so the generated bounds checks are left out.
        options: dict[str, Any] = {"assert_indirect_indexing": False}
        self._sample_sites = torch.compile(sample_sites, dynamic=dynamic, options=options)
