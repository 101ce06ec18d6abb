"""Reverse ISPs that estimate scene-linear light and make RAW of any camera from it by known physics.

The network knows no camera. What it estimates is linear light in sRGB's primaries, white-balanced (a grey object is
grey), 1 where the green channel of the sensor saturates; red and blue of bright surfaces may be more. The rest is what
a sensor does, in this order: exposure, the camera's matrix, the inverse of its white balance, saturation, the mosaic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.methods import weights as weights_module
from rawsynth.methods.base import MethodParams
from rawsynth.methods.drawn_camera import draw_camera
from rawsynth.methods.learned import NetworkMethod
from rawsynth.methods.site_sampling import site_colors
from rawsynth.methods.style_encoder import sample_grid
from rawsynth.methods.tiling import Tiling, apply_tiled
from rawsynth.methods.weights import ModelCard

if TYPE_CHECKING:
    from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
    from rawsynth.methods.style_file import FittedStyle


def sensor_sites(params: Sequence[MethodParams]) -> Tensor:
    """Return what each CFA site makes of linear light: ``(B, 4, 3)`` float32, colour, gain and exposure in one."""
    _, rows, gains = site_colors(params)
    return torch.from_numpy((rows * gains[:, :, None]).astype(np.float32))


def sample_sensor(light: Tensor, sites: Tensor) -> Tensor:
    """Expose a sensor to scene-linear light: each CFA site's colour, between black and saturation.

    Args:
        light: ``(B, 3, 4, h, w)`` linear light in sRGB's primaries, white-balanced, at the four sites of each cell, as
            :func:`~rawsynth.methods.local_residual.split_sites` arranges an image.
        sites: ``(B, 4, 3)`` of :func:`sensor_sites`.

    Returns:
        ``(B, 4, h, w)`` in [0, 1], planes in the order of the CFA that the sites are of.

    >>> grey = torch.full((1, 3, 4, 1, 1), 0.5)
    >>> camera = {"cam_from_srgb": np.eye(3), "white_balance": (2.0, 1.6), "rgb_gain": 1.0, "cfa": "RGGB"}
    >>> sample_sensor(grey, sensor_sites([camera])).flatten().tolist()
    [0.25, 0.5, 0.5, 0.3125]
    """
    red, green, blue = (sites[:, :, c, None, None] for c in range(3))
    value = torch.addcmul(torch.addcmul(light[:, 0] * red, light[:, 1], green), light[:, 2], blue)
    return value.clamp(0.0, 1.0)


def develop_backwards(network: SceneLinearNet, srgb: Tensor, style: Style, sites: Tensor) -> Tensor:
    """Take sRGB to packed RAW with a given style; what is compiled."""
    pixels = srgb if srgb.dtype == torch.uint8 else srgb.float()
    return sample_sensor(network.decode_sites(pixels, style).float(), sites)


class SceneLinearMethod(NetworkMethod):
    """Reverse ISP by a network that estimates scene-linear light, for any camera.

    The style of a frame is read once, from a grid of its pixels, and then everything is local: large images go through
    in tiles, in bounded memory, with the same result. By hand, for tiles of your own: one that borders on others takes
    ``network.halo`` pixels of them along and begins at a multiple of ``network.stride``.

    >>> from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
    >>> network = RstIspNetSmall.create().network                   # or ReverseISP().method.network
    >>> frame = torch.rand(1, 3, 300, 200)                          # sRGB in [0, 1]
    >>> style = network.encode_style(frame)
    >>> tile = network.decode(frame[..., : 96 + network.halo, :], style)[..., :96, :]
    >>> whole = apply_tiled(lambda window: network.decode(window, style), frame, tile=96, halo=network.halo, shrink=1)
    >>> whole.shape, bool((whole[..., :96, :] - tile).abs().max() < 1e-4)    # scene-linear light
    (torch.Size([1, 3, 300, 200]), True)

    Attributes:
        network: maps float sRGB to scene-linear light.
        card: what the weights' file says about them.
        fitted: the style that stands in for that of each frame, or ``None``.
        tiling: when and how large images are cut.
    """

    reads_style: ClassVar[bool] = True
    network: SceneLinearNet

    def __init__(self, network: SceneLinearNet, config: Mapping[str, Any], card: ModelCard, digest: str) -> None:
        super().__init__(network, config, card, digest)
        self.tiling = Tiling()
        self.fitted: FittedStyle | None = None
        self._develop: Callable[..., Tensor] = develop_backwards
        self._develop_on_cpu = self._develop

    @classmethod
    def create(
        cls, weights: str | PathLike[str] | None = None, *, style: str | PathLike[str] | None = None
    ) -> Self:
        """Load weights and, if given, a fitted style.

        Args:
            weights: path, URL or name; those that come with the package under the method's name if not given.
            style: path or URL of a file that `rawsynth fit-style` wrote for these weights.

        Raises:
            UsageError: a file is damaged, of another architecture, or a pickle; a style of other weights.
        """
        method = cls.from_weights(weights_module.load_weights(cls.name if weights is None else weights))
        if style is not None:
            # Here, because a style is of a network, and the network's file holds its method.
            from rawsynth.methods.style_file import load_style

            method.use_style(load_style(style), source=str(style))
        return method

    def use_style(self, fitted: FittedStyle, *, source: str = "the style") -> None:
        """Take a fitted style instead of reading one from each frame; parameters drawn before no longer replay.

        Raises:
            UsageError: it was fitted for other weights.
        """
        if fitted.weights_digest != self.digest:
            raise UsageError(
                f"{source}: fitted for weights {fitted.weights_digest[:12]}, these are {self.digest[:12]}; give the "
                "weights that it was fitted for (weights=..., --weights), or fit it again (rawsynth fit-style)."
            )
        self.fitted = fitted
        self.version = f"{self.architecture_version}+{self.digest[:12]}+{fitted.digest[:12]}"

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the colour of a built-in camera under a light; exposure is what the network estimates."""
        return draw_camera(rng)

    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Return what each sample's sites make of linear light, on the device, without waiting for it."""
        return {"sites": sensor_sites(params).to(device, non_blocking=True)}

    def style_of(self, frame: Tensor) -> Style:
        """Read the style of frames ``(B, 3, H, W)``, uint8 or float, of any size, or take the fitted one.

        A grid of single pixels decides it, so that a frame costs the same whatever its size. In float32 always: it sets
        exposure and curves.
        """
        grid = _unit(sample_grid(frame))
        with torch.autocast(frame.device.type, enabled=False):
            if frame.device.type != "cpu":
                return self._styles(grid)
            # Matrix products of a batch differ from those of its images in the last bit, and a replay would show it.
            each = [self._styles(grid[k : k + 1]) for k in range(len(grid))]
        return type(each[0])(torch.cat([one.code for one in each]), torch.cat([one.numbers for one in each]))

    def _styles(self, grid: Tensor) -> Style:
        return self.network.encode_style(grid) if self.fitted is None else self.fitted.for_frame(self.network, grid)

    def forward(self, srgb: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        """Reverse the ISP; see :meth:`ReverseMethod.forward`."""
        style, sites = self.style_of(tensors.get("frame", srgb)), tensors["sites"]
        height, width = srgb.shape[-2:]
        if height * width <= self.tiling.whole_pixels:
            develop = self._develop_on_cpu if srgb.device.type == "cpu" else self._develop
            return develop(self.network, srgb, style, sites)
        # One after the other: memory is for a tile of one image, whatever the batch.
        parts = [self._tiled(srgb[k : k + 1], _row(style, k), sites[k : k + 1]) for k in range(len(srgb))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _tiled(self, srgb: Tensor, style: Style, sites: Tensor) -> Tensor:
        # Windows at a frame's borders have nine sizes; a CPU would compile each for itself.
        develop = develop_backwards if srgb.device.type == "cpu" else self._develop

        def run(window: Tensor) -> Tensor:
            return develop(self.network, window, style, sites)

        return apply_tiled(run, srgb, tile=self.tiling.tile, halo=self.network.halo)

    def compile_kernels(self, dynamic: bool | None = None) -> None:
        """Compile decoding and physics as one; the style, a few small operations on few pixels, stays as it is.

        On a CPU each size is compiled for itself, up to dynamo's limit of eight, and none with ``dynamic=True``: for
        sizes that vary, Inductor's C++ backend fails on this network (torch 2.13: ZeroDivisionError in select_tiling).
        Nor is much lost: what runs uncompiled there is written for it.
        """
        self._develop = torch.compile(develop_backwards, dynamic=dynamic)
        self._develop_on_cpu = develop_backwards if dynamic else torch.compile(develop_backwards, dynamic=False)


def _unit(srgb: Tensor) -> Tensor:
    return srgb.float() / 255.0 if srgb.dtype == torch.uint8 else srgb.float()


def _row(style: Style, index: int) -> Style:
    """Return one sample's style of a batch's."""
    return type(style)(style.code[index : index + 1], style.numbers[index : index + 1])
