"""The sRGB of a RAW file: the camera's JPEG beside it, the preview in it, or LibRaw's development."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from rawsynth import storage
from rawsynth.errors import SampleError
from rawsynth.raw.files import RawFile, develop
from rawsynth.raw.orientation import ORIENTATIONS, between

SrgbSource = Literal["auto", "jpeg", "preview", "libraw"]
SRGB_SOURCES: tuple[str, ...] = get_args(SrgbSource)

# A camera's JPEG lacks a few pixels at the border of what LibRaw shows; beyond this it was cropped or scaled.
_SIZE_TOLERANCE = 0.03
_ORIENTATION, _INTEROP_IFD, _INTEROP_INDEX = 274, 40965, 1
_ADOBE_RGB = "R03"
# Largest difference, in codes of 255, of a profile that is sRGB but for rounding.
_SAME_COLOR = 3


@dataclass(frozen=True, eq=False)
class Rendition:
    """An sRGB image of a RAW file.

    Attributes:
        srgb: ``(3, H, W)`` uint8 as stored.
        source: ``"jpeg"``, ``"preview"`` or ``"libraw"``.
        path: of the JPEG beside the RAW, relative to the input.
        turn: orientation that turns it to the sensor's, as far as the tags of both say.
        profile: name of the colour profile that it was converted from, ``None`` where it was sRGB.
    """

    srgb: NDArray[np.uint8] = field(repr=False)
    source: str
    path: str | None = None
    turn: int = 1
    profile: str | None = None


@dataclass(frozen=True)
class Choice:
    """Which sRGB image goes with a RAW file.

    Attributes:
        rendition: the image; where there is a fault, one to be shown for it, or ``None``.
        fault: why there is none to make pairs of, ``None`` where there is.
        passed_over: why each one that would have been preferred was not taken.
    """

    rendition: Rendition | None
    fault: str | None
    passed_over: tuple[str, ...]


def choose_rendition(raw: RawFile, jpegs: Sequence[tuple[str, str]], wanted: SrgbSource) -> Choice:
    """Take the first sRGB image of a RAW file that can be read, is in colour and has the sensor's size.

    Args:
        raw: the RAW file.
        jpegs: path and URL of the JPEGs beside it.
        wanted: one kind, or ``"auto"``: a JPEG beside it, else its preview, else LibRaw's development.

    Raises:
        InputAccessError: a JPEG cannot be reached; nothing else is taken in its place.
    """
    passed_over: list[str] = []
    shown: Rendition | None = None
    for kind in SRGB_SOURCES[1:] if wanted == "auto" else [wanted]:
        for name, read in _candidates(kind, raw, jpegs):
            try:
                rendition = read()
            except SampleError as error:
                passed_over.append(f"{name}: {error}")
                continue
            fault = size_fault(rendition.srgb.shape, raw.mosaic.shape)
            if fault is None:
                return Choice(rendition, None, tuple(passed_over))
            passed_over.append(f"{name}: {fault}")
            shown = shown or rendition
    missing = {"jpeg": "no JPEG of its name beside it", "preview": "no JPEG preview in it"}
    return Choice(shown, "; ".join(passed_over) or missing.get(wanted, "no sRGB image"), ())


def size_fault(shape: tuple[int, ...], sensor: tuple[int, ...]) -> str | None:
    """Say why an image ``(3, H, W)`` cannot lie pixel on pixel on a sensor ``(H, W)``; upright or not is all one."""
    height, width = shape[-2:]
    if fits((height, width), sensor) or fits((width, height), sensor):
        return None
    aspects = [min(size) / max(size) for size in ((height, width), sensor)]
    what = "resampled" if abs(aspects[0] / aspects[1] - 1) <= _SIZE_TOLERANCE else "resampled or cropped"
    return f"{what}: JPEG is {width}x{height}, sensor {sensor[1]}x{sensor[0]}"


def fits(size: tuple[int, ...], sensor: tuple[float, ...]) -> bool:
    """Whether height and width differ from the sensor's by no more than a camera crops its own JPEGs."""
    return all(abs(side / wanted - 1) <= _SIZE_TOLERANCE for side, wanted in zip(size, sensor, strict=True))


def _candidates(
    kind: str, raw: RawFile, jpegs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Callable[[], Rendition]]]:
    if kind == "jpeg":
        for path, url in jpegs:
            yield path, partial(_read_jpeg, raw, path, url)
    elif kind == "libraw":
        yield "LibRaw", lambda: Rendition(develop(raw), "libraw")
    elif raw.preview is not None:
        yield "preview", partial(_decode, raw, raw.preview, "preview", None)


def _read_jpeg(raw: RawFile, path: str, url: str) -> Rendition:
    return _decode(raw, storage.read_bytes(url), "jpeg", path)


def _decode(raw: RawFile, data: bytes, source: str, path: str | None) -> Rendition:
    try:
        # Not through Image.open, whose limit on the number of pixels is under that of some cameras.
        with warnings.catch_warnings(action="ignore"), JpegImageFile(io.BytesIO(data)) as image:
            image.load()
            orientation, index = _tags(image)
            rgb, profile = _in_srgb(image, index)
            pixels = np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))
    except SampleError:
        raise
    except Exception as fault:  # noqa: BLE001 - Pillow raises most kinds over damaged content
        raise SampleError(f"cannot decode these {len(data)} bytes as JPEG: {type(fault).__name__}: {fault}") from fault
    if (pixels[0] == pixels[1]).all() and (pixels[1] == pixels[2]).all():
        raise SampleError("in black and white; wanted the RAW's colours")
    return Rendition(pixels, source, path, between(orientation, raw.orientation), profile)


def _tags(image: Image.Image) -> tuple[int, str]:
    """Return the orientation, 1 where the tags have none, and the interoperability index."""
    try:
        tags = image.getexif()
        orientation, index = tags.get(_ORIENTATION), tags.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX, "")
    except Exception:  # noqa: BLE001 - as above; an image with damaged tags is still one
        return 1, ""
    return orientation if orientation in ORIENTATIONS else 1, str(index).strip("\0 ")


def _in_srgb(image: Image.Image, interop_index: str) -> tuple[Image.Image, str | None]:
    """Return the image in sRGB, and the name of the profile that it had to be converted from."""
    if image.mode != "RGB":
        raise SampleError(f"of mode {image.mode}; wanted RGB")
    icc = image.info.get("icc_profile")
    if not icc:
        if interop_index == _ADOBE_RGB:
            raise SampleError("in Adobe RGB without a profile; wanted sRGB: set the camera to sRGB, or convert it")
        return image, None
    srgb = ImageCms.createProfile("sRGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(profile, srgb, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        # What cannot be read is ignored, as browsers do.
        return image, None
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    converted = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(int)
    if np.abs(converted - cube).max() <= _SAME_COLOR:
        return image, None
    result = ImageCms.applyTransform(image, transform)
    assert result is not None
    return result, ImageCms.getProfileDescription(profile).strip()
