"""Pillow image of any colour mode -> sRGB planes.

Colour management follows what browsers do, because web images are what people have checked by eye: the embedded ICC
profile is honoured; one that cannot be read, or that is for another kind of pixel, is ignored and the image taken as
sRGB; PNG gAMA/cHRM chunks and the EXIF ColorSpace tag are not read. CMYK has no such default, so it needs a profile
that works. The intent is relative colorimetric: with the perceptual one lcms2 compensates black points on its own,
which tints the grays of CMYK images.
"""

from __future__ import annotations

import io
import itertools
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from rawsynth.errors import SampleError

_DEEP_GRAY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_GRAY = ("1", "L", "LA", "La")
_COLOR = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr")
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
# lcms2 replaces a transform by a coarse table, up to 10 codes off in the shadows of a linear gray profile and of CMYK.
# Gray needs no table (256 pixels are converted), for CMYK a finer one leaves an error near black only.
_LCMS_FLAGS = {"L": ImageCms.Flags.NOOPTIMIZE, "RGB": ImageCms.Flags.NONE, "CMYK": ImageCms.Flags.HIGHRESPRECALC}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def srgb_planes(image: Image.Image) -> np.ndarray:
    """Convert a loaded Pillow image to sRGB planes.

    image:   any mode
    returns: contiguous (3, H, W); uint8, or float32 in [0, 1] for 16-bit grayscale

    Pillow itself reduces 16-bit RGB, RGBA and gray+alpha files to 8 bits.

    Raises SampleError for what has no faithful sRGB form: transparency, CMYK without a profile, floating point, Lab.

    >>> srgb_planes(Image.new("L", (2, 1), 7)).tolist()
    [[[7, 7]], [[7, 7]], [[7, 7]]]
    """
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) and profile else None
    if image.mode in _DEEP_GRAY:
        return _deep_gray_planes(image, profile)
    if image.mode == "CMYK":
        return _planes(_cmyk_to_rgb(image, profile))
    if image.mode in _GRAY:
        gray = _in_mode(_without_alpha(image), "L")
        table = _tone_table(profile)
        return np.repeat(_planes(gray if table is None else gray.point(list(table))), 3, axis=0)
    if image.mode in _COLOR:
        rgb = _in_mode(_without_alpha(image), "RGB")
        transform = _to_srgb(profile, "RGB") if profile else None
        return _planes(transform.apply_in_place(rgb) if transform else rgb)
    name = {"F": "floating point pixels", "LAB": "Lab pixels"}.get(image.mode, f"pixels of mode {image.mode}")
    raise SampleError(f"want 8-bit color or 8/16-bit gray, got {name}: convert it to sRGB first")


def _planes(image: Image.Image) -> np.ndarray:
    """Copy the bands of an 8-bit image into a contiguous (bands, H, W) uint8 array."""
    width, height = image.size
    bands = image.getbands()
    planes = np.empty((len(bands), height, width), np.uint8)
    for plane, band in zip(planes, bands, strict=True):
        # Pillow takes one band out of its pixels faster than NumPy turns interleaved ones into planes.
        plane[...] = np.frombuffer(image.tobytes("raw", band), np.uint8).reshape(height, width)
    return planes


def _without_alpha(image: Image.Image) -> Image.Image:
    """Drop an alpha channel, palette alpha or color key that hides nothing; raise SampleError when it hides a pixel."""
    if not image.has_transparency_data:
        return image
    mode = "LA" if image.mode in _GRAY else "RGBA"
    flat = _in_mode(image, mode)
    lowest = np.asarray(flat.getchannel("A")).min()
    if lowest < 255:
        raise _transparent(f"alpha down to {lowest} of 255")
    return flat.convert("L" if mode == "LA" else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # convert() alone would copy all pixels


def _transparent(how: str) -> SampleError:
    return SampleError(f"has transparency ({how}), and what lies behind it is unknown: flatten it first")


def _deep_gray_planes(image: Image.Image, profile: bytes | None) -> np.ndarray:
    """(3, H, W) float32 in [0, 1] of a 16-bit grayscale image (12-bit TIFF: of its 4095)."""
    table = _tone_table(profile)
    if table is not None:
        raise SampleError("16-bit gray with an ICC profile whose tone curve is not sRGB's: convert it to sRGB first")
    codes, white, inverted = np.asarray(image), 65535, False
    if codes.min() < 0 or codes.max() > white:
        raise SampleError(f"want 16-bit grayscale, got values from {codes.min()} to {codes.max()}: rescale it first")
    key = image.info.get("transparency")
    if isinstance(key, int) and bool((codes == key).any()):
        raise _transparent(f"color key {key}")
    if isinstance(image, TiffImageFile):
        white = 4095 if image.tag_v2.get(_TIFF_BITS_PER_SAMPLE) == (12,) else white
        inverted = image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0  # Pillow inverts WhiteIsZero at 8 bits, not at 16
    gray = codes.astype(np.float32) / np.float32(white)
    return np.repeat((1 - gray if inverted else gray)[None], 3, axis=0)


def _cmyk_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None:
        raise SampleError("CMYK without an ICC profile: convert it to sRGB first")
    transform = _to_srgb(profile, "CMYK")
    if transform is None:
        raise SampleError("CMYK with an ICC profile that cannot be used: convert it to sRGB first")
    return transform.apply(image)


def _tone_table(profile: bytes | None) -> bytes | None:
    """sRGB code of each of the 256 gray codes under a gray or RGB profile; None where that changes nothing.

    A table keeps the three channels equal, which a transform of the pixels does not (it rounds each one apart).
    """
    if profile is None:
        return None
    for mode in ("L", "RGB"):
        transform = _to_srgb(profile, mode)
        if transform is not None:
            table = transform.apply(_gray_ramp().convert(mode)).getchannel("G").tobytes()
            return None if _nearly_equal(table, bytes(range(256))) else table
    return None


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Transform from `profile`'s `mode` pixels to sRGB.

    None when the profile cannot be read, is for another mode, or already is sRGB (tried out on a lattice of colors,
    since the many sRGB profiles in use share neither bytes nor name). One transform may serve many threads: lcms2 keeps
    no state in it.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.ImageCmsTransform(opened, _SRGB, mode, "RGB", intent, flags=_LCMS_FLAGS[mode])
    except (OSError, ValueError):
        return None
    if mode == "CMYK":
        return transform
    probe = _gray_ramp() if mode == "L" else _color_lattice()
    unchanged = _nearly_equal(transform.apply(probe).tobytes(), probe.convert("RGB").tobytes())
    return None if unchanged else transform


def _nearly_equal(codes: bytes, wanted: bytes) -> bool:
    """Whether no code is further than rounding (1) from the wanted one."""
    distance = np.frombuffer(codes, np.uint8).astype(int) - np.frombuffer(wanted, np.uint8)
    return int(np.abs(distance).max()) <= 1


def _gray_ramp() -> Image.Image:
    return Image.frombytes("L", (256, 1), bytes(range(256)))


def _color_lattice() -> Image.Image:
    """A 17 x 17 x 17 grid of RGB codes, every 16th code and 255."""
    levels = (*range(0, 255, 16), 255)
    colors = bytes(itertools.chain.from_iterable(itertools.product(levels, repeat=3)))
    return Image.frombytes("RGB", (len(levels) ** 3, 1), colors)
