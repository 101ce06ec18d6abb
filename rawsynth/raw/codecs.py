"""Arrays and metadata as the members of a WebDataset sample."""

from __future__ import annotations

import io
import json
import struct
import tokenize
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from PIL import Image

from rawsynth.errors import SampleError

Members = dict[str, bytes]
JPEG_QUALITY = 95
# Level 3 takes half the time of zlib's default and costs 2 % in size on photographs.
PNG_COMPRESSION = 3

_ORIENTATION_TAG = 274
# NumPy evaluates the header as Python's own syntax, and takes a second look at one that looks like Python 2's.
_NPY_FAULTS = (
    ValueError, SyntaxError, TypeError, LookupError, OverflowError, RecursionError, MemoryError, Warning,
    tokenize.TokenError,
)  # fmt: skip
# Pillow's readers index, unpack and assert on what the file says, so damaged content surfaces as any of these.
_IMAGE_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    EOFError, RuntimeError, BufferError, Warning, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header: Any = {"descr": "<u2", "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def encode_npy(dn: NDArray[np.uint16]) -> bytes:
    """Encode DN as an NPY 1.0 file of little-endian uint16."""
    array = np.ascontiguousarray(dn, dtype="<u2")
    return b"".join((_npy_header(array.shape), array.data.cast("B")))


def decode_dn(data: bytes) -> NDArray[np.uint16]:
    """Decode an NPY file that must hold uint16, whoever wrote it: any shape, byte order and memory order.

    Nothing is allocated on the word of a header: the bytes that are there have to be as many as it says.

    Raises:
        SampleError: no NPY file, cut short or too long, or values of another type; pickled arrays are refused.
    """
    stream = io.BytesIO(data)
    try:
        version = npy_format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"NPY version {version}")
        read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
    except _NPY_FAULTS as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise SampleError(f"wanted an NPY file of uint16, got {len(data)} bytes that are none: {cause}") from error
    if dtype.kind != "u" or dtype.itemsize != 2:
        what = "pickled objects, which are never loaded" if dtype.hasobject else str(dtype)
        raise SampleError(f"wanted uint16 DN, got {what} {shape}; save them with numpy.save as uint16")
    count, payload = 1, len(data) - stream.tell()
    for side in shape:
        count *= side
    if min(shape, default=1) < 0 or payload != 2 * count:
        raise SampleError(f"wanted {2 * count} bytes of uint16 {shape}, got {payload}: damaged or cut short")
    flat = np.frombuffer(data, dtype, count, offset=stream.tell())
    return np.array(flat.reshape(shape, order="F" if fortran_order else "C"), dtype=np.uint16, order="C")


def encode_json(data: Mapping[str, Any]) -> bytes:
    """Encode metadata as ASCII JSON with sorted keys, so that equal metadata are equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_jpeg(srgb: NDArray[Any]) -> bytes:
    """Encode ``(3, H, W)`` sRGB, uint8 or float in [0, 1], as JPEG without chroma subsampling."""
    pixels = srgb if srgb.dtype == np.uint8 else np.rint(srgb * 255).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(
        buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0
    )
    return buffer.getvalue()


def encode_png(srgb: NDArray[np.uint8]) -> bytes:
    """Encode ``(3, H, W)`` uint8 sRGB as PNG, which loses nothing."""
    buffer = io.BytesIO()
    pixels = np.ascontiguousarray(srgb.transpose(1, 2, 0))
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=PNG_COMPRESSION)
    return buffer.getvalue()


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or WebP of 8-bit RGB to ``(3, H, W)`` uint8, pixels and their order as stored.

    For an image that belongs to a RAW: nothing is turned, converted or rescaled. Photographs from anywhere go through
    :func:`rawsynth.pipeline.decode.decode_srgb`.

    Raises:
        SampleError: damaged, another format, not 8-bit RGB, or EXIF says that it is to be turned.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            image.load()
            # Pillow cuts 16-bit PNG down to 8 without a word; its header has the depth at byte 24.
            bits = data[24] if image.format == "PNG" else 8
            mode, orientation = image.mode, _orientation(image)
            pixels = np.asarray(image)
    except _IMAGE_FAULTS as error:
        cause = f"{type(error).__name__}: {error}"
        raise SampleError(f"wanted a JPEG, PNG or WebP, got {len(data)} bytes; cannot decode them: {cause}") from error
    if mode != "RGB" or bits != 8:
        raise SampleError(f"wanted 8-bit RGB, got mode {mode} of {bits} bits; convert it to RGB without transparency")
    if orientation in range(2, 9):
        raise SampleError(
            f"wanted an upright image, got EXIF orientation {orientation}: whether its pixels fit the RAW as stored or "
            "as turned cannot be told. Store it the way that fits, without the tag"
        )
    return pixels.transpose(2, 0, 1).copy()


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except _IMAGE_FAULTS:
        return 1


def noisy_members(realizations: int) -> Sequence[str]:
    """Names of the noisy members: ``noisy.npy``, or ``noisy.0.npy``, ``noisy.1.npy``, ... if there are several."""
    return ["noisy.npy"] if realizations == 1 else [f"noisy.{k}.npy" for k in range(realizations)]
