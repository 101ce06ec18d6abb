"""RAW files as LibRaw opens them: what it finds, in this package's words and errors."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rawsynth.errors import SampleError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.exif import jpeg_tags, positive, shot_tags, tiff_tags

if TYPE_CHECKING:
    import rawpy

_FOVEON_MAGIC = b"FOVb"
# A tile of any layout that LibRaw knows repeats within 16 sites.
_LONGEST_PERIOD = 16


@contextmanager
def opened(data: bytes, url: str) -> Iterator[rawpy.RawPy]:
    """Open with LibRaw; whatever it says of the content, then or later, is a SampleError."""
    # Imported here: LibRaw takes a while to load and most commands read no RAW file.
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            yield raw
    except SampleError:
        raise
    except (rawpy.LibRawError, rawpy.NotSupportedError, RuntimeError, OSError, ValueError) as error:
        cause = error.args[0] if error.args else type(error).__name__
        cause = cause.decode("ascii", "replace") if isinstance(cause, bytes) else str(cause)
        raise SampleError(
            f"{url}: LibRaw cannot read these {len(data)} bytes: {cause}. Is the file whole, and a camera RAW file?"
        ) from error


def bayer_layout(raw: rawpy.RawPy, url: str, data: bytes) -> tuple[str, list[int]]:
    """Return the CFA string and LibRaw's index of each of the four sites' colours."""
    import rawpy

    if data.startswith(_FOVEON_MAGIC):
        raise _refused(url, "Foveon, with three colours at every site")
    if raw.raw_type != rawpy.RawType.Flat:
        raise _refused(url, "demosaiced already (linear DNG, sRAW), with three colours at every site")
    if raw.num_colors == 1:
        raise _refused(url, "monochrome, without a colour filter")
    if raw.raw_pattern is not None and raw.raw_pattern.shape == (6, 6):
        raise _refused(url, "X-Trans, with a colour filter of 6x6 sites")
    names = raw.color_desc.decode("ascii", "replace")
    if names not in ("RGBG", "RGB"):
        raise _refused(url, f"of the colours {names}")
    top, left = raw.sizes.top_margin, raw.sizes.left_margin
    span = range(_LONGEST_PERIOD)
    colors = np.array([[raw.raw_color(top + row, left + column) for column in span] for row in span])
    first = [int(color) for color in colors[:2, :2].flat]
    cfa = "".join(names[color] if color < len(names) else "?" for color in first)
    if cfa not in BAYER_LAYOUTS or (colors != np.tile(colors[:2, :2], (8, 8))).any():
        rows = " / ".join("".join(names[c] if c < len(names) else "?" for c in row[:4]) for row in colors[:4])
        raise _refused(url, f"of a colour filter that begins {rows}")
    return cfa, first


def _refused(url: str, what: str) -> SampleError:
    return SampleError(f"{url} is {what}; rawsynth works on 2x2 Bayer mosaics: skipped.")


def embedded_preview(raw: rawpy.RawPy) -> bytes | None:
    """Return the JPEG that the camera put into the file, ``None`` if there is none."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawError, NotImplementedError, OSError, ValueError):
        return None
    return bytes(thumb.data) if thumb.format == rawpy.ThumbFormat.JPEG else None


def _libraw_shot(raw: rawpy.RawPy) -> tuple[float | None, float | None]:
    """Return ISO and exposure time; rawpy has them from 0.27 on, and fails over an impossible time of day."""
    try:
        other = raw.other
    except (AttributeError, ValueError, OverflowError, OSError):
        return None, None
    return positive(other.iso_speed), positive(other.shutter_speed)


def file_tags(raw: rawpy.RawPy, data: bytes) -> Mapping[int, Any]:
    """Return what the file's own tags say, before those of its preview."""
    return {**jpeg_tags(embedded_preview(raw)), **tiff_tags(data)}


def shot(raw: rawpy.RawPy, tags: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Return ISO and exposure time in seconds, by LibRaw or, where it has none, by the tags."""
    iso, exposure_s = _libraw_shot(raw)
    tagged_iso, tagged_exposure_s = shot_tags(tags)
    return iso or tagged_iso, exposure_s or tagged_exposure_s
