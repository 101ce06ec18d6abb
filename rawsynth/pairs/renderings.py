"""What RAW developers make of every colour: measured tables from scene-linear RGB to sRGB.

A rendering is a table ``(N, N, N, 3)`` over scene-linear RGB (linear sRGB primaries, white-balanced, 1 = the level at
which green saturates). Its nodes are at ``TOP * (k / (N - 1)) ** 2.2``, even after the usual encoding, from black to
:data:`TOP`, because balanced red and blue go beyond 1. Values are sRGB in [0, 1].

The tables are measurements of what programs do to a synthetic chart, none of their code: darktable 4.2.1 (filmic rgb,
sigmoid, base and tone curves of its presets, several of which their authors fitted to cameras' own JPEGs),
RawTherapee 5.9 (bundled profiles and typical settings of its own) and LibRaw 0.20.2.
`benchmarks/measure_renderings.py` says how and makes the file again. What follows the picture is not in them:
automatic exposure, matched curves, local tone mapping, sharpening, noise reduction and highlight reconstruction.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from torch import Tensor
from torch.nn.functional import grid_sample

from rawsynth.errors import UsageError
from rawsynth.registry import pick

TOP = (4 / 3) ** 2.2
"""Scene-linear value of the last node: with 21 nodes, node 15 is the saturation of green."""

FILE = "renderings_files/renderings.safetensors"
QUANTUM = 1 / 4095
_GAMMA = 2.2


@dataclass(frozen=True)
class Rendering:
    """One measured rendering.

    Attributes:
        name: unique among the renderings.
        family: whose it is: ``darktable``, ``rawtherapee``, ``libraw``, or ``base curve`` for curves like a camera's.
        settings: what was set, in words.
        table: ``(N, N, N, 3)`` float32 sRGB in [0, 1], indexed by red, green and blue node.
    """

    name: str
    family: str
    settings: str
    table: Tensor


def node_values(count: int) -> Tensor:
    """Return the scene-linear values ``(count,)`` of a table's nodes, float32.

    >>> node_values(21)[[0, 15]].tolist()
    [0.0, 1.0]
    """
    return (TOP * (torch.arange(count, dtype=torch.float64) / (count - 1)) ** _GAMMA).to(torch.float32)


def load_renderings(families: Sequence[str] | None = None) -> tuple[Rendering, ...]:
    """Load the renderings that come with the package, of all families or of those named.

    Raises:
        UnknownNameError: a family that no rendering has.

    >>> sorted({rendering.family for rendering in load_renderings()})
    ['base curve', 'darktable', 'libraw', 'rawtherapee']
    """
    renderings = _read()
    if families is None:
        return renderings
    known = {rendering.family: rendering.family for rendering in renderings}
    wanted = {pick(known, family, "rendering family") for family in families}
    return tuple(rendering for rendering in renderings if rendering.family in wanted)


def apply_table(linear: Tensor, tables: Tensor) -> Tensor:
    """Render scene-linear RGB by tables, one a sample, trilinearly between the nodes in ``x ** (1 / 2.2)``.

    Args:
        linear: ``(B, 3, H, W)`` float32, 1 = saturation of green; clamped to [0, TOP].
        tables: ``(B, N, N, N, 3)`` float32 sRGB in [0, 1], on the device of ``linear``; ``B`` may be 1 for all samples.

    Returns:
        ``(B, 3, H, W)`` float32 sRGB in [0, 1].

    Raises:
        UsageError: shapes that do not fit.
    """
    if linear.ndim != 4 or linear.shape[1] != 3:
        raise UsageError(f"scene-linear RGB is (B, 3, H, W); got {tuple(linear.shape)}.")
    batch, nodes = linear.shape[0], tables.shape[1] if tables.ndim == 5 else 0
    if tables.shape != (tables.shape[0], nodes, nodes, nodes, 3) or tables.shape[0] not in (1, batch) or nodes < 2:
        raise UsageError(f"tables for {batch} samples are ({batch}, N, N, N, 3); got {tuple(tables.shape)}.")
    # Even positions in [-1, 1], a pixel's coordinates last and blue first: grid_sample counts axes from the last.
    position = (linear.clamp(0.0, TOP) * (1 / TOP)).pow(1 / _GAMMA).mul(2.0).sub(1.0)
    grid = position.flip(1).permute(0, 2, 3, 1)[:, None]
    volume = tables.permute(0, 4, 1, 2, 3).to(linear.dtype).expand(batch, -1, -1, -1, -1)
    return grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)[:, :, 0]


def encode_tables(tables: np.ndarray) -> np.ndarray:
    """Pack tables ``(R, N, N, N, 3)`` in [0, 1] for the file: 12 bits, differences along blue, deflated bytes."""
    levels = np.rint(np.clip(tables, 0.0, 1.0) / QUANTUM).astype("<i2")
    steps = np.diff(levels, axis=3, prepend=np.zeros_like(levels[:, :, :, :1]))
    # Low bytes, then high bytes: the high ones are nearly all 0 or -1.
    return np.frombuffer(zlib.compress(steps.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes(), 9), np.uint8)


def decode_tables(packed: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Undo :func:`encode_tables`: float32 in [0, 1] of the shape ``(R, N, N, N, 3)``."""
    planes = np.frombuffer(zlib.decompress(packed.tobytes()), np.uint8).reshape(2, -1)
    steps = np.ascontiguousarray(planes.T).view("<i2").reshape(shape)
    return np.asarray(steps.cumsum(axis=3, dtype=np.int32) * QUANTUM, dtype=np.float32)


@cache
def _read() -> tuple[Rendering, ...]:
    arrays = load_arrays(resources.files("rawsynth.pairs").joinpath(FILE).read_bytes())
    entries = json.loads(arrays["entries"].tobytes())
    tables = torch.from_numpy(decode_tables(arrays["tables"], arrays["shape"].tolist()))
    return tuple(Rendering(**entry, table=table) for entry, table in zip(entries, tables, strict=True))
