"""Images that ask for memory or time out of all proportion to their pixels, found before any is decoded."""

from __future__ import annotations

import re

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from rawsynth.errors import SampleError

_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Scans that each pixel of the largest image allowed may take. Cameras and optimisers write some ten, scripts for
# single bits of single coefficients some hundred; each is a pass over all pixels, however few bytes it has.
_SCANS = 200
# 00 is a stuffed byte and D0 to D7 restart a scan; neither ends it.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"


def check_effort(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Raise SampleError for a TIFF tile beyond ``max_pixels`` and a JPEG of too many scans.

    image: opened, not loaded
    data:  the file that it was opened from
    """
    if isinstance(image, TiffImageFile):
        width, length = image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_LENGTH, 0)
        if isinstance(width, int) and isinstance(length, int) and width * length > max_pixels:
            raise SampleError(f"TIFF with tiles of {width}x{length} pixels exceeds max_pixels {max_pixels}")
        return
    columns, rows = image.size
    most = _SCANS * max_pixels // (columns * rows)
    # Counting bytes is fast and counts too many: in pictures that follow, in thumbnails.
    if isinstance(image, JpegImageFile) and data.count(_SCAN) > most and (scans := count_scans(data)) > most:
        raise SampleError(f"JPEG with {scans} scans of {columns}x{rows} pixels, want {most} or fewer: save it again")


def count_scans(data: bytes) -> int:
    """Count the scans of a JPEG up to the end of its image, thumbnails and what follows left out.

    >>> count_scans(b"\\xff\\xd8" b"\\xff\\xda\\0\\2" b"\\x12\\xff\\0\\xff\\xda\\0\\2" b"\\xff\\xd9" b"\\xff\\xda")
    2
    """
    scans, at = 0, 2
    while (found := _MARKER.search(data, at)) is not None:
        at = found.end()
        if found[0] == _END_OF_IMAGE:
            break
        scans += found[0] == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    return scans
