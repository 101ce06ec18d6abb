"""Camera RAW files (DNG, CR2, NEF, ARW, ...) as what LibRaw finds in them, and their development to sRGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawsynth import storage
from rawsynth.errors import SampleError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

if TYPE_CHECKING:
    import rawpy

RAW_SUFFIXES = (
    "3fr", "ari", "arw", "bay", "cap", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "drf", "erf", "fff", "gpr", "iiq",
    "k25", "kdc", "mdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "pef", "ptx", "raf", "raw", "rw2", "rwl", "rwz",
    "sr2", "srf", "srw", "x3f",
)  # fmt: skip
"""Lower-case suffixes of the files that LibRaw may read."""

# LibRaw counts turns in bits (1 mirror columns, 2 mirror rows, 4 transpose), EXIF from 1 to 8.
_EXIF_FROM_FLIP = (1, 2, 4, 3, 5, 8, 6, 7)
_MAKE, _MODEL, _ORIENTATION, _EXIF_IFD, _EXPOSURE, _ISO, _UNIQUE_MODEL = 271, 272, 274, 34665, 33434, 34855, 50708
_FOVEON_MAGIC = b"FOVb"
# A tile of any layout that LibRaw knows repeats within 16 sites.
_LONGEST_PERIOD = 16


@dataclass(frozen=True, eq=False)
class RawFile:
    """One camera RAW file.

    Attributes:
        url: where it was read from.
        data: the file's bytes.
        mosaic: ``(H, W)`` uint16 DN of the visible area, in sensor orientation; sides may be odd.
        cfa: colours of the visible area's first 2x2 sites in reading order, e.g. ``"GBRG"``.
        black: black level in DN of those four sites.
        white: DN at which the sensor saturates, as the file or LibRaw's table says.
        white_balance: as-shot gains (red, blue) with green 1; ``None`` where the file has none.
        cam_from_srgb: ``(3, 3)``, linear sRGB to camera RGB, rows sum to 1; ``None`` where LibRaw knows no matrix.
        orientation: EXIF orientation, 1 to 8: what turns the sensor's image upright.
        make, model: as EXIF has them.
        iso, exposure_s: ISO speed and exposure time.
        preview: the largest embedded JPEG.
    """

    url: str
    data: bytes = field(repr=False)
    mosaic: NDArray[np.uint16] = field(repr=False)
    cfa: str
    black: tuple[int, int, int, int]
    white: int
    white_balance: tuple[float, float] | None
    cam_from_srgb: NDArray[np.float64] | None
    orientation: int
    make: str | None
    model: str | None
    iso: float | None
    exposure_s: float | None
    preview: bytes | None = field(repr=False)

    @property
    def camera(self) -> str | None:
        """Make and model in one, the make once: ``"Canon EOS 5D"``, ``"GoPro HERO6 Black"``."""
        if self.make is None or self.model is None:
            return self.model or self.make
        first = self.make.split()[0].lower()
        return self.model if self.model.lower().startswith(first) else f"{self.make} {self.model}"


def read_raw(url: str) -> RawFile:
    """Read a camera RAW file.

    Raises:
        SampleError: damaged, no RAW file, or a sensor without a 2x2 Bayer mosaic (X-Trans, Foveon, monochrome, ...).
        InputAccessError: it cannot be reached.
    """
    data = storage.read_bytes(url)
    with _opened(data, url) as raw:
        cfa, colors = _bayer_layout(raw, url, data)
        black = raw.black_level_per_channel
        preview = _preview(raw)
        tags = {**_jpeg_exif(preview), **_tiff_exif(data)}
        iso, exposure_s = _shot(raw)
        return RawFile(
            url=url,
            data=data,
            mosaic=raw.raw_image_visible.copy(),
            cfa=cfa,
            black=(int(black[colors[0]]), int(black[colors[1]]), int(black[colors[2]]), int(black[colors[3]])),
            white=int(raw.white_level),
            white_balance=_white_balance(raw.camera_whitebalance),
            cam_from_srgb=_cam_from_srgb(raw),
            orientation=_EXIF_FROM_FLIP[raw.sizes.flip & 7],
            make=_text(tags.get(_MAKE)),
            model=_text(tags.get(_MODEL)) or _text(tags.get(_UNIQUE_MODEL)),
            iso=iso or _positive(tags.get(_ISO)),
            exposure_s=exposure_s or _positive(tags.get(_EXPOSURE)),
            preview=preview,
        )


def develop(raw: RawFile) -> NDArray[np.uint8]:
    """Develop to sRGB with LibRaw, whatever its defaults become.

    AHD demosaicing, as-shot white balance, the camera's matrix, the sRGB curve, highlights clipped. Neither automatic
    brightening nor a white level taken from the picture, so that equal DN give equal sRGB in every picture of a camera.

    Returns:
        ``(3, H, W)`` uint8 sRGB of the visible area, in sensor orientation: pixel for pixel on ``raw.mosaic``.

    Raises:
        SampleError: LibRaw cannot develop it, or not at the sensor's size (pixels that are not square).
    """
    import rawpy

    with _opened(raw.data, raw.url) as opened:
        pixels = opened.postprocess(
            demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD,
            use_camera_wb=True,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=(2.4, 12.92),
            highlight_mode=rawpy.HighlightMode.Clip,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,
            output_bps=8,
            user_flip=0,
        )
    if pixels.shape != (*raw.mosaic.shape, 3):
        raise SampleError(
            f"{raw.url}: LibRaw develops {raw.mosaic.shape[1]}x{raw.mosaic.shape[0]} sites to "
            f"{pixels.shape[1]}x{pixels.shape[0]} pixels, so sites and pixels do not correspond: skipped."
        )
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextmanager
def _opened(data: bytes, url: str) -> Iterator[rawpy.RawPy]:
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


def _bayer_layout(raw: rawpy.RawPy, url: str, data: bytes) -> tuple[str, list[int]]:
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


def _white_balance(gains: list[float]) -> tuple[float, float] | None:
    red, green, blue = gains[:3]
    if not all(0 < gain < float("inf") for gain in (red, green, blue)):
        return None
    return red / green, blue / green


def _cam_from_srgb(raw: rawpy.RawPy) -> NDArray[np.float64] | None:
    """Take the file's own matrix where LibRaw would, else that of LibRaw's table; as dcraw's ``cam_xyz_coeff``."""
    srgb_from_cam = raw.color_matrix[:, :3].astype(np.float64)
    cam_from_xyz = raw.rgb_xyz_matrix[:3].astype(np.float64)
    try:
        # Below an eighth LibRaw takes the file's matrix for absent.
        matrix = np.linalg.inv(srgb_from_cam) if srgb_from_cam[0, 0] > 0.125 else cam_from_xyz @ XYZ_FROM_SRGB
    except np.linalg.LinAlgError:
        return None
    response = matrix.sum(axis=1, keepdims=True)
    if not np.isfinite(matrix).all() or (response <= 0).any() or abs(np.linalg.det(matrix / response)) < 1e-6:
        return None
    return np.asarray(matrix / response)


