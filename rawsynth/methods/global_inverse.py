"""The part of an inverse ISP that sees one pixel at a time: curves, matrices, exposure, set by a style.

An ISP is in the main white balance, a matrix, exposure and a tone curve. Their inverses are here in turn, each with the
numbers that the style gives it, and a small network for what this chain cannot say (curves that keep hues, saturation
by luminance). All of it is pointwise, so any tiling is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COMPANDING = 2.0
"""Networks see and correct linear light as ``sqrt(linear)``."""
_DARK = 1e-5
# Pixels a thread takes at a time: what the pointwise network holds of them stays in a second-level cache.
_BLOCK = 8192

_Function = TypeVar("_Function", bound=Callable[..., object])
# A compiler would run the layers over whole images, through memory, which costs more than fusing saves.
_uncompiled = cast(Callable[[_Function], _Function], torch.compiler.disable)


def compand(linear: Tensor) -> Tensor:
    """Return ``sqrt(max(linear, 0))`` with a finite slope at black."""
    return (linear.clamp(min=0.0) + _DARK).sqrt()


def expand(companded: Tensor) -> Tensor:
    """Invert :func:`compand`; values below that of black are black."""
    return (companded.clamp(min=0.0).square() - _DARK).clamp(min=0.0)


def srgb_decoding(srgb: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.0) + 0.055) / 1.055) ** 2.4)


def rows_to_one(entries: Tensor) -> Tensor:
    """Make ``(B, 3, 3)`` of ``(B, 6)``: the entries off the diagonal, and a diagonal that has rows sum to 1."""
    a, b, c, d, e, f = entries.unbind(1)
    rows = [1 - (a + b), a, b, c, 1 - (c + d), d, e, f, 1 - (e + f)]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def look_up(tables: Tensor, index: Tensor) -> Tensor:
    """Return ``tables[b, c, index[b, c, n]]`` of ``(B, C, K)`` tables and integers ``(B, C, N)``."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or index.device.type != "cpu":
        return tables.gather(2, index.long())
    found = torch.empty(index.shape, dtype=tables.dtype)
    # Some five times as fast as gather, which neither takes short indices nor vectorises.
    for row, at, out in zip(tables.flatten(0, 1), index.int().flatten(0, 1), found.flatten(0, 1), strict=True):
        torch.index_select(row, 0, at, out=out)
    return found


