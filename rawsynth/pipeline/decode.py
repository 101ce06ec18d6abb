"""Encoded image bytes -> upright sRGB planes, and the two size changes that follow.

Everything here runs in a thread pool and depends on its arguments only. Whatever is wrong with the bytes becomes a
SampleError. What a file is, is the subject of `image_formats`; colour that of `color_modes`.
"""

from __future__ import annotations

import io
import math
import struct
import zlib

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from rawsynth.errors import SampleError, UsageError
from rawsynth.pipeline.color_modes import srgb_planes
from rawsynth.pipeline.image_effort import check_effort
from rawsynth.pipeline.image_formats import pick_reader
from rawsynth.pipeline.pillow_guard import pillow_guarded
from rawsynth.raw.orientation import ORIENTATIONS, upright

# Pillow's readers index, unpack and assert on what the file says, so damaged content surfaces as any of these.
# Warning is here for `python -W error`, AttributeError for readers that go on after a failed step.
_CONTENT_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    EOFError, RuntimeError, BufferError, Warning, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

# Some readers put what they found into their message, however much it is.
_LONGEST_CAUSE = 300
_MOST_COUNTED = 1000
_ORIENTATION_TAG = 274
_TIFF_SUBFILE_TYPE, _DNG_VERSION = 254, 50706


def decode_srgb(data: bytes, *, max_pixels: int) -> np.ndarray:
    """Decode one encoded image to upright sRGB.

    data:       a whole JPEG, PNG, WebP, TIFF, GIF, AVIF, JPEG 2000, BMP or PPM file (HEIC with pillow-heif)
    max_pixels: largest width x height, checked in the header before any pixel is decoded; Pillow's own limit is moot
    returns:    contiguous (3, H, W): uint8, or float32 in [0, 1] for 16-bit grayscale

    EXIF orientation is applied (unreadable EXIF is ignored), an ICC profile is converted to sRGB, see `color_modes`.

    Raises SampleError for all that is wrong with the content: damaged, animated, transparent, too large, not an image.

    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (3, 2), (10, 20, 30)).save(buffer, "PNG")
    >>> decode_srgb(buffer.getvalue(), max_pixels=1_000_000)[:, 0, 0].tolist()
    [10, 20, 30]
    """
    if max_pixels < 1:
        raise UsageError(f"max_pixels wants a positive number, got {max_pixels}")
    if not data:
        raise SampleError("empty file: want an encoded image, got 0 bytes")
    name, reader = pick_reader(data)
    try:
        with pillow_guarded():
            image = reader(io.BytesIO(data))
            _check_header(image, name, max_pixels)
            check_effort(image, data, max_pixels)
            if name == "PNG":
                _rescale_color_key(image, bits=data[24])
            image.load()
            return _turned_upright(srgb_planes(image), _orientation(image))
    except SampleError:
        raise
    except _CONTENT_FAULTS as fault:
        cause = f"{type(fault).__name__}: {' '.join(str(fault).split())[:_LONGEST_CAUSE]}"
        raise SampleError(f"cannot decode {name} of {len(data)} bytes, is it damaged? {cause}") from fault


def _check_header(image: ImageFile.ImageFile, name: str, max_pixels: int) -> None:
    """Raise SampleError for what the header already rules out."""
    width, height = image.size
    if width * height > max_pixels:
        size = f"{width}x{height} = {width * height} pixels"
        raise SampleError(f"{size} exceeds max_pixels {max_pixels}; raise --max-pixels")
    frames = _count_pages(image) if isinstance(image, TiffImageFile) else getattr(image, "n_frames", 1)
    # Of the images in one HEIC the file says which is the photograph, and that one is opened.
    if frames != 1 and name != "HEIC":
        raise SampleError(f"{name} with {frames} frames, want a single image: save the frame to use as its own file")
    if isinstance(image, TiffImageFile):
        # The first page of DNG, NEF and ARW files is a preview, which must not pass for the photograph.
        if _DNG_VERSION in image.tag_v2 or image.tag_v2.get(_TIFF_SUBFILE_TYPE, 0) & 1:
            raise SampleError(
                "TIFF whose first page is a preview, a camera RAW file (DNG, NEF, ARW)? give it the suffix of one"
            )


def _count_pages(image: TiffImageFile) -> int | str:
    """Count a TIFF's pages, but not for ever: Pillow takes a time that grows with the square of their number."""
    if getattr(image, "is_animated", False):
        for count in range(1, _MOST_COUNTED):
            try:
                image.seek(count)
            except EOFError:
                return count
        return f"{_MOST_COUNTED} or more"
    return 1


