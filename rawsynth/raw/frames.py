"""Frames as a sensor gave them, for measuring noise: camera RAW, gray PNG, TIFF and BMP, NPY; Bayer or monochrome."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawsynth import storage
from rawsynth.errors import SampleError
from rawsynth.raw.codecs import decode_dn
from rawsynth.raw.exif import DNG_VERSION, picture_tags, shot_tags, tiff_tags
from rawsynth.raw.files import RAW_SUFFIXES
from rawsynth.raw.libraw import bayer_layout, file_tags, opened, shot

FRAME_SUFFIXES = ("npy", "png", "tif", "tiff", "bmp", *RAW_SUFFIXES)
"""Lower-case suffixes of the files that :func:`read_frame` may read."""

_PNG_MAGIC, _BMP_MAGIC, _NPY_MAGIC, _JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"BM", b"\x93NUMPY", b"\xff\xd8\xff"
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_GRAYSCALE_MODES = ("L", "I;16", "I;16B", "I;16L", "I;16N")
# What else Pillow may find, in the words of the person who saved it.
_MODE_WORDS = {
    "1": "black and white", "P": "a palette", "RGB": "RGB colour", "RGBA": "RGB colour and transparency",
    "LA": "grayscale with transparency", "I": "32-bit integers", "F": "32-bit floats", "CMYK": "CMYK colour",
    "I;16S": "signed 16-bit integers",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame in the sensor's DN.

    Attributes:
        name: the file it came from.
        dn: ``(H, W)`` uint16 DN, in sensor orientation; sides may be odd.
        cfa: colours of the first 2x2 sites in reading order; ``None`` for a monochrome sensor, or where the file cannot
            say (PNG, TIFF, BMP, NPY).
        black_level, white_level: in DN, as the file or LibRaw's table says (black: mean of the four sites).
        bits: that a value may take; ``None`` where the file has 16-bit values and says no more.
        iso, exposure_s: ISO speed and exposure time.
        states_cfa: whether ``cfa`` comes from the file, so that ``None`` means monochrome.
    """

    name: str
    dn: NDArray[np.uint16] = field(repr=False)
    cfa: str | None = None
    black_level: float | None = None
    white_level: int | None = None
    bits: int | None = None
    iso: float | None = None
    exposure_s: float | None = None
    states_cfa: bool = False


def read_frame(url: str) -> Frame:
    """Read a frame; see :func:`decode_frame`.

    Raises:
        SampleError: damaged, or nothing that holds a sensor's DN.
        InputAccessError: it cannot be reached.
    """
    return decode_frame(storage.read_bytes(url), url)


def decode_frame(data: bytes, name: str) -> Frame:
    """Decode a frame: any RAW of LibRaw incl. DNG, PNG, TIFF or BMP of 8- or 16-bit grayscale, NPY of uint8 or uint16.

    Values are the file's own: nothing is subtracted, rescaled, turned or demosaiced. The content decides what it is; of
    files that begin like a TIFF, those named ``.tif`` or ``.tiff`` without DNG tags are pictures, all others RAW.

    Args:
        data: the file's bytes.
        name: what messages call it.

    Raises:
        SampleError: damaged, or pixels that are no sensor's DN; the message says what to save instead.
    """
    decode = {"npy": _decode_npy, "picture": _decode_picture, "raw": _decode_raw}[_kind(data, name)]
    return decode(data, name)


def _kind(data: bytes, name: str) -> str:
    if data.startswith(_NPY_MAGIC):
        return "npy"
    if data.startswith(_JPEG_MAGIC):
        raise SampleError(f"{name} is a JPEG: developed and compressed, its noise is no sensor's. Give the RAW file.")
    if data.startswith(_TIFF_MAGICS) and name.lower().endswith((".tif", ".tiff")):
        return "raw" if DNG_VERSION in tiff_tags(data) else "picture"
    return "picture" if data.startswith((_PNG_MAGIC, _BMP_MAGIC)) else "raw"


def _decode_npy(data: bytes, name: str) -> Frame:
    eight_bits = b"'|u1'" in data[:128]
    try:
        dn = decode_dn(_widened(data) if eight_bits else data)
    except SampleError as error:
        raise SampleError(f"{name}: {error}") from error
    if dn.ndim != 2 or not dn.size:
        raise SampleError(f"{name}: wanted one frame (H, W) of uint8 or uint16, got {dn.shape}; save one file a frame")
    return Frame(name, dn, bits=8 if eight_bits else None)


def _widened(data: bytes) -> bytes:
    """Turn an NPY file of uint8 into one of uint16; ``|u1`` and ``<u2`` are equally long, so its header stays whole."""
    short = data[6:7] == b"\x01"
    start = 10 + int.from_bytes(data[8:10], "little") if short else 12 + int.from_bytes(data[8:12], "little")
    header = data[:start].replace(b"'|u1'", b"'<u2'", 1)
    return header + np.frombuffer(data[start:], np.uint8).astype("<u2").tobytes()


@contextmanager
def _picture(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open with Pillow; whatever it says of the content, then or later, is a SampleError."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF", "BMP")) as image:
            yield image
    except SampleError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise most kinds over damaged content
        cause = f"{type(error).__name__}: {error}"
        raise SampleError(f"{name}: cannot decode these {len(data)} bytes: {cause}. Is the file whole?") from error


def _decode_picture(data: bytes, name: str) -> Frame:
    with _picture(data, name) as image:
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise SampleError(f"{name} holds {pages} pages; save one file a frame.")
        bits = _stated_bits(image, data)
        iso, exposure_s = shot_tags(picture_tags(image))
        image.load()
        mode, pixels = image.mode, np.asarray(image)
    if mode not in _GRAYSCALE_MODES or bits is None:
        what = _MODE_WORDS.get(mode, f"mode {mode}") if mode not in _GRAYSCALE_MODES else "scaled or inverted gray"
        raise SampleError(
            f"{name} holds {what}; a sensor's DN are 8- or 16-bit grayscale. Save the RAW values themselves, neither "
            "demosaiced nor scaled, as 16-bit grayscale PNG or as NPY of uint16."
        )
    stated = bits if bits < 16 else None
    return Frame(name, np.array(pixels, dtype=np.uint16), bits=stated, iso=iso, exposure_s=exposure_s)


def _stated_bits(image: Image.Image, data: bytes) -> int | None:
    """Return the depth that the header states; ``None`` where Pillow would not hand over the values as stored."""
    if image.format == "PNG":
        depth = data[24]
        if depth not in (8, 16):
            return None
        # sBIT tells how many bits are significant; values are scaled up to the full depth, so only the depth counts.
        return depth
    if image.format == "BMP":
        return 8
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]
    depths = tags.get(_TIFF_BITS, (1,))
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO or not 8 <= depths[0] <= 16:
        return None
    return int(depths[0])


def _decode_raw(data: bytes, name: str) -> Frame:
    with opened(data, name) as raw:
        # LibRaw counts one colour where there is no filter.
        mono = raw.num_colors == 1 and raw.raw_image_visible.ndim == 2
        cfa, colors = (None, [0, 0, 0, 0]) if mono else bayer_layout(raw, name, data)
        black, white = raw.black_level_per_channel, int(raw.white_level)
        iso, exposure_s = shot(raw, file_tags(raw, data))
        return Frame(
            name,
            raw.raw_image_visible.copy(),
            cfa=cfa,
            black_level=sum(black[color] for color in colors) / 4,
            white_level=white or None,
            bits=min(max(white.bit_length(), 8), 16) if white else None,
            iso=iso,
            exposure_s=exposure_s,
            states_cfa=True,
        )
