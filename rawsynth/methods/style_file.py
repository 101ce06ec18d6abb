"""Style files: the style of one camera and ISP, fitted to a few of its pairs, for the weights it was fitted with.

A file is safetensors of small tensors, ``code``, ``numbers`` and perhaps ``at_white``. Its one metadata entry,
``style``, is JSON with ``format``, ``weights_digest``, ``exposure``, ``card``, and ``sha256`` over these and the
tensors.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.methods.global_inverse import expand
from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_encoder import sample_grid
from rawsynth.methods.weights import is_pickle, one_line, tensors_digest

FORMAT = "rawsynth-style/1"
SUFFIX = ".safetensors"
Exposure = Literal["fixed", "frame"]

_WHITE = 0.98
_DARKEST = 1e-5
_LARGEST_BYTES = 16_000_000


class StyleCard(BaseModel):
    """What is known about a fitted style.

    Attributes:
        camera: whose pairs they were, or ``None``.
        pairs: a row a pair: ``key``, ``scene`` and its PSNR before and after in dB.
        metrics: means over the pairs, and what they were measured on.
        recipe: how it was fitted.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    camera: str | None = None
    pairs: list[dict[str, Any]] = Field(default=[])
    metrics: dict[str, Any] = Field(default={})
    recipe: dict[str, Any] = Field(default={})


@dataclass(frozen=True)
class FittedStyle:
    """The style of an ISP, to be used in place of the one that is read from each frame.

    Attributes:
        style: of batch 1.
        exposure: ``"fixed"``: all of the style holds for every frame. ``"frame"``: the ISP exposes each frame by itself
            (automatic brightness), so each keeps the level that the network sees in it, times two to the first of
            ``numbers``.
        weights_digest: checksum of the weights that the style belongs to.
        card: where it comes from.
        at_white: ``(1, 6)`` or ``None``. An ISP cuts off what is brighter than white, so what white was differs from
            frame to frame; the curves' ends keep how far a frame's own lie from these, the mean of the fitted pairs.
    """

    style: Style
    exposure: Exposure
    weights_digest: str
    card: StyleCard
    at_white: Tensor | None = None

    @cached_property
    def digest(self) -> str:
        """The sha256 over all of it, as the file states it."""
        text = json.dumps(self._stated(), sort_keys=True)
        return hashlib.sha256(f"{text}\n{tensors_digest(self._tensors())}".encode()).hexdigest()

    def for_frame(self, network: SceneLinearNet, frame: Tensor) -> Style:
        """Return the style for frames ``(B, 3, H, W)``, float sRGB in [0, 1], as a :class:`Style` of batch B.

        Raises:
            UsageError: the network's style has other sizes.
        """
        code, numbers = (t.to(frame.device).expand(len(frame), -1) for t in (self.style.code, self.style.numbers))
        wanted = network.globally.length
        if numbers.shape[1] != wanted:
            raise UsageError(f"a style of {numbers.shape[1]} numbers for a network that takes {wanted}.")
        if self.at_white is not None:
            own = network.encode_style(frame).numbers
            numbers = numbers + own_at_white(network, own, self.at_white.to(frame.device))
        if self.exposure == "frame":
            numbers = with_exposure(numbers, numbers[:, 0] + own_exposure(network, frame, numbers))
        return Style(code, numbers)

    def _stated(self) -> dict[str, Any]:
        card = self.card.model_dump(mode="json")
        return {"format": FORMAT, "weights_digest": self.weights_digest, "exposure": self.exposure, "card": card}

    def _tensors(self) -> dict[str, Tensor]:
        held = {"code": self.style.code, "numbers": self.style.numbers, "at_white": self.at_white}
        return {name: each.detach().cpu().float().contiguous() for name, each in held.items() if each is not None}


def with_exposure(numbers: Tensor, exposure: Tensor) -> Tensor:
    """Return ``(B, length)`` numbers with their exposures, which come first, replaced by ``(B,)``."""
    return torch.cat([exposure[:, None], numbers[:, 1:]], dim=1)


def curve_ends(network: SceneLinearNet) -> list[int]:
    """Return the places among the numbers of the last two steps of each channel's curve, which lead to white."""
    steps = network.globally.knots - 1
    return [1 + channel * steps + step for channel in range(3) for step in (steps - 2, steps - 1)]


def own_at_white(network: SceneLinearNet, own: Tensor, mean: Tensor) -> Tensor:
    """Return ``(B, length)``: how far frames' own numbers lie from a ``(1, 6)`` mean at the curves' ends; else 0."""
    places = curve_ends(network)
    out = torch.zeros_like(own)
    out[:, places] = own[:, places] - mean
    return out


