"""One stored RAW image as the bytes of a file that other programs open."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rawsynth.raw.cfa import unpack
from rawsynth.raw.dng import encode_dng
from rawsynth.raw.levels import Levels
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.quantize import dequantize
from rawsynth.raw.tiff import Directory, Kind, encode_tiff

PNG_TEXT = "rawsynth"
"""Key of a PNG's text chunk that holds the metadata."""

# The first date that a ZIP can state: equal input gives equal bytes.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class StoredRaw:
    """A clean or noisy image of a corpus.

    Attributes:
        dn: ``(4, h, w)`` uint16, planes in the CFA's reading order, as the corpus holds it.
        levels: of the DN.
        metadata: of the image, with its noise if it has any.
        facts: what the sample's JSON says of it, for the formats that take text.
        orientation: EXIF orientation that turns it upright.
    """

    dn: NDArray[np.uint16]
    levels: Levels
    metadata: RawMetadata
    facts: Mapping[str, Any]
    orientation: int = 1

    @property
    def text(self) -> str:
        """The facts as one line of ASCII JSON."""
        return json.dumps(self.facts, sort_keys=True, allow_nan=False)

    def mosaic(self) -> NDArray[np.uint16]:
        """Return the sensor image ``(2h, 2w)``."""
        return np.ascontiguousarray(unpack(torch.from_numpy(self.dn)).numpy())


def to_dng(raw: StoredRaw) -> bytes:
    """Encode as a Bayer DNG; the facts are its ImageDescription."""
    return encode_dng(
        raw.dn, raw.metadata, levels=raw.levels, orientation=raw.orientation, description=raw.text
    )


def to_png(raw: StoredRaw) -> bytes:
    """Encode the mosaic as 16-bit grayscale PNG, DN as they are; the facts are its text chunk ``rawsynth``."""
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text(PNG_TEXT, raw.text)
    Image.fromarray(raw.mosaic()).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def to_tiff(raw: StoredRaw) -> bytes:
    """Encode the mosaic as uncompressed 16-bit grayscale TIFF, DN as they are; the facts are its ImageDescription."""
    mosaic = raw.mosaic()
    height, width = mosaic.shape
    short, long = Kind.SHORT, Kind.LONG
    tags = {256: (long, [width]), 257: (long, [height]), 258: (short, [16]), 259: (short, [1]), 262: (short, [1])}
    described = {270: (Kind.ASCII, raw.text), 277: (short, [1]), 278: (long, [height])}
    return encode_tiff(Directory({**tags, **described}, mosaic.astype("<u2").tobytes()))


def to_npz(raw: StoredRaw) -> bytes:
    """Encode as NPZ: ``packed``, ``(4, h, w)`` float32 on the unit scale, and ``meta``, the facts as text."""
    arrays = {
        "packed": dequantize(torch.from_numpy(raw.dn.astype(np.int32)), raw.levels).numpy(),
        "meta": np.array(raw.text),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _NO_DATE), member.getvalue())
    return buffer.getvalue()


EXPORT_FORMATS: Mapping[str, Callable[[StoredRaw], bytes]] = {
    "dng": to_dng,
    "npz": to_npz,
    "png": to_png,
    "tiff": to_tiff,
}
"""Formats by the suffix of their files."""