def network_dtype(device: torch.device) -> torch.dtype:
    """Return the type that autocast wants of a network's layers; curves, matrices and light stay float32."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if enabled else torch.float32


@dataclass(frozen=True)
class Laws:
    """What :class:`GlobalInverse` does to pixels, all float32.

    Attributes:
        heights: ``(B, 3, knots)`` companded values of the curves at their knots.
        steps: ``(B, 3, knots - 1)``, by how much they rise between them.
        mix_in, mix_out: ``(B, 3, 3)``, colours before and after the pointwise network, the latter with the exposure.
        layers: weights ``(B, out, in)`` and biases ``(B, out, 1)`` of the pointwise network, scaled by the style.
    """

    heights: Tensor
    steps: Tensor
    mix_in: Tensor
    mix_out: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]


class GlobalInverse(nn.Module):
    """Maps sRGB to companded scene-linear RGB by laws that a parameter vector sets.

    :meth:`parameters_of` turns a style code into the vector, :meth:`forward` applies one. That the vector is explicit
    is what lets a style be fitted to a few pairs.

    Args:
        code: length of the style code.
        knots: of the curve of each channel.
        hidden: width of the pointwise network.
    """

    start: Tensor

    def __init__(self, code: int = 128, knots: int = 24, hidden: int = 24) -> None:
        super().__init__()
        self.knots, self.hidden = knots, hidden
        self.sizes = {"exposure": 1, "curves": 3 * (knots - 1), "mix_in": 6, "mix_out": 6, "film": 4 * hidden}
        self.head = nn.Linear(code, sum(self.sizes.values()))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.enter = nn.Conv2d(6, hidden, 1)
        self.middle = nn.Conv2d(hidden, hidden, 1)
        self.leave = nn.Conv2d(hidden, 3, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(cast(Tensor, self.leave.bias))
        # At first every curve is the inverse of sRGB's own.
        curve = compand(srgb_decoding(torch.linspace(0, 1, knots)))
        rises = (curve[1:] - curve[:-1]).clamp(min=1e-4)
        self.register_buffer("start", torch.log(torch.expm1(rises * (knots - 1))), persistent=False)

    @property
    def length(self) -> int:
        """How many numbers set the laws."""
        return sum(self.sizes.values())

    def parameters_of(self, code: Tensor) -> Tensor:
        """Return the ``(B, length)`` vector of style codes ``(B, code)``, float32."""
        with torch.autocast(code.device.type, enabled=False):
            numbers: Tensor = self.head(code.float())
        return numbers

    def forward(self, srgb: Tensor, numbers: Tensor) -> Tensor:
        """Map sRGB to companded scene-linear RGB, not clipped at 1.

        Args:
            srgb: ``(B, 3, ...)`` float in [0, 1], or uint8; where the pixels are does not matter.
            numbers: ``(B, length)`` of :meth:`parameters_of`.

        Returns:
            float32 of the shape of ``srgb``. Networks' layers run in the type that autocast wants, the rest does not.
        """
        dtype, flat = network_dtype(srgb.device), srgb.flatten(2)
        with torch.autocast(srgb.device.type, enabled=False):
            laws = self.laws(numbers.float())
            table = self._table(laws) if srgb.dtype == torch.uint8 else None
            if torch.is_grad_enabled() or srgb.device.type != "cpu":
                return self._map(flat, laws, table, dtype).view(srgb.shape)
            return self._in_blocks(flat, laws, table, dtype).view(srgb.shape)

    @_uncompiled
    def _in_blocks(self, srgb: Tensor, laws: Laws, table: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Map ``(B, 3, N)`` by parts that fit a cache."""
        estimate = torch.empty(srgb.shape, dtype=torch.float32)
        block = max(_BLOCK * torch.get_num_threads() // len(srgb), 1024)
        for start in range(0, srgb.shape[2], block):
            part = slice(start, start + block)
            estimate[:, :, part] = self._map(srgb[:, :, part], laws, table, dtype)
        return estimate

    def laws(self, numbers: Tensor) -> Laws:
        """Write out what ``(B, length)`` numbers say."""
        part = dict(zip(self.sizes, torch.split(numbers, list(self.sizes.values()), dim=1), strict=True))
        steps = F.softplus(self.start + part["curves"].view(-1, 3, self.knots - 1)) / (self.knots - 1)
        scale1, shift1, scale2, shift2 = (0.3 * part["film"])[:, :, None].chunk(4, dim=1)
        gain = torch.exp2(part["exposure"])[:, :, None]
        return Laws(
            heights=F.pad(steps.cumsum(dim=2), (1, 0)) + math.sqrt(_DARK),
            steps=steps,
            mix_in=rows_to_one(0.2 * part["mix_in"]),
            mix_out=rows_to_one(0.2 * part["mix_out"]) * gain,
            layers=(_styled(self.enter, scale1, shift1), _styled(self.middle, scale2, shift2), _styled(self.leave)),
        )

    def _table(self, laws: Laws) -> Tensor:
        """Return ``(B, 3, 256)`` light of the values of uint8."""
        values = torch.arange(256, device=laws.steps.device).expand(len(laws.steps), 3, 256) / 255
        return expand(self.curve(values, laws))

    def _map(self, srgb: Tensor, laws: Laws, table: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Map ``(B, 3, N)``; of uint8 with a table of its light."""
        if table is None:
            linear = expand(self.curve(srgb, laws))
        else:
            linear, srgb = look_up(table, srgb), srgb / 255
        y = compand(torch.bmm(laws.mix_in, linear))
        x = torch.cat([srgb, y], dim=1).to(dtype)
        *hidden, (weight, bias) = laws.layers
        for inner_weight, inner_bias in hidden:
            # In place, or fused by a compiler: a bias given to baddbmm would be laid out in full first.
            x = torch.bmm(inner_weight.to(dtype), x).add_(inner_bias.to(dtype))
            x = F.silu(x, inplace=not torch.is_grad_enabled())
        y = y + bias + torch.bmm(weight.to(dtype).expand(len(x), -1, -1), x)
        return compand(torch.bmm(laws.mix_out, expand(y)))

    def curve(self, srgb: Tensor, laws: Laws) -> Tensor:
        """Apply a rising piecewise linear curve a channel to ``(B, 3, N)``; sRGB's inverse, companded, at first."""
        position = srgb.clamp(0.0, 1.0) * (self.knots - 1)
        below = position.detach().floor().clamp(max=self.knots - 2)
        index = below.int()
        return look_up(laws.heights, index) + (position - below) * look_up(laws.steps, index)


def _styled(layer: nn.Conv2d, scale: Tensor | None = None, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Fold ``(B, out, 1)`` scale and shift of a 1x1 convolution's output into its weight and bias."""
    assert layer.bias is not None
    weight, bias = layer.weight.flatten(1)[None], layer.bias[None, :, None]
    if scale is None or shift is None:
        return weight, bias
    return weight * (1 + scale), bias * (1 + scale) + shift
