"""RAW images as DNG files, which every RAW converter opens (Adobe DNG specification 1.4).

The mosaic goes in as it is, uncompressed 16-bit DN. Colour is one matrix: with ``white_balance`` and ``cam_from_srgb``
of the metadata, ``ColorMatrix1 = diag(1/red, 1, 1/blue) cam_from_srgb srgb_from_xyz`` under D65, and AsShotNeutral is
what that makes of D65, ``(1/red, 1, 1/blue)``. So a converter that follows the specification finds the scene's white to
be D65, adapts nothing, and comes to the linear sRGB that the RAW was made from.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import check_cfa, unpack
from rawsynth.raw.codecs import encode_jpeg
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB
from rawsynth.raw.exif import DNG_VERSION, ISO, MAKE, MODEL, UNIQUE_MODEL
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import DEFAULT_LEVELS, Levels
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.noise_params import Planes, dng_noise_profile, four_planes
from rawsynth.raw.orientation import ORIENTATIONS
from rawsynth.raw.quantize import dequantize, quantize
from rawsynth.raw.rendering import render
from rawsynth.raw.tiff import EXIF_DIRECTORY, SUB_DIRECTORIES, Directory, Field, Kind, encode_tiff
from rawsynth.versions import package_versions

MADE_BY = "rawsynth"
"""Make of the files, and the mark in UniqueCameraModel."""

_DESCRIPTION, _ORIENTATION, _SOFTWARE = 270, 274, 305
_D65 = 21
_LARGEST_SHORT = 65535
_PREVIEW_SIDE = 1024


def write_dng(
    url: str,
    raw: RawImage,
    *,
    levels: Levels = DEFAULT_LEVELS,
    orientation: int = 1,
    description: str | None = None,
    preview: bool = True,
) -> None:
    """Write one RAW image as a DNG file, as a whole or not at all.

    Args:
        url: file or URL.
        raw: one image, ``(4, h, w)`` on the unit scale; its metadata become the file's colour, noise and camera.
        levels: of the file; values are rounded to DN here, and clip at 0 and at the white level.
        orientation: EXIF orientation, 1 to 8, that turns the image upright.
        description: the file's ImageDescription.
        preview: whether to put a rendered JPEG in, which file managers show.

    Raises:
        UsageError: no RawImage, a batch, NaN, metadata that no DNG can hold, or an unknown orientation.
        OutputError: the file cannot be written.

    For example ``write_dng("noisy.dng", AddNoise(camera="Sony ILCE-7SM2", iso=3200)(ReverseISP()(srgb)))``.
    """
    if not isinstance(raw, RawImage):
        raise UsageError(f"write_dng takes a RawImage: RawImage.from_packed(planes, cfa); got {type(raw).__name__}.")
    if not raw.packed.is_floating_point() or bool(raw.packed.isnan().any()):
        came = "NaN" if raw.packed.is_floating_point() else str(raw.packed.dtype)
        raise UsageError(f"a DNG is made of float planes without NaN; got {came}. Look at what made them.")
    dn = quantize(raw.packed, levels).cpu().numpy()
    tags = {"orientation": orientation, "description": description, "preview": preview}
    storage.write_atomic(url, encode_dng(dn, raw.cpu().metadata, levels=levels, **tags))  # type: ignore[arg-type]


def encode_dng(
    dn: NDArray[np.uint16],
    metadata: RawMetadata,
    *,
    levels: Levels,
    orientation: int = 1,
    description: str | None = None,
    preview: bool = True,
) -> bytes:
    """Encode packed DN as a DNG file, without rounding anything; see :func:`write_dng`.

    Args:
        dn: ``(4, h, w)`` uint16, planes in the reading order of the CFA.
        metadata: of this one image.
        levels: of the DN.
    """
    if metadata.shape or dn.ndim != 3 or dn.shape[0] != 4 or not dn.size:
        raise UsageError(f"a DNG holds one image of four planes; got {dn.shape}. Write the images of a batch in turn.")
    if orientation not in ORIENTATIONS:
        raise UsageError(f"orientation is 1 to 8, as EXIF has it; got {orientation!r}.")
    mosaic = np.ascontiguousarray(unpack(torch.from_numpy(dn)).numpy(), dtype="<u2")
    camera = _camera_tags(metadata, orientation, description)
    exif = {EXIF_DIRECTORY: Directory(_exif_tags(metadata))}
    image = _image_tags(mosaic, metadata, levels)
    if not preview:
        return encode_tiff(Directory(image | camera, mosaic.tobytes(), exif))
    shown, tags = _preview(dn, metadata, levels)
    return encode_tiff(Directory(tags | camera, shown, {SUB_DIRECTORIES: Directory(image, mosaic.tobytes()), **exif}))


def _camera_tags(metadata: RawMetadata, orientation: int, description: str | None) -> dict[int, Field]:
    # The real make would tell converters to take that camera's own black level (RawTherapee does) for that of the file.
    model = metadata.camera or f"synthetic RAW by {metadata.method or 'unknown means'}"
    red, blue = (float(gain) for gain in metadata.white_balance)
    if not (red > 0 and blue > 0):
        raise UsageError(f"white balance gains are positive; got red {red}, blue {blue}.")
    neutral = (1.0 / red, 1.0, 1.0 / blue)
    cam_from_srgb = metadata.cam_from_srgb.double().numpy()
    matrix = np.diag(neutral) @ cam_from_srgb @ np.linalg.inv(XYZ_FROM_SRGB)
    tags: dict[int, Field] = {
        MAKE: (Kind.ASCII, MADE_BY),
        MODEL: (Kind.ASCII, str(model)),
        _ORIENTATION: (Kind.SHORT, [orientation]),
        _SOFTWARE: (Kind.ASCII, f"{MADE_BY} {package_versions(MADE_BY)[MADE_BY]}"),
        DNG_VERSION: (Kind.BYTE, [1, 4, 0, 0]),
        50707: (Kind.BYTE, [1, 1, 0, 0]),  # DNGBackwardVersion: nothing here needs a newer reader
        UNIQUE_MODEL: (Kind.ASCII, f"{model} ({MADE_BY})"),
        50721: (Kind.SRATIONAL, matrix.ravel().tolist()),  # ColorMatrix1
        50778: (Kind.SHORT, [_D65]),  # CalibrationIlluminant1
        50728: (Kind.RATIONAL, neutral),  # AsShotNeutral
        50730: (Kind.SRATIONAL, [math.log2(float(metadata.rgb_gain))]),  # BaselineExposure, in stops
    }
    return tags if description is None else tags | {_DESCRIPTION: (Kind.ASCII, description)}


def _exif_tags(metadata: RawMetadata) -> dict[int, Field]:
    if metadata.iso is None:
        return {36864: (Kind.UNDEFINED, b"0230")}  # ExifVersion
    iso = round(float(metadata.iso))
    # EXIF 2.3: a short cannot say more, so ISOSpeed does, and SensitivityType says that it is one.
    return {
        36864: (Kind.UNDEFINED, b"0230"),
        ISO: (Kind.SHORT, [min(iso, _LARGEST_SHORT)]),
        34864: (Kind.SHORT, [3]),
        34867: (Kind.LONG, [iso]),
    }


def _image_tags(mosaic: NDArray[np.uint16], metadata: RawMetadata, levels: Levels) -> dict[int, Field]:
    assert isinstance(metadata.cfa, str)
    cfa = check_cfa(metadata.cfa)
    height, width = mosaic.shape
    tags: dict[int, Field] = {
        254: (Kind.LONG, [0]),  # NewSubfileType: the image itself
        256: (Kind.LONG, [width]),
        257: (Kind.LONG, [height]),
        258: (Kind.SHORT, [16]),
        259: (Kind.SHORT, [1]),
        262: (Kind.SHORT, [32803]),  # PhotometricInterpretation: colour filter array
        277: (Kind.SHORT, [1]),
        278: (Kind.LONG, [height]),
        284: (Kind.SHORT, [1]),
        33421: (Kind.SHORT, [2, 2]),  # CFARepeatPatternDim
        33422: (Kind.BYTE, ["RGB".index(color) for color in cfa]),
        50710: (Kind.BYTE, [0, 1, 2]),  # CFAPlaneColor
        50711: (Kind.SHORT, [1]),  # CFALayout: a rectangle
        50713: (Kind.SHORT, [2, 2]),  # BlackLevelRepeatDim
        50714: (Kind.SHORT, [levels.black_level] * 4),
        50717: (Kind.LONG, [levels.white_level]),
        50719: (Kind.LONG, [0, 0]),  # DefaultCropOrigin
        50720: (Kind.LONG, [width, height]),
        50829: (Kind.LONG, [0, 0, height, width]),  # ActiveArea
    }
    if metadata.shot is None or metadata.read is None:
        return tags
    profile = dng_noise_profile(_planes(metadata.shot, "shot"), _planes(metadata.read, "read"), cfa)
    # The specification wants S > 0.
    return tags | {51041: (Kind.DOUBLE, profile)} if min(profile[::2]) > 0 else tags


def _planes(values: torch.Tensor, name: str) -> Planes:
    return four_planes(values.tolist(), name)


def _preview(dn: NDArray[np.uint16], metadata: RawMetadata, levels: Levels) -> tuple[bytes, dict[int, Field]]:
    """Render a JPEG and the tags of its directory."""
    packed = dequantize(torch.from_numpy(dn.astype(np.int32)), levels)
    step = math.ceil(2 * max(packed.shape[1:]) / _PREVIEW_SIDE)
    if step > 1:
        packed = torch.nn.functional.avg_pool2d(packed, step, ceil_mode=True)
    srgb = render(RawImage(packed, metadata)).numpy()
    height, width = srgb.shape[1:]
    return encode_jpeg(srgb), {
        254: (Kind.LONG, [1]),  # NewSubfileType: a reduced image
        256: (Kind.LONG, [width]),
        257: (Kind.LONG, [height]),
        258: (Kind.SHORT, [8, 8, 8]),
        259: (Kind.SHORT, [7]),  # Compression: JPEG
        262: (Kind.SHORT, [6]),  # PhotometricInterpretation: YCbCr
        277: (Kind.SHORT, [3]),
        278: (Kind.LONG, [height]),
        284: (Kind.SHORT, [1]),
        530: (Kind.SHORT, [1, 1]),  # YCbCrSubSampling: none
        531: (Kind.SHORT, [1]),
        50970: (Kind.LONG, [2]),  # PreviewColorSpace: sRGB
    }
