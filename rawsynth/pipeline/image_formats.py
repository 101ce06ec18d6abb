"""Which reader fits a file, by its first bytes: names and suffixes lie.

The readers are Pillow's own classes, used directly: `Image.open` would also try forty formats that hold no photographs,
some of which run other programs (EPS: Ghostscript).
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from rawsynth.errors import SampleError

# What an image is recorded as that another installation could read.
HEIC_MISSING = "HEIC: install pillow-heif"

Reader = Callable[[io.BytesIO], ImageFile.ImageFile]


def open_heic(file: io.BytesIO) -> ImageFile.ImageFile:
    """Open HEIC through the optional pillow-heif.

    Raises SampleError: pillow-heif is missing, and how to get it; or libheif takes the file for none of its own.
    """
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as missing:
        raise SampleError(f"{HEIC_MISSING} (`pip install 'rawsynth[heic]'`) or convert it to JPEG") from missing
    plugin.register_heif_opener()
    try:
        return Image.open(file, formats=("HEIF",))
    except UnidentifiedImageError as fault:
        # Pillow's words name an address in memory, which differs from run to run.
        raise SampleError(f"HEIC of {file.getbuffer().nbytes} bytes that libheif cannot open, is it whole?") from fault


_READERS: tuple[tuple[bytes, str, Reader], ...] = (
    (rb"\xff\xd8\xff", "JPEG", JpegImageFile),  # not Pillow's factory: of an MPO this reads the first frame
    (rb"\x89PNG\r\n\x1a\n", "PNG", PngImageFile),
    (rb"RIFF....WEBP", "WebP", WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", "TIFF", TiffImageFile),
    (rb"GIF8[79]a", "GIF", GifImageFile),
    (rb"....ftyp.{0,48}avi[fs]", "AVIF", AvifImageFile),
    (rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", open_heic),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "JPEG 2000", Jpeg2KImageFile),
    (rb"BM", "BMP", BmpImageFile),
    (rb"P[1-6f]\s", "PPM", PpmImageFile),
)
_CAMERA_RAW = rb"II\*\0....CR|II..\0\0HEAPCCDR|....ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]|FOVb|\0MRM"
_FOREIGN = (
    (rb"8BPS", "a Photoshop file: export it as PNG or TIFF"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL: convert it to JPEG or PNG"),
    (rb"v/1\x01|#\?RADIANCE|#\?RGBE", "a floating point HDR image: render it to sRGB first"),
    (rb"%PDF", "a PDF document: export its images"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript: convert it to PNG"),
    (rb"(?i)\s*(<\?xml.*?)?<svg", "an SVG drawing: render it to PNG"),
    (rb"(?i)\s*<(!doctype|html|head|\?xml)", "an HTML or XML page, perhaps a failed download: fetch it again"),
    (rb"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
    (rb"\s*[{\[]", "text, perhaps JSON"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "a compressed archive: unpack it"),
    (rb"....ftyp", "a video or another ISO media file"),
)


def pick_reader(data: bytes) -> tuple[str, Reader]:
    """Name the format of `data` and the reader for it.

    Raises SampleError that says what the file is instead where its first bytes tell.

    >>> pick_reader(b"GIF89a...")[0]
    'GIF'
    """
    head = data[:512]
    came = f"it starts with {head[:12]!r}"
    if _starts(head, _CAMERA_RAW):  # first, since some are TIFF files to the letter
        raise SampleError(f"a camera RAW file: give it the suffix of one (.dng, .nef, ...); {came}")
    for pattern, name, reader in _READERS:
        if _starts(head, pattern):
            return name, reader
    known = ", ".join(name for _, name, _ in _READERS)
    for pattern, what in _FOREIGN:
        if _starts(head, pattern):
            raise SampleError(f"{what}; want one of {known}, {came}")
    raise SampleError(f"not an image: want one of {known}, {came}")


def _starts(head: bytes, pattern: bytes) -> bool:
    return re.match(pattern, head, re.DOTALL) is not None
