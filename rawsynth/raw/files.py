"""Camera RAW files (DNG, CR2, NEF, ARW, ...) as what LibRaw finds in them, and their development to sRGB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import SampleError
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB
from rawsynth.raw.exif import MAKE, MODEL, UNIQUE_MODEL, text_of
from rawsynth.raw.libraw import bayer_layout, embedded_preview, file_tags, opened, shot

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
    return decode_raw(storage.read_bytes(url), url)


def decode_raw(data: bytes, url: str, *, max_pixels: int | None = None) -> RawFile:
    """Decode the bytes of a camera RAW file.

    Args:
        data: the whole file.
        url: what messages, and the result, call it.
        max_pixels: most sites of the sensor, checked before they are unpacked.

    Raises:
        SampleError: as :func:`read_raw`, or there are more sites.
    """
    with opened(data, url) as raw:
        sites = raw.sizes.raw_height * raw.sizes.raw_width
        if max_pixels is not None and sites > max_pixels:
            raise SampleError(f"{url}: {sites} sites exceed max_pixels {max_pixels}; raise --max-pixels")
        cfa, colors = bayer_layout(raw, url, data)
        black = raw.black_level_per_channel
        tags = file_tags(raw, data)
        iso, exposure_s = shot(raw, tags)
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
            make=text_of(tags.get(MAKE)),
            model=text_of(tags.get(MODEL)) or text_of(tags.get(UNIQUE_MODEL)),
            iso=iso,
            exposure_s=exposure_s,
            preview=embedded_preview(raw),
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

    with opened(raw.data, raw.url) as handle:
        pixels = handle.postprocess(
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