def own_exposure(network: SceneLinearNet, frame: Tensor, numbers: Tensor) -> Tensor:
    """Return the exposures at which a style's light is as bright as the network itself takes the frames to be.

    Args:
        network: whose global part is compared.
        frame: ``(B, 3, H, W)`` float sRGB in [0, 1].
        numbers: ``(B, length)`` of the style; their own exposures do not matter.

    Returns:
        ``(B,)`` in EV: the log ratio of the mean light of pixels that are not white.
    """
    grid = sample_grid(frame).float()
    seen = (grid.amax(dim=1, keepdim=True) < _WHITE).float()
    bare = with_exposure(numbers, torch.zeros_like(numbers[:, 0]))
    light = [
        (expand(network.globally(grid, each).float()) * seen).mean(dim=(1, 2, 3)).clamp(min=_DARKEST)
        for each in (network.encode_style(frame).numbers, bare)
    ]
    return torch.log2(light[0] / light[1])


def save_style(url: str, fitted: FittedStyle) -> str:
    """Write a style file, whole or not at all.

    Returns:
        The checksum of its content.

    Raises:
        UsageError: a name that would not be recognised again.
        OutputError: it cannot be written.
    """
    if not url.endswith(SUFFIX):
        raise UsageError(f"style: a style file ends in {SUFFIX}; got {url!r}.")
    stated = json.dumps({**fitted._stated(), "sha256": fitted.digest}, sort_keys=True)
    storage.write_atomic(url, save_tensors(fitted._tensors(), {"style": stated}))
    return fitted.digest


def load_style(url: str | PathLike[str]) -> FittedStyle:
    """Read a style file: a path or an fsspec URL.

    Raises:
        UsageError: no such file; a pickle; a damaged file, or one that holds no style.
    """
    name = fspath(url)
    if is_pickle(name):
        raise UsageError(f"{name}: a style is a {SUFFIX} file that `rawsynth fit-style` wrote; pickles are refused.")
    try:
        size = storage.size(name)
        if size > _LARGEST_BYTES:
            raise UsageError(f"{name}: a style file has some kB, this one {size} bytes; give one of fit-style.")
        data = storage.read_bytes(name)
    except InputAccessError as error:
        raise UsageError(f"style: {error}. `rawsynth fit-style` makes one of a few pairs.") from error
    try:
        tensors, stated = load_tensors(data), _stated_by(data)
        if stated is None or stated.get("format") != FORMAT:
            raise UsageError(f"{name}: a safetensors file, but no style; give one that `rawsynth fit-style` wrote.")
        fitted = _fitted(tensors, stated)
        wanted = str(stated["sha256"])
    except UsageError:
        raise
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{name}: damaged, or no style file: {one_line(error)}; get it again.") from error
    if fitted.digest != wanted:
        raise UsageError(f"{name}: damaged, its content has sha256 {fitted.digest[:12]}, not {wanted[:12]}.")
    return fitted


def is_style(url: str) -> bool:
    """Whether a safetensors file states that it is a style; the file itself is checked by :func:`load_style` alone.

    Raises:
        InputAccessError: it cannot be read.
    """
    if storage.size(url) > _LARGEST_BYTES:
        return False
    try:
        return _stated_by(storage.read_bytes(url)) is not None
    except (struct.error, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def _stated_by(data: bytes) -> dict[str, Any] | None:
    """Return what the header states of a style; safetensors has found it whole before."""
    (length,) = struct.unpack("<Q", data[:8])
    stated = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get("style")
    return None if stated is None else dict(json.loads(stated))


def _fitted(tensors: dict[str, Tensor], stated: dict[str, Any]) -> FittedStyle:
    style, at_white = Style(tensors["code"], tensors["numbers"]), tensors.get("at_white")
    for tensor in tensors.values():
        if tensor.dim() != 2 or len(tensor) != 1 or tensor.dtype != torch.float32:
            raise ValueError(f"wanted float32 (1, n), got {tensor.dtype} {tuple(tensor.shape)}")
        if not bool(tensor.isfinite().all()):
            raise ValueError("it holds NaN or infinity")
    if stated["exposure"] not in ("fixed", "frame"):
        raise ValueError(f"exposure is 'fixed' or 'frame', got {stated['exposure']!r}")
    if at_white is not None and at_white.shape[1] != 6:
        raise ValueError(f"at_white has 6 numbers, got {at_white.shape[1]}")
    card = StyleCard(**stated["card"])
    return FittedStyle(style, stated["exposure"], str(stated["weights_digest"]), card, at_white)