def _rescale_color_key(image: ImageFile.ImageFile, *, bits: int) -> None:
    """Bring a PNG color key to the 8 bits of Pillow's pixels, which Pillow itself leaves undone."""
    key = image.info.get("transparency")
    if bits == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif bits in (2, 4) and image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = min(key * 255 // (2**bits - 1), 255)


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation of a loaded image, 1 (upright) when there is none or EXIF cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _CONTENT_FAULTS:
        return 1
    return value if isinstance(value, int) else 1


def _turned_upright(planes: np.ndarray, orientation: int) -> np.ndarray:
    """(3, H, W) as stored -> (3, H', W') as seen, contiguous."""
    return np.ascontiguousarray(upright(planes, orientation if orientation in ORIENTATIONS else 1))


def crop_to_even(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Drop the last row and/or column of an odd side, since a Bayer mosaic has whole 2x2 blocks only.

    image:   (3, H, W)
    returns: (3, H - H % 2, W - W % 2), contiguous when cropped, and whether it was

    Raises SampleError when a side is 1.

    >>> crop_to_even(np.zeros((3, 5, 4)))[0].shape
    (3, 4, 4)
    """
    _, height, width = image.shape
    if height < 2 or width < 2:
        raise SampleError(f"want at least 2x2 pixels (one Bayer block), got {width}x{height}")
    if height % 2 == 0 and width % 2 == 0:
        return image, False
    return np.ascontiguousarray(image[:, : height // 2 * 2, : width // 2 * 2]), True


def downscale_linear(image: np.ndarray, factor: float) -> np.ndarray:
    """Average `factor` x `factor` areas in linear light, as a sensor with pixels that much larger would.

    image:   sRGB (3, H, W), uint8 or float32 in [0, 1]
    factor:  >= 1, need not be whole: a pixel on the edge of two areas counts in each by the part that it covers
    returns: sRGB float32 (3, floor(H / factor), floor(W / factor)) in [0, 1]; the image itself at factor 1

    What is left over at the bottom and right (less than one area) is dropped, so that the scale is `factor` both ways.

    Raises UsageError for a factor below 1, SampleError when no pixel would be left.

    >>> stripes = np.array([[[0, 255], [0, 255]]] * 3, np.uint8)
    >>> downscale_linear(stripes, 2.0).round(3).tolist()[0]  # half the light is sRGB 0.735, not 0.5
    [[0.735...]]
    """
    if not 1 <= factor < math.inf:
        raise UsageError(f"downscale factor wants a number from 1 up, got {factor}")
    if factor == 1:
        return image
    _, height, width = image.shape
    # The tolerance keeps 33 / 1.1 at 30, which binary fractions make 29.999...
    rows, columns = (math.floor(side / factor + 1e-9) for side in (height, width))
    if rows < 1 or columns < 1:
        raise SampleError(f"downscaling {width}x{height} by {factor} leaves no pixel: filter small images out")
    small = np.empty((len(image), rows, columns), np.float32)
    for plane, target in zip(image, small, strict=True):
        shorter = _area_mean(_srgb_to_linear(plane), factor, rows)
        target[...] = _linear_to_srgb(_area_mean(np.ascontiguousarray(shorter.T), factor, columns).T)
    return small


def _area_mean(lines: np.ndarray, factor: float, count: int) -> np.ndarray:
    """(N, M) float32 -> (count, M): exact means of `factor` lines each.

    Pillow's BOX filter is not this: it counts each line wholly or not at all.
    """
    start = np.arange(count) * factor
    first = np.floor(start).astype(int)
    mean = np.zeros((count, lines.shape[1]), np.float32)
    for tap in range(math.ceil(factor) + 1):
        line = first + tap
        covered = np.minimum(line + 1, start + factor) - np.maximum(line, start)
        weight = (np.clip(covered, 0, 1) / factor).astype(np.float32)
        mean += weight[:, None] * lines[np.minimum(line, len(lines) - 1)]
    return mean


def _srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 decoding, uint8 codes or float in [0, 1] -> linear float32."""
    if srgb.dtype == np.uint8:
        return np.take(_LINEAR_OF_CODE, srgb)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 encoding, linear float32 -> [0, 1] float32."""
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    return np.clip(srgb, 0, 1).astype(np.float32)


_LINEAR_OF_CODE = _srgb_to_linear(np.arange(256) / 255)
