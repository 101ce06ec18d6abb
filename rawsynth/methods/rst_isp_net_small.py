"""rst_isp_net_small: sRGB of any camera to scene-linear light, in 10 GMAC at most; what is packaged and the default.

::

    frame --> StyleEncoder --> code --+--> GlobalInverse.parameters_of --> numbers
                                      |                                      |
    tile ---------------------------- | ------------------> GlobalInverse ---+--> estimate --+--> scene-linear RGB
                                      +--> LocalResidual(tile, estimate, code) --------------+

The style is read from the frame once; with it, everything is local. The output is no camera's RAW: it is linear light
in sRGB's primaries, white-balanced, 1 where the sensor's green saturates. Known physics makes RAW of it
(:mod:`rawsynth.methods.scene_linear`), so one set of weights serves all cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rawsynth.methods.base import MethodFacts
from rawsynth.methods.global_inverse import GlobalInverse, expand
from rawsynth.methods.learned import reflect_pad
from rawsynth.methods.local_residual import LocalResidual, join_sites, split_sites
from rawsynth.methods.scene_linear import SceneLinearMethod
from rawsynth.methods.style_encoder import StyleEncoder


@dataclass(frozen=True)
class Style:
    """What a frame says about the ISP that made it.

    Attributes:
        code: ``(B, code)`` for the local part.
        numbers: ``(B, length)`` for the global part, see :class:`GlobalInverse`.
    """

    code: Tensor
    numbers: Tensor


class SceneLinearNet(nn.Module):
    """Maps sRGB to scene-linear RGB; ``forward(x)`` equals ``decode(x, encode_style(x))``.

    Args:
        code: length of the style code.
        knots: of each channel's global curve.
        hidden: width of the global part's pointwise network.
        widths, blocks: of the local part, by level.
        local: whether there is a local part.
    """

    def __init__(
        self,
        code: int = 128,
        knots: int = 24,
        hidden: int = 24,
        widths: Sequence[int] = (24, 48, 96),
        blocks: Sequence[int] = (1, 1, 3),
        local: bool = True,
    ) -> None:
        super().__init__()
        self.style = StyleEncoder(code=code)
        self.globally = GlobalInverse(code, knots, hidden)
        self.locally = LocalResidual(code, widths, blocks) if local else None
        self.stride = self.locally.stride if self.locally is not None else 1
        self.halo = self.locally.halo if self.locally is not None else 0

    def encode_style(self, frame: Tensor) -> Style:
        """Read the style of frames ``(B, 3, H, W)``, float sRGB in [0, 1], of any size."""
        code = self.style(frame).float()
        return Style(code, self.globally.parameters_of(code))

    def decode(self, tile: Tensor, style: Style) -> Tensor:
        """Map sRGB to scene-linear RGB with a given style.

        Args:
            tile: ``(B, 3, H, W)`` float in [0, 1], or uint8.
            style: of the frame that the tile belongs to.

        Returns:
            ``(B, 3, H, W)`` float32, 0 and up, 1 where green saturates.
        """
        height, width = tile.shape[-2:]
        return join_sites(self._padded_light(tile, style))[..., :height, :width]

    def decode_sites(self, tile: Tensor, style: Style) -> Tensor:
        """Map sRGB to scene-linear RGB, arranged as packed RAW is, which spares a pass for those who make RAW of it.

        Args:
            tile: ``(B, 3, H, W)`` float in [0, 1], or uint8; H and W even.
            style: of the frame that the tile belongs to.

        Returns:
            ``(B, 3, 4, H/2, W/2)`` float32, 0 and up, 1 where green saturates: the colours of each site of a 2x2 cell.
        """
        height, width = tile.shape[-2:]
        return self._padded_light(tile, style)[..., : height // 2, : width // 2]

    def _padded_light(self, tile: Tensor, style: Style) -> Tensor:
        height, width = tile.shape[-2:]
        stride = max(self.stride, 2)
        pixels = tile if tile.dtype == torch.uint8 else tile.float()
        padded = reflect_pad(pixels, 0, -height % stride, 0, -width % stride)
        one_by_one = len(tile) > 1 and tile.device.type == "cpu"
        if not one_by_one or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._light(padded, style)
        # What one image needs stays in a cache, and a style's scales fold into its weights.
        rows = zip(padded, style.code, style.numbers, strict=True)
        return torch.cat([self._light(image[None], Style(code[None], numbers[None])) for image, code, numbers in rows])

    def _light(self, tile: Tensor, style: Style) -> Tensor:
        sites = split_sites(tile)
        estimate = self.globally(sites, style.numbers)
        if self.locally is None:
            return expand(estimate)
        srgb = sites / 255 if sites.dtype == torch.uint8 else sites
        return expand(estimate + self.locally(srgb, estimate, style.code))

    def forward(self, srgb: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` float sRGB in [0, 1] to scene-linear RGB of the same shape."""
        return self.decode(srgb, self.encode_style(srgb))


class RstIspNetSmall(SceneLinearMethod):
    """The small network as a reverse ISP; its weights come with the package."""

    name: ClassVar[str] = "rst_isp_net_small"
    facts: ClassVar[MethodFacts] = MethodFacts(
        summary="scene-linear light estimated from any photograph, then physics for any camera",
        source="this project, after Kinli et al. 2022; docs/rst-isp-net-small.md",
        licence="this project's own",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    network_class: ClassVar[type[nn.Module]] = SceneLinearNet
