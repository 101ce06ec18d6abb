"""Learned reverse ISPs: a network, its weights, and what turns the two into a method.

A network takes float sRGB and gives packed RAW; everything around it is here: uint8 and half types, CFAs other than the
one it was trained on, and images too large for one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rawsynth.errors import UsageError
from rawsynth.methods import weights as weights_module
from rawsynth.methods.base import MethodParams, ReverseMethod
from rawsynth.methods.published import Published
from rawsynth.methods.tiling import Tiling, run_tiled
from rawsynth.methods.weights import ModelCard, Weights, check_fit, one_line
from rawsynth.raw.cfa import pack, unpack
from rawsynth.registry import pick

# Rows and columns by which each layout's first site lies off a red one.
_PHASES = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}


class StyledNetwork(nn.Module, ABC):
    """Network that removes a style: one pass over a frame to read it, tiles to apply it.

    ``forward(x)`` equals ``decode(x, encode_style(x))``. Everything of :meth:`decode` is local, so tiles with
    :attr:`halo` pixels around them give what the whole frame gives.
    """

    halo: int
    stride: int

    @abstractmethod
    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides that the strides need, at least those given."""

    @abstractmethod
    def _encode(self, padded: Tensor, style: Any) -> tuple[Tensor, Any]:
        """Return the features and the style used: ``style``, or the padded image's own if that is ``None``."""

    @abstractmethod
    def _decode(self, features: Tensor) -> Tensor:
        """Return packed RAW of the padded image."""

    def forward(self, srgb: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` float sRGB in [0, 1], H and W even, to ``(B, 4, H/2, W/2)``, not clamped."""
        return self.decode(srgb, None)

    def encode_style(self, srgb: Tensor) -> Any:
        """Read the style of frames ``(B, 3, H, W)``: tensors with a leading ``B``."""
        return self._encode(self.pad(srgb), None)[1]

    def decode(self, srgb: Tensor, style: Any) -> Tensor:
        """Map sRGB to packed RAW with a given style; ``None`` for the image's own."""
        features, _ = self._encode(self.pad(srgb), style)
        return self._decode(features)[..., : srgb.shape[-2] // 2, : srgb.shape[-1] // 2]

    def pad(self, srgb: Tensor) -> Tensor:
        """Mirror ``(B, 3, H, W)`` at the right and the bottom, up to :meth:`padded_size`."""
        height, width = srgb.shape[-2:]
        rows, columns = self.padded_size(height, width)
        return reflect_pad(srgb, 0, rows - height, 0, columns - width)


def reflect_pad(image: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Mirror an image beyond its borders without repeating the border, any number of times over."""
    height, width = image.shape[-2:]
    if max(top, bottom) < height and max(left, right) < width:
        return F.pad(image, (left, right, top, bottom), mode="reflect") if top + bottom + left + right else image
    rows = _mirrored(-top, height + bottom, height, image.device)
    columns = _mirrored(-left, width + right, width, image.device)
    return image[..., rows, :][..., columns]


def _mirrored(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    period = max(1, 2 * (size - 1))
    wrapped = torch.arange(start, stop, device=device) % period
    return torch.minimum(wrapped, period - wrapped) if size > 1 else torch.zeros_like(wrapped)


_FEW = 10_000


def _check_sizes(weights: Weights) -> None:
    """Refuse options that no network of so few numbers can have, before as many layers are made."""
    most = max(sum(tensor.numel() for tensor in weights.tensors.values()), _FEW)
    pending: list[Any] = list(weights.config.values())
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, int) and value > most:
            raise UsageError(f"its config asks for {value} of something, and it holds {most} numbers")


class NetworkMethod(ReverseMethod):
    """Reverse ISP around a network: how weights become a method, which stays float32 wherever it goes.

    Attributes:
        network: what the weights are of.
        card: what the weights' file says about them.
        digest: the checksum that the file states.
        presets: options of the network by name; a training without one takes the first.
        published: how checkpoints of the original's authors are read, for the presets that they have.
    """

    architecture_version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    published: ClassVar[Mapping[str, Published]] = {}
    network_class: ClassVar[type[nn.Module]]

    def __init__(self, network: Any, config: Mapping[str, Any], card: ModelCard, digest: str) -> None:
        super().__init__()
        self.network = network.float().eval().requires_grad_(False)
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.config, self.card, self.digest = dict(config), card, digest
        # The digest makes parameters of other weights another version: a replay never goes through the wrong ones.
        self.version = f"{self.architecture_version}+{digest[:12]}"

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        """Build the network that a weights file describes and fill it.

        Raises:
            UsageError: the weights are of another architecture, do not fit the one they name, or are not finite.
        """
        if weights.architecture != cls.name:
            raise UsageError(f"{weights.source}: weights of {weights.architecture!r}, not of {cls.name!r}.")
        complaint = f"{weights.source}: the weights do not fit {cls.name!r}"
        try:
            _check_sizes(weights)
            # Shapes alone first: what a file asks for may be far more than what it holds.
            with torch.device("meta"):
                wanted = cls.build(weights.config).state_dict()
        except (RuntimeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise UsageError(f"{complaint}: {one_line(error)}") from error
        check_fit(weights.tensors, wanted, complaint)
        network = cls.build(weights.config)
        network.load_state_dict(dict(weights.tensors))
        broken = [name for name, parameter in network.named_parameters() if not bool(parameter.isfinite().all())]
        if broken:
            raise UsageError(
                f"{weights.source}: {len(broken)} tensors hold NaN or infinity, such as {broken[0]!r}; "
                "take weights from before the training diverged."
            )
        return cls(network, weights.config, weights.card, weights.digest)

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Any:
        """Build a network with fresh parameters from a preset's name or its options.

        Args:
            config: ``{"preset": NAME}`` and options that win over it.

        Raises:
            UsageError: an unknown preset or option.
        """
        options = dict(config)
        preset = options.pop("preset", None)
        if preset is not None:
            options = {**pick(cls.presets, preset, f"preset of {cls.name}"), **options}
        try:
            return cls.network_class(**options)
        except TypeError as error:
            raise UsageError(f"{cls.name}: {error}") from error

    @classmethod
    def parameter_count(cls, preset: str | None = None) -> int:
        """Return how many parameters a preset's network has, without making it.

        Args:
            preset: ``None`` for the first one, or for the network's own defaults where there are no presets.

        Raises:
            UsageError: an unknown preset.
        """
        with torch.device("meta"):
            network = cls.build({"preset": next(iter(cls.presets), None) if preset is None else preset})
        return sum(parameter.numel() for parameter in network.parameters())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move as any module does, but stay float32: ``.half()`` of a model around this one is not meant for it."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        super()._apply(move, recurse)  # type: ignore[no-untyped-call]
        return self

    def save(self, url: str) -> str:
        """Write the weights with their card; returns the sha256 that the file states."""
        return weights_module.save_weights(
            url, self.name, self.config, self.network.state_dict(), self.card
        )


class LearnedMethod(NetworkMethod):
    """Reverse ISP whose RAW is that of the camera its weights were trained on.

    Attributes:
        network: maps float sRGB to packed RAW.
        card: its colour goes into the metadata.
        tiling: when and how large images are cut.
    """

    takes_color: ClassVar[bool] = False
    network_class: ClassVar[type[StyledNetwork]]
    default_tiling: ClassVar[Tiling] = Tiling()
    network: StyledNetwork

    def __init__(self, network: StyledNetwork, config: Mapping[str, Any], card: ModelCard, digest: str) -> None:
        super().__init__(network, config, card, digest)
        self.tiling = self.default_tiling

    @classmethod
    def create(
        cls, weights: str | PathLike[str] | None, *, style: str | PathLike[str] | None = None
    ) -> Self:
        """Load weights: a path or URL of a ``.safetensors`` file, or the name of weights that come with the package.

        Raises:
            UsageError: none are given, or they are damaged, of another architecture, or a pickle; or a style is.
        """
        cls.refuse_style(style)
        if weights is None:
            raise UsageError(
                f"method {cls.name!r} needs weights=..., a .safetensors file that `rawsynth train` wrote, or "
                "`rawsynth import-weights`."
            )
        return cls.from_weights(weights_module.load_weights(weights))

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> StyledNetwork:
        """Build a network with fresh parameters; see :meth:`NetworkMethod.build`."""
        network: StyledNetwork = super().build(config)
        return network

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return the colour that the card states; nothing is random."""
        return {
            "cam_from_srgb": self.card.cam_from_srgb,
            "white_balance": self.card.white_balance,
            "rgb_gain": 1.0,
            "camera": self.card.camera,
        }

    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Return each sample's CFA."""
        return {"cfa": [p["cfa"] for p in params]}

    def forward(self, srgb: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        """Reverse the ISP; see :meth:`ReverseMethod.forward`.

        The network's RAW is RGGB. For another layout the image is moved by one pixel before and the mosaic after.
        """
        layouts: list[str] = tensors["cfa"]
        if len(set(layouts)) == 1:
            return self._layout(srgb, layouts[0])
        packed = [self._layout(image[None], layout) for image, layout in zip(srgb, layouts, strict=True)]
        return torch.cat(packed)

    def _layout(self, srgb: Tensor, layout: str) -> Tensor:
        x = srgb.float() / 255.0 if srgb.dtype == torch.uint8 else srgb.float()
        row, column = pick(_PHASES, layout, "CFA layout")
        # A site more on each side keeps the sides even.
        x = reflect_pad(x, row, row, column, column)
        packed = run_tiled(self.network, self.network, x, self.tiling).float().clamp(0.0, 1.0)
        if not row and not column:
            return packed
        mosaic = unpack(packed)
        height, width = mosaic.shape[-2:]
        return pack(mosaic[..., row : height - row, column : width - column])

    def compile_kernels(self, dynamic: bool | None = None) -> None:
        """Compile the network, in place; what it is fed is decided outside."""
        # It is one graph. With fullgraph=True the ninth kind of size would be an error; so it runs uncompiled.
        self.network.compile(dynamic=dynamic)
