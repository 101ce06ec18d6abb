"""Reverse ISPs whose way back to light is one fixed curve of single values, followed by a camera's physics.

Two facts make them fast. A curve acts on single values, so a table of 256 entries serves uint8 input. A CFA site keeps
one colour, so a site costs one row of the matrix, never three colours.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.methods.base import MethodParams, ReverseMethod
from rawsynth.methods.drawn_camera import draw_camera
from rawsynth.methods.site_sampling import sample_sites, site_colors


def table_of(curve: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a curve's values for the 256 codes of uint8, float32, computed in float64."""
    return curve(torch.arange(256, dtype=torch.float64) / 255.0).to(torch.float32)


class FixedCurveMethod(ReverseMethod):
    """Reverse ISP by a fixed curve and known physics: matrix, white balance, exposure, saturation, mosaic.

    Without colour from the caller a built-in camera and a light are drawn, as for ``rst_isp_net_small``; the exposure
    stays as it is. Highlights are darkened like everything else: what the picture clipped lies below saturation where
    the gains say so.
    """

    ignores_batch: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        # Not a buffer: casting the model around it to half would cast the table too.
        self._tables = {torch.device("cpu"): table_of(self.curve)}
        self._curve: Callable[[Tensor], Tensor] = self.curve
        self._sample_sites: Callable[..., Tensor] = sample_sites

    @staticmethod
    @abstractmethod
    def curve(srgb: Tensor) -> Tensor:
        """Turn float sRGB, clipped to [0, 1], into linear light, computed in float64 if the input has it; float32."""

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the colour of a built-in camera under a light."""
        return draw_camera(rng)

    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Resolve each sample's CFA to a matrix row and a gain a site; float64 until the last step."""
        _, rows, gains = site_colors(params)
        host = {"rows": rows, "gains": gains}
        return {k: torch.from_numpy(v.astype(np.float32)).to(device, non_blocking=True) for k, v in host.items()}

    def forward(self, srgb: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        """Reverse the ISP; see :meth:`ReverseMethod.forward`."""
        sites = (tensors["rows"], tensors.get("luma"), tensors["gains"])
        if srgb.dtype == torch.uint8:
            if srgb.device not in self._tables:
                self._tables[srgb.device] = self._tables[torch.device("cpu")].to(srgb.device)
            return self._sample_sites(srgb, self._tables[srgb.device], *sites)
        if not srgb.is_floating_point():
            raise UsageError(f"sRGB is uint8, or float in [0, 1]; got {srgb.dtype}.")
        # Two kernels: fused into the strided sampling, the transcendental curve would not vectorise.
        return self._sample_sites(self._curve(srgb), None, *sites)

    def compile_kernels(self, dynamic: bool | None = None) -> None:
        """Compile the two device functions; the dtype branch stays outside."""
        self._curve = torch.compile(self.curve, dynamic=dynamic)
        # A uint8 cannot leave a table of 256, so the generated bounds checks are left out.
        options: dict[str, Any] = {"assert_indirect_indexing": False}
        self._sample_sites = torch.compile(sample_sites, dynamic=dynamic, options=options)
