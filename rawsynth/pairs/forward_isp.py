"""A randomised forward ISP: camera RGB to sRGB, as cameras and RAW developers of all kinds do it.

::

    camera RGB --noise, demosaic--> white balance --> highlights --> matrix --> exposure --> tone --> colour
        --> local tone mapping --> denoising, sharpening --> 8 bits, JPEG

Three calls: :meth:`ForwardISP.draw` draws every number, :meth:`ForwardISP.measure` adds what an ISP measures on the
whole frame (automatic exposure, large-scale brightness), :meth:`ForwardISP.render` applies both to the frame or to any
part of it. The tone is one of three: a table of :mod:`rawsynth.pairs.renderings`, measured from a RAW developer; an
automatic exposure with a display curve; or a curve of a broad random family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rawsynth.pairs import isp_draws as draws
from rawsynth.pairs import isp_stages as stages
from rawsynth.pairs.renderings import Rendering, apply_table

Part = tuple[float, float, float, float]
WHOLE: Part = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ForwardISP:
    """Random renderings of camera RGB.

    Args:
        renderings: measured tables to choose from; none leaves the random curves.
        shares: of tables, of automatic exposure with a display curve, of random curves.

    >>> isp, camera_rgb = ForwardISP(), torch.full((3, 8, 8), 0.2)
    >>> params = isp.draw(np.random.default_rng(0))
    >>> params |= {"cam_from_srgb": np.eye(3), "white_balance": (2.0, 1.5), "cfa": "RGGB"}
    >>> isp.render(camera_rgb, isp.measure(camera_rgb, params)).shape
    torch.Size([3, 8, 8])
    """

    renderings: Sequence[Rendering] = ()
    shares: tuple[float, float, float] = (0.63, 0.13, 0.24)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one rendering, JSON-ready."""
        shares = np.array(self.shares) * [bool(self.renderings), 1, 1]
        kind = ("table", "automatic", "random")[int(rng.choice(3, p=shares / shares.sum()))]
        sensor = draws.draw_sensor(rng)
        if kind == "table":
            tone = draws.draw_table(rng, self.renderings)
        else:
            tone = draws.draw_automatic(rng) if kind == "automatic" else draws.draw_random(rng)
        return {"kind": kind, **sensor, **tone, **draws.draw_detail(rng)}

    def measure(self, frame: Tensor, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with what they need of the whole frame.

        Args:
            frame: ``(3, H, W)`` camera RGB in [0, 1], clipped: the frame or evenly sampled pixels of it.
            params: of :meth:`draw`, with ``white_balance`` and ``cam_from_srgb``.
        """
        measured: dict[str, Any] = {"gain": 2.0 ** params["ev"]}
        if params["unclipped"]:
            # Developers that keep all channels' highlights scale the largest gain to 1.
            measured["gain"] /= max(1.0, *params["white_balance"])
        linear = _to_linear(frame, params)
        if params["auto_share"] > 0:
            count = linear[0].numel()
            top = max(1, round(count * params["auto_share"]))
            # As LibRaw: the channel that is brightest at that share of its pixels decides.
            white = float(linear.flatten(1).topk(top, dim=1).values[:, -1].max())
            measured["gain"] *= min(16.0, 1.0 / max(1e-4, white))
        if params["auto_mean"] > 0:
            mean = float((linear * measured["gain"]).clamp(max=1.0).mean())
            measured["gain"] *= min(8.0, max(0.7, params["auto_mean"] / max(1e-4, mean)))
        if params["local_tone"] != 0:
            luma = (linear * measured["gain"]).clamp(0, 1).mean(dim=0, keepdim=True)
            coarse = F.adaptive_avg_pool2d(luma, 24)
            measured["brightness"] = stages.blur(coarse, params["local_sigma"])
        return {**params, **measured}

    def render(self, image: Tensor, params: Mapping[str, Any], *, part: Part = WHOLE, detail: bool = True) -> Tensor:
        """Develop an image.

        Args:
            image: ``(3, H, W)`` camera RGB in [0, 1], clipped.
            params: of :meth:`measure`.
            part: top, left, bottom and right of the image within its frame, as shares.
            detail: with noise, demosaicing, sharpening and JPEG; without, every pixel is for itself.

        Returns:
            ``(3, H, W)`` uint8 sRGB.
        """
        if detail:
            image = _sensor(image, params)
        linear = _to_linear(image, params) * params["gain"]
        if params["local_tone"] != 0:
            linear = linear * _local_gain(params, part, linear.shape[-2:])
        encoded = self._encode(linear, params)
        if not detail:
            return stages.to_bytes(encoded, None)
        encoded = encoded.clamp(0.0, 1.0)
        if params["smooth"] > 0:
            encoded = stages.blur(encoded, params["smooth"])
        if params["sharpen"] > 0:
            encoded = stages.sharpen(encoded, params["sharpen"], params["sharpen_sigma"])
        return stages.to_bytes(encoded, params["jpeg"])

    def _encode(self, linear: Tensor, params: Mapping[str, Any]) -> Tensor:
        if params["kind"] != "table":
            return _encode_by_curves(linear, params)
        table = self.renderings[params["table"]].table
        if params["other_share"] > 0:
            table = torch.lerp(table, self.renderings[params["other_table"]].table, params["other_share"])
        encoded = apply_table(linear[None], table[None])[0]
        if params["gamma_jitter"] != 1:
            encoded = encoded.clamp(min=1e-6) ** params["gamma_jitter"]
        if params["s_curve"] != 0:
            encoded = stages.s_curve(encoded, params["s_curve"])
        return _colored(encoded, params)


def _sensor(image: Tensor, params: Mapping[str, Any]) -> Tensor:
    if params["noise"] > 0:
        generator = torch.Generator().manual_seed(params["noise_seed"])
        normal = torch.randn(image.shape, generator=generator)
        image = (image + normal * (params["noise"] * image + params["noise"] * 0.02).sqrt()).clamp(0.0, 1.0)
    return stages.demosaic(image, params["cfa"], params["demosaic"])


def _to_linear(image: Tensor, params: Mapping[str, Any]) -> Tensor:
    """White balance, highlights and matrix, each as far off the truth as was drawn."""
    red, blue = params["white_balance"]
    red_error, blue_error = params["balance_error"]
    gains = torch.tensor([red * red_error, 1.0, blue * blue_error], dtype=torch.float32)
    clipped = ((image - 0.97) * (1 / 0.03)).clamp(0.0, 1.0)
    balanced = stages.highlights(image * gains[:, None, None], clipped, params["highlights"], params["neutral"])
    error = np.zeros((3, 3))
    error[[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = params["matrix_error"]
    error += np.diag(1 - error.sum(axis=1))
    matrix = error @ np.linalg.inv(np.asarray(params["cam_from_srgb"], dtype=np.float64))
    return torch.einsum("ij,jhw->ihw", torch.tensor(matrix, dtype=torch.float32), balanced).clamp(min=0.0)


def _local_gain(params: Mapping[str, Any], part: Part, size: Sequence[int]) -> Tensor:
    """Brighten where the surroundings are dark: ``brightness ** -local_tone``, at most fourfold."""
    top, left, bottom, right = part
    rows = torch.linspace(2 * top - 1, 2 * bottom - 1, size[0])
    columns = torch.linspace(2 * left - 1, 2 * right - 1, size[1])
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
    around = F.grid_sample(params["brightness"][None], grid, align_corners=False, padding_mode="border")[0]
    middle = float(params["brightness"].mean())
    gain: Tensor = ((around + 0.02) / (middle + 0.02)) ** -params["local_tone"]
    return gain.clamp(0.25, 4.0)


# Rows sum to 1: linear sRGB in the primaries of ProPhoto (ISO 22028-2), adapted, and back.
_WIDE = np.array([[0.5293, 0.3300, 0.1407], [0.0983, 0.8734, 0.0283], [0.0169, 0.1177, 0.8654]])


def _encode_by_curves(linear: Tensor, params: Mapping[str, Any]) -> Tensor:
    x = linear
    if params["wide"] > 0:
        wide = torch.tensor(np.eye(3) * (1 - params["wide"]) + _WIDE * params["wide"], dtype=torch.float32)
        x = torch.einsum("ij,jhw->ihw", wide, x)
    encoded = _curves(x, params)
    if params["wide"] > 0:
        back = torch.linalg.inv(wide)
        light = torch.einsum("ij,jhw->ihw", back, encoded.clamp(0, 1) ** 2.2).clamp(min=0.0)
        encoded = light ** (1 / 2.2)
    if params["ratio"] > 0:
        # A curve on the largest channel alone keeps ratios, and so hue and saturation.
        peak = x.amax(dim=0, keepdim=True).clamp(min=1e-6)
        light = _curves(peak, params).clamp(0, 1) ** 2.2
        kept = (x * (light / peak)).clamp(min=0.0) ** (1 / 2.2)
        encoded = torch.lerp(encoded, kept, params["ratio"])
    return _colored(encoded, params)


def _curves(linear: Tensor, params: Mapping[str, Any]) -> Tensor:
    x = stages.tone(linear.clamp(0, 1), params["tone"], params["strength"], params["contrast"])
    encoded = stages.transfer(x, params["transfer"], params["gamma"])
    if params["black"] != 0:
        encoded = (encoded - params["black"]) / (1 - params["black"])
    if params["s_curve"] != 0:
        encoded = stages.s_curve(encoded, params["s_curve"])
    return encoded if params["bends"] is None else stages.free_curve(encoded, params["bends"])


def _colored(encoded: Tensor, params: Mapping[str, Any]) -> Tensor:
    if params["saturation"] == 1 and params["hue"] == 0:
        return encoded
    return stages.saturate(encoded, params["saturation"], params["hue"])
