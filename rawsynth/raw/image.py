"""RawImage: packed RAW planes with their metadata, moving together as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data._utils.collate import default_collate_fn_map

from rawsynth.errors import UsageError
from rawsynth.raw import cfa as cfa_module
from rawsynth.raw.metadata import TENSOR_FIELDS, RawMetadata, fill, plain_index

# Light beyond white is no error; DN are far brighter.
_BRIGHTEST = 16.0


@dataclass(frozen=True, repr=False)
class RawImage:
    """RAW image or batch.

    Behaves as a batch does elsewhere in PyTorch: ``.to(...)``, ``.pin_memory()``, indexing, iteration, :meth:`stack`,
    ``DataLoader`` collation, and a pytree whose leaves are its tensors. Notebooks show it rendered.

    Attributes:
        packed: ``(..., 4, h, w)`` float, black 0, white 1, planes in the CFA's reading order; values below 0 are noise
            under the black level and are kept.
        metadata: values a sample, with the same leading shape.

    >>> raw = RawImage.from_packed(torch.zeros(2, 4, 3, 5))
    >>> raw[0].packed.shape, raw[0].metadata.cfa
    (torch.Size([4, 3, 5]), 'RGGB')
    """

    packed: Tensor
    metadata: RawMetadata

    @classmethod
    def from_packed(
        cls,
        packed: Tensor,
        cfa: str = "RGGB",
        *,
        camera: str | None = None,
        iso: float | Sequence[float] | Tensor | None = None,
    ) -> RawImage:
        """Wrap planes that come from elsewhere.

        Args:
            packed: ``(..., 4, h, w)``, black 0, white 1.
            cfa: the planes' order.
            camera: profile that describes them, for ``AddNoise(camera="image")``.
            iso: they were taken at, one for all or one an image.

        Raises:
            UsageError: ``packed`` is not ``(..., 4, h, w)`` floating point, holds DN (seen on the CPU only), or ``cfa``
                is not a Bayer layout.
        """
        if not isinstance(packed, Tensor):
            raise UsageError(f"packed RAW is a tensor; got {type(packed).__name__}. An array: torch.from_numpy(array).")
        if packed.dim() < 3 or packed.shape[-3] != 4 or not packed.is_floating_point():
            raise UsageError(f"packed RAW is float (..., 4, h, w); got {packed.dtype} {tuple(packed.shape)}.")
        cfa_module.check_cfa(cfa)
        _check_unit_scale(packed)
        lead = tuple(packed.shape[:-3])
        metadata = replace(RawMetadata.neutral(lead, cfa, packed.device), camera=fill(camera, lead))
        if iso is not None:
            try:
                isos = torch.as_tensor(iso, dtype=torch.float32, device=packed.device).expand(lead)
            except (TypeError, ValueError, RuntimeError) as error:
                raise UsageError(f"iso is one number, or one an image of {lead}; got {iso!r}.") from error
            metadata = replace(metadata, iso=isos.clone())
        return cls(packed, metadata)

    def __post_init__(self) -> None:
        if not isinstance(self.metadata, RawMetadata):
            what = type(self.metadata).__name__
            raise UsageError(f"a RawImage has RawMetadata; got {what}. RawImage.from_packed(planes, cfa) makes some.")
        lead, described = tuple(self.packed.shape[:-3]), self.metadata.shape
        if lead != described:
            raise UsageError(
                f"planes {tuple(self.packed.shape)} need metadata of leading shape {lead}; got that of {described}. "
                "Index or stack the metadata as the planes were: metadata[i], RawMetadata.stack([...])."
            )

    @property
    def shape(self) -> torch.Size:
        """Shape of ``packed``."""
        return self.packed.shape

    @property
    def device(self) -> torch.device:
        """Device of ``packed``."""
        return self.packed.device

    @property
    def is_batched(self) -> bool:
        """Whether there is a leading dimension."""
        return self.packed.dim() > 3

    def to(self, *args: Any, **kwargs: Any) -> RawImage:
        """Move as ``Tensor.to`` does; a dtype applies to ``packed`` only, metadata stay float32."""
        packed = self.packed.to(*args, **kwargs)
        moved = self.metadata.map_tensors(lambda t: t.to(packed.device, non_blocking=kwargs.get("non_blocking", False)))
        return RawImage(packed, moved)

    def cpu(self) -> RawImage:
        """Return this on the CPU."""
        return self.to("cpu")

    def pin_memory(self) -> RawImage:
        """Copy to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return RawImage(self.packed.pin_memory(), self.metadata.map_tensors(Tensor.pin_memory))

    def mosaic(self) -> Tensor:
        """Return the sensor image ``(..., 2h, 2w)``."""
        return cfa_module.unpack(self.packed)

    def variance(self) -> Tensor:
        """Return the noise's variance map from the planes themselves: ``S * max(x, 0) + O``, shape of ``packed``.

        Raises:
            UsageError: no noise was added.
        """
        if self.metadata.shot is None or self.metadata.read is None:
            raise UsageError("no noise is recorded on this image; pass it through AddNoise first.")
        shot, read = self.metadata.shot[..., None, None], self.metadata.read[..., None, None]
        return shot * self.packed.clamp(min=0) + read

    def __repr__(self) -> str:
        """Say what this is, not its pixels: ``packed`` and ``metadata`` show those."""
        meta, packed = self.metadata, self.packed
        noise = [None if record is None else record.model for record in _flat(meta.noise)]
        said = [f"{tuple(packed.shape)} {str(packed.dtype).removeprefix('torch.')} on {packed.device}"]
        said += filter(None, map(_briefly, (_flat(meta.cfa), _flat(meta.method), _flat(meta.camera))))
        if meta.iso is not None and meta.iso.numel() and not meta.iso.is_meta:
            ends = sorted({float(meta.iso.min()), float(meta.iso.max())})
            said.append(f"ISO {' to '.join(f'{iso:.0f}' for iso in ends)}")
        said.append(_briefly(noise) or "no noise")
        return f"RawImage({', '.join(said)})"

    def __len__(self) -> int:
        self._need_batch()
        return self.packed.shape[0]

    def __getitem__(self, index: Any) -> RawImage:
        self._need_batch()
        index = plain_index(index, len(self))
        return RawImage(self.packed[index], self.metadata[index])

    def __iter__(self) -> Iterator[RawImage]:
        return (self[i] for i in range(len(self)))

    def _repr_png_(self) -> bytes | None:
        """Return what Jupyter shows: the image rendered, or the first of a batch in a strip, in bounded size."""
        # Imported here: it stands on this module, and only notebooks need it.
        from rawsynth.raw.display import encode_shown

        return encode_shown(self)

    def _need_batch(self) -> None:
        if not self.is_batched:
            raise TypeError("this RawImage is one image, not a batch; stack images with RawImage.stack([...]).")

    @classmethod
    def stack(cls, images: Sequence[RawImage]) -> RawImage:
        """Stack images of one size to a batch; the inverse of iterating.

        Raises:
            UsageError: there is nothing to stack, sizes differ, or some have a field of metadata that others lack.
        """
        if len(sizes := {tuple(image.shape) for image in images}) > 1:
            raise UsageError(f"images of one size make a batch; got {sorted(sizes)}. Crop them, or take batch_size=1.")
        metadata = RawMetadata.stack([image.metadata for image in images])
        return cls(torch.stack([image.packed for image in images]), metadata)


