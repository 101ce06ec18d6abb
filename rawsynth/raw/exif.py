"""Tags that pictures and RAW files carry beside their pixels; none is worth losing a file over."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

MAKE, MODEL, EXIF_IFD, EXPOSURE, ISO, UNIQUE_MODEL, DNG_VERSION = 271, 272, 34665, 33434, 34855, 50708, 50706


def picture_tags(image: Image.Image) -> Mapping[int, Any]:
    """Return the tags of an opened picture, those of its EXIF directory among them."""
    with forgiven():
        tags = image.getexif()
        return {**tags.get_ifd(EXIF_IFD), **tags}
    return {}


def shot_tags(tags: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Return ISO and exposure time in seconds."""
    return positive(tags.get(ISO)), positive(tags.get(EXPOSURE))


def tiff_tags(data: bytes) -> Mapping[int, Any]:
    """Return the tags of a file that is a TIFF in all but, for some makers, the number after the byte order."""
    number = {b"II": b"*\0", b"MM": b"\0*"}.get(data[:2])
    if number is None:
        return {}
    tags = Image.Exif()
    with forgiven():
        tags.load(data if data[2:4] == number else data[:2] + number + data[4:])
        return {**tags.get_ifd(EXIF_IFD), **tags}
    return {}


def jpeg_tags(preview: bytes | None) -> Mapping[int, Any]:
    """Return the tags of the preview, where LibRaw puts its own if it has none."""
    if preview is None:
        return {}
    with forgiven(), Image.open(io.BytesIO(preview), formats=("JPEG", "MPO")) as image:
        return picture_tags(image)
    return {}


@contextmanager
def forgiven() -> Iterator[None]:
    """Tags are extra: what Pillow raises or warns of over damaged ones must not cost the file."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except Exception:  # noqa: BLE001 - Pillow raises most kinds
            pass


def positive(value: Any) -> float | None:
    """Return a tag as a number above 0, ``None`` if it is none."""
    try:
        number = float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return None
    return number if 0 < number < float("inf") else None


def text_of(value: Any) -> str | None:
    """Return a tag as text on one line, ``None`` if it is empty."""
    text = " ".join(value.replace("\0", " ").split()) if isinstance(value, str) else ""
    return text or None