def _preview(raw: rawpy.RawPy) -> bytes | None:
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawError, NotImplementedError, OSError, ValueError):
        return None
    return bytes(thumb.data) if thumb.format == rawpy.ThumbFormat.JPEG else None


def _shot(raw: rawpy.RawPy) -> tuple[float | None, float | None]:
    """Return ISO and exposure time; rawpy has them from 0.27 on, and fails over an impossible time of day."""
    try:
        other = raw.other
    except (AttributeError, ValueError, OverflowError, OSError):
        return None, None
    return _positive(other.iso_speed), _positive(other.shutter_speed)


def _tiff_exif(data: bytes) -> Mapping[int, Any]:
    """Return the tags of a file that is a TIFF in all but, for some makers, the number after the byte order."""
    number = {b"II": b"*\0", b"MM": b"\0*"}.get(data[:2])
    if number is None:
        return {}
    tags = Image.Exif()
    with _forgiven():
        tags.load(data if data[2:4] == number else data[:2] + number + data[4:])
        return {**tags.get_ifd(_EXIF_IFD), **tags}
    return {}


def _jpeg_exif(preview: bytes | None) -> Mapping[int, Any]:
    """Return the tags of the preview, where LibRaw puts its own if it has none."""
    if preview is None:
        return {}
    with _forgiven(), Image.open(io.BytesIO(preview), formats=("JPEG", "MPO")) as image:
        tags = image.getexif()
        return {**tags.get_ifd(_EXIF_IFD), **tags}
    return {}


@contextmanager
def _forgiven() -> Iterator[None]:
    """Tags are extra: what Pillow raises or warns of over damaged ones must not cost the file."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except Exception:  # noqa: BLE001 - Pillow raises most kinds
            pass


def _positive(value: Any) -> float | None:
    try:
        number = float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return None
    return number if 0 < number < float("inf") else None


def _text(value: Any) -> str | None:
    text = " ".join(value.replace("\0", " ").split()) if isinstance(value, str) else ""
    return text or None