def _check_unit_scale(packed: Tensor) -> None:
    # Asked of the CPU only: to look at a GPU's values would wait for it, and a compiler has none.
    if packed.device.type != "cpu" or not packed.numel() or torch.compiler.is_compiling():
        return
    if (most := float(packed.detach().amax())) > _BRIGHTEST:
        raise UsageError(
            f"packed RAW has black at 0 and white at 1; got values up to {most:g}. Of DN make (dn - black) / (white - "
            "black)."
        )


def _flat(values: Any) -> list[Any]:
    """The values of all images, which stand in tuples as deep as there are leading dimensions."""
    return [one for value in values for one in _flat(value)] if isinstance(values, tuple) else [values]


def _briefly(names: list[Any]) -> str:
    """The first two of the names that there are, and how many more."""
    found = list(dict.fromkeys(str(name) for name in names if name is not None))
    return " / ".join(found[:2]) + (f" / {len(found) - 2} more" if len(found) > 2 else "")


def _collate(batch: Sequence[RawImage], *, collate_fn_map: Any = None) -> RawImage:
    return RawImage.stack(batch)


def _flatten(image: RawImage) -> tuple[list[Any], Any]:
    values = {field.name: getattr(image.metadata, field.name) for field in fields(image.metadata)}
    present = [name for name in TENSOR_FIELDS if values[name] is not None]
    rest = {name: value for name, value in values.items() if name not in present}
    return [image.packed, *(values[name] for name in present)], (present, rest)


def _unflatten(leaves: Any, context: Any) -> RawImage:
    packed, *tensors = leaves
    present, rest = context
    metadata = RawMetadata(**rest, **dict(zip(present, tensors, strict=True)))
    # Unchecked: a pytree may hold anything for a while, such as specifications of its leaves.
    image = object.__new__(RawImage)
    object.__setattr__(image, "packed", packed)
    object.__setattr__(image, "metadata", metadata)
    return image


default_collate_fn_map[RawImage] = _collate
pytree.register_pytree_node(RawImage, _flatten, _unflatten, serialized_type_name="rawsynth.RawImage")
