"""One pair of a corpus decoded for looking at it: its RAW images with their metadata, and its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.corpus.picking import Picked
from rawsynth.corpus.reading import unit_scale
from rawsynth.errors import SampleError
from rawsynth.raw.codecs import decode_rgb
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import Levels
from rawsynth.raw.metadata import RawMetadata

_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True)
class DecodedPair:
    """What one pair holds.

    Attributes:
        name: key of the pair.
        meta: its JSON.
        clean: ``(4, h, w)``, unit scale.
        noisy: likewise, or ``None`` where the corpus stores clean RAW only.
        entry: of the noisy image in the JSON: levels, noise, S and O; of the first recorded draw where none is stored;
            ``None`` without either.
        srgb: ``(3, H, W)`` uint8 of the source view, where the corpus was made with ``--srgb``.
    """

    name: str
    meta: Mapping[str, Any]
    clean: RawImage
    noisy: RawImage | None
    entry: Mapping[str, Any] | None
    srgb: NDArray[np.uint8] | None

    @property
    def levels(self) -> Levels:
        """Levels of the noisy image, of the clean one where that is all."""
        stored = self.meta["clean"] if self.noisy is None or self.entry is None else self.entry
        return Levels(**stored["levels"])


def decode_pair(sample: Picked) -> DecodedPair:
    """Decode a picked sample.

    Raises:
        SampleError: a member is missing or damaged, or they do not fit each other.
    """
    try:
        return _decode(sample)
    except SampleError:
        raise
    except _DAMAGE as error:
        raise SampleError(f"{type(error).__name__}: {error}") from error


def _decode(sample: Picked) -> DecodedPair:
    members = sample.members
    meta = json.loads(members["json"])
    raw = RawMetadata.from_json(meta["raw"])
    clean = _image(members["clean.npy"], meta["clean"]["levels"], raw)
    entries = meta["noisy"] or meta.get("noise_draws", [])
    if sample.realization >= max(1, len(entries)):
        raise SampleError(f"it has {len(entries)} noisy images, wanted number {sample.realization}")
    entry = entries[sample.realization] if entries else None
    noisy = None
    if meta["noisy"] and entry is not None:
        noisy = _image(members[entry["member"]], entry["levels"], raw)
        if noisy.shape != clean.shape:
            raise SampleError(f"noisy {tuple(noisy.shape)} does not fit clean {tuple(clean.shape)}")
    srgb = decode_rgb(members["srgb.jpg"]) if "srgb.jpg" in members else None
    return DecodedPair(sample.name, meta, clean, noisy, entry, srgb)


def _image(npy: bytes, levels: dict[str, int], raw: RawMetadata) -> RawImage:
    packed = unit_scale(npy, levels)
    if packed.dim() != 3 or packed.shape[0] != 4 or not packed.numel():
        raise SampleError(f"wanted planes (4, h, w), got {tuple(packed.shape)}")
    return RawImage(packed, raw)
