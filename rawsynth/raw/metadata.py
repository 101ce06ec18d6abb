"""Metadata of RAW images, a value a sample: what a consumer needs to use the planes, ready for JSON.

A batch holds its numbers as tensors with the batch's leading shape and its names as tuples nested the same way, so that
indexing, stacking and moving a batch move its metadata too, without leaving the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.raw.noise_params import NoiseRecord

TENSOR_FIELDS = ("cam_from_srgb", "white_balance", "rgb_gain", "cct", "iso", "shot", "read")
SAMPLE_FIELDS = ("cfa", "method", "method_version", "camera", "noise")


@dataclass(frozen=True)
class RawMetadata:
    """Metadata of one image (leading shape ``()``) or of a batch (leading shape ``(B,)`` or more).

    Attributes:
        cfa: layout of the planes, e.g. ``"RGGB"``.
        method: reverse ISP that made the image, with ``method_version``; ``"raw"`` in a corpus for RAW that a camera
            took; ``None`` where nothing is known.
        camera: camera profile, or ``None``.
        cam_from_srgb: ``(..., 3, 3)``, linear sRGB to camera RGB, rows sum to 1 (white stays white).
        white_balance: ``(..., 2)``, the red and blue gain that undo the sensor's response to white; green is 1.
        rgb_gain: ``(...)``, what linear values were divided by (Brooks et al. 2019); 1 where exposure was kept.
        cct: ``(...)`` kelvin, the correlated colour temperature of the scene's light, or ``None`` where unknown.
        iso: ``(...)``, or ``None`` where unknown.
        shot, read: ``(..., 4)`` S and O a plane, ``var = S x + O``; ``None`` where no noise was added.
        noise: the :class:`NoiseRecord` that replays the noise, or ``None``.
    """

    cfa: str | tuple[Any, ...]
    method: str | tuple[Any, ...] | None
    method_version: str | tuple[Any, ...] | None
    camera: str | tuple[Any, ...] | None
    cam_from_srgb: Tensor
    white_balance: Tensor
    rgb_gain: Tensor
    cct: Tensor | None = None
    iso: Tensor | None = None
    shot: Tensor | None = None
    read: Tensor | None = None
    noise: NoiseRecord | tuple[Any, ...] | None = None

    @classmethod
    def neutral(cls, shape: Sequence[int] = (), cfa: str = "RGGB", device: Any = None) -> RawMetadata:
        """Metadata of RAW data of which nothing is known but the CFA: identity matrix, unit gains."""
        lead = tuple(shape)
        return cls(
            cfa=fill(cfa, lead),
            method=fill(None, lead),
            method_version=fill(None, lead),
            camera=fill(None, lead),
            cam_from_srgb=torch.eye(3, device=device).expand(*lead, 3, 3).clone(),
            white_balance=torch.ones(*lead, 2, device=device),
            rgb_gain=torch.ones(lead, device=device),
            noise=fill(None, lead),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Leading shape: ``()`` for one image."""
        return tuple(self.rgb_gain.shape)

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> RawMetadata:
        """Apply ``function`` to every tensor that is present."""
        tensors = {name: getattr(self, name) for name in TENSOR_FIELDS}
        mapped: dict[str, Any] = {name: function(t) for name, t in tensors.items() if t is not None}
        return replace(self, **mapped)

    def __getitem__(self, index: Any) -> RawMetadata:
        if not self.shape:
            raise IndexError("this RawMetadata is of one image; index a batch.")
        index = plain_index(index, self.shape[0])
        picked = {name: take(getattr(self, name), index) for name in SAMPLE_FIELDS}
        return replace(self.map_tensors(lambda t: t[index]), **picked)

    @classmethod
    def stack(cls, items: Sequence[RawMetadata]) -> RawMetadata:
        """Stack images' metadata to a batch's.

        Raises:
            UsageError: there is nothing to stack, or some have a field that others lack.
        """
        if not items:
            raise UsageError("nothing to stack: give at least one RawMetadata.")
        stacked: dict[str, Any] = {name: tuple(getattr(m, name) for m in items) for name in SAMPLE_FIELDS}
        for name in TENSOR_FIELDS:
            values = [getattr(m, name) for m in items]
            present = [v for v in values if v is not None]
            if present and len(present) != len(values):
                raise UsageError(f"cannot stack: some images have {name!r} and some do not.")
            stacked[name] = torch.stack(present) if present else None
        return cls(**stacked)

    def to_json(self) -> Any:
        """Return a JSON object for one image, a (nested) list of them for a batch. Copies tensors to the host."""
        if self.shape:
            host = self.map_tensors(lambda t: t.detach().cpu())
            return [host[i].to_json() for i in range(self.shape[0])]
        out: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = value.detach().cpu().tolist()
            elif isinstance(value, NoiseRecord):
                value = value.to_json()
            out[field.name] = value
        return out

    @classmethod
    def from_json(cls, data: Any) -> RawMetadata:
        """Read what :meth:`to_json` wrote: an object, or a list of them."""
        if not isinstance(data, Mapping):
            return cls.stack([cls.from_json(item) for item in data])
        values: dict[str, Any] = {name: data.get(name) for name in SAMPLE_FIELDS}
        values["noise"] = None if values["noise"] is None else NoiseRecord.from_json(values["noise"])
        for name in TENSOR_FIELDS:
            values[name] = None if data.get(name) is None else torch.tensor(data[name], dtype=torch.float32)
        return cls(**values)


def fill(value: Any, shape: Sequence[int]) -> Any:
    """Nest ``value`` in tuples of the given shape; an empty shape gives the value itself."""
    for size in reversed(shape):
        value = (value,) * size
    return value


def nest(values: Iterator[Any], shape: Sequence[int]) -> Any:
    """Arrange a flat run of values as tuples of the given shape."""
    if not shape:
        return next(values)
    return tuple(nest(values, shape[1:]) for _ in range(shape[0]))


def plain_index(index: Any, size: int) -> int | slice | list[int]:
    """Reduce what indexes a batch's first dimension to an int, a slice or a list of ints.

    Raises:
        IndexError: a tuple, None or more than one dimension (index step by step, ``raw[i][j]``), or a mask of another
            length than ``size``.
    """
    if isinstance(index, slice):
        return index
    if index is Ellipsis:
        return slice(None)
    array = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if isinstance(index, tuple) or index is None or array.ndim > 1 or array.dtype.kind not in "iub":
        if not (isinstance(index, list) and not index):
            raise IndexError(f"a batch is indexed by an int, a slice, or a list of ints or bools; got {index!r}.")
        return []
    if array.ndim == 0:
        return int(array)
    if array.dtype == np.bool_ and len(array) != size:
        raise IndexError(f"a mask of {len(array)} values does not fit a batch of {size}.")
    picks: list[int] = (np.flatnonzero(array) if array.dtype == np.bool_ else array).tolist()
    return picks


def take(values: Any, index: int | slice | list[int]) -> Any:
    """Index a tuple as a tensor's first dimension is indexed."""
    return tuple(values[i] for i in index) if isinstance(index, list) else values[index]


def float32(value: Any) -> Any:
    """Round numbers, nested or not, to float32, so that what goes into JSON is what the device computes with."""
    return np.asarray(value, dtype=np.float32).astype(np.float64).tolist()


def flat(values: Any, shape: Sequence[int]) -> list[Any]:
    """List what :func:`nest` arranged."""
    return [values] if not shape else [leaf for value in values for leaf in flat(value, shape[1:])]
