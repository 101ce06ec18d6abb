"""Camera RAW files made by hand: Bayer DNGs of real photographs, and JPEGs of them as a camera would write them.

Written from the TIFF 6.0 and DNG 1.4 specifications with the standard library and NumPy; nothing of rawsynth is used.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from skimage import data

# TIFF field types: bytes of one value, and how it is packed.
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
_SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1, SRATIONAL: 8}
Tags = Mapping[int, tuple[int, Any]]

XYZ_FROM_SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Nikon D850 at D65, as DNGs of that camera have it.
CAM_FROM_XYZ = np.array([[1.0405, -0.3755, -0.1270], [-0.5461, 1.3787, 0.1793], [-0.1040, 0.2015, 0.6785]])
CAM_FROM_SRGB = CAM_FROM_XYZ @ XYZ_FROM_SRGB
CAM_FROM_SRGB /= CAM_FROM_SRGB.sum(axis=1, keepdims=True)
GAINS = (2.0, 1.6)
BLACK, WHITE = 512, 4095


def _pack(kind: int, values: Any) -> bytes:
    if kind in (BYTE, UNDEFINED):
        return bytes(values)
    if kind == ASCII:
        return str(values).encode() + b"\0"
    if kind in (SHORT, LONG):
        return struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
    pairs = [number for value in values for number in (round(value * 1_000_000), 1_000_000)]
    return struct.pack(f"<{len(pairs)}{'I' if kind == RATIONAL else 'i'}", *pairs)


def tiff(tags: Tags, strip: bytes, *, below: Sequence[tuple[Tags, bytes]] = (), exif: Tags | None = None) -> bytes:
    """A little-endian TIFF: one directory with its image, others in SubIFDs, directories before the images."""
    directories = [dict(tags), *(dict(sub) for sub, _ in below), *([dict(exif)] if exif else [])]
    strips: list[bytes | None] = [strip, *(image for _, image in below), *([None] if exif else [])]
    subs = range(1, 1 + len(below))
    for directory, image in zip(directories, strips, strict=True):
        if image is not None:
            directory |= {273: (LONG, [0]), 279: (LONG, [len(image)])}
    if subs:
        directories[0][330] = (LONG, [0] * len(below))
    if exif:
        directories[0][34665] = (LONG, [0])

    def extra(directory: Tags) -> int:
        return sum(len(d) + len(d) % 2 for d in (_pack(*field) for field in directory.values()) if len(d) > 4)

    starts, at = [], 8
    for directory in directories:
        starts.append(at)
        at += 2 + 12 * len(directory) + 4 + extra(directory)
    for directory, image in zip(directories, strips, strict=True):
        if image is not None:
            directory[273] = (LONG, [at])
            at += len(image)
    if subs:
        directories[0][330] = (LONG, [starts[k] for k in subs])
    if exif:
        directories[0][34665] = (LONG, [starts[-1]])
    out = [struct.pack("<2sHI", b"II", 42, 8)]
    for start, directory in zip(starts, directories, strict=True):
        entries, values, place = [], [], start + 2 + 12 * len(directory) + 4
        for code, (kind, value) in sorted(directory.items()):
            packed = _pack(kind, value)
            field = packed.ljust(4, b"\0")
            if len(packed) > 4:
                field = struct.pack("<I", place)
                values.append(packed + bytes(len(packed) % 2))
                place += len(values[-1])
            entries.append(struct.pack("<HHI", code, kind, len(packed) // _SIZES[kind]) + field)
        out += [struct.pack("<H", len(entries)), *entries, bytes(4), *values]
    return b"".join([*out, *(image for image in strips if image is not None)])


def dng(
    mosaic: np.ndarray,
    cfa: str = "RGGB",
    *,
    pattern: tuple[int, int] = (2, 2),
    orientation: int = 1,
    black: Sequence[int] = (BLACK,) * 4,
    white: int = WHITE,
    gains: tuple[float, float] | None = GAINS,
    preview: bytes | None = None,
    iso: int = 800,
    exposure_s: float | None = 0.01,
    extra: Tags | None = None,
) -> bytes:
    """A DNG of a mosaic ``(H, W)``, or of a demosaiced image ``(H, W, 3)``.

    cfa:     colours of the pattern in reading order; C, M and Y stand for cyan, magenta and yellow
    preview: a JPEG, which goes into the first directory, the RAW then into a SubIFD
    """
    height, width, colors = (*mosaic.shape, 1)[:3]
    kind: dict[int, tuple[int, Any]] = {
        33421: (SHORT, pattern), 33422: (BYTE, ["RGBCMYW".index(color) for color in cfa]), 50711: (SHORT, [1]),
        50710: (BYTE, sorted({"RGBCMYW".index(color) for color in cfa})),
        50713: (SHORT, [2, 2]), 50714: (SHORT, black),
    } if colors == 1 and cfa else {}  # fmt: skip
    image: dict[int, tuple[int, Any]] = {
        254: (LONG, [0]), 256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [16] * colors), 259: (SHORT, [1]),
        262: (SHORT, [32803 if kind else 34892]), 277: (SHORT, [colors]), 278: (LONG, [height]), 284: (SHORT, [1]),
        50717: (SHORT, [white] * colors), **kind,
    }  # fmt: skip
    camera: dict[int, tuple[int, Any]] = {
        271: (ASCII, "Acme"), 272: (ASCII, "Cam One"), 274: (SHORT, [orientation]), 50706: (BYTE, [1, 4, 0, 0]),
        50707: (BYTE, [1, 1, 0, 0]), 50708: (ASCII, "Acme Cam One"), 50778: (SHORT, [21]),
        50721: (SRATIONAL, CAM_FROM_XYZ.flatten()),
    }  # fmt: skip
    if gains is not None:
        camera[50728] = (RATIONAL, [1 / gains[0], 1, 1 / gains[1]])
    exif: dict[int, tuple[int, Any]] = {34855: (SHORT, [iso])}
    if exposure_s is not None:
        exif[33434] = (RATIONAL, [exposure_s])
    strip = mosaic.astype("<u2").tobytes()
    if preview is None:
        return tiff({**image, **camera, **(extra or {})}, strip, exif=exif)
    shown = Image.open(io.BytesIO(preview))
    first: dict[int, tuple[int, Any]] = {
        254: (LONG, [1]), 256: (LONG, [shown.width]), 257: (LONG, [shown.height]), 258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]), 262: (SHORT, [6]), 277: (SHORT, [3]), 278: (LONG, [shown.height]), 284: (SHORT, [1]),
    }  # fmt: skip
    return tiff({**first, **camera}, preview, below=[({**image, **(extra or {})}, strip)], exif=exif)


def photograph(name: str, height: int = 10_000, width: int = 10_000) -> np.ndarray:
    """A photograph that scikit-image ships, (H, W, 3) uint8 with even sides, or its upper left part."""
    pixels = getattr(data, name)()
    height, width = min(height, pixels.shape[0]) // 2 * 2, min(width, pixels.shape[1]) // 2 * 2
    return np.ascontiguousarray(pixels[:height, :width])


def sensor(
    photo: np.ndarray,
    cfa: str = "RGGB",
    *,
    black: Sequence[int] = (BLACK,) * 4,
    white: int = WHITE,
    exposure: float = 0.8,
    noise: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """DN that a sensor gives of a photograph (H, W, 3): light, camera colours, as-shot gains undone, one site a pixel.

    noise: S of ``var = S x + S / 10`` on the unit scale
    """
    code = photo / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4) * exposure
    camera = light @ CAM_FROM_SRGB.T / np.array([GAINS[0], 1, GAINS[1]])
    unit, level = np.zeros(photo.shape[:2]), np.zeros(photo.shape[:2])
    for k, color in enumerate(cfa):
        sites = (slice(k // 2, None, 2), slice(k % 2, None, 2))
        unit[sites], level[sites] = camera[sites][..., "RGB".index(color)], black[k]
    unit += np.random.default_rng(seed).normal(size=unit.shape) * np.sqrt(noise * (unit.clip(0) + 0.1))
    return np.rint(unit * (white - level) + level).clip(0, white).astype(np.uint16)


def camera_look(photo: np.ndarray) -> np.ndarray:
    """A photograph (H, W, 3) as a camera's own processing makes it: contrast, gamma, colour, warmer, sharper."""
    x = photo / 255
    x = x.mean(axis=2, keepdims=True) * -0.4 + 1.4 * x
    x = (np.tanh(2.5 * (x.clip(0, 1) - 0.5)) / np.tanh(1.25) + 1) / 2 * [1.06, 1, 0.92]
    image = Image.fromarray(np.rint(x.clip(0, 1) ** 0.8 * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.UnsharpMask(1.5, 120, 2)))


def jpeg(pixels: np.ndarray, *, quality: int = 75, orientation: int | None = None, **options: Any) -> bytes:
    """A JPEG, with the EXIF orientation if one is given."""
    buffer, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality, exif=exif, **options)
    return buffer.getvalue()


def decoded(encoded: bytes) -> np.ndarray:
    """Pixels (H, W, 3) of a JPEG as stored."""
    return np.asarray(Image.open(io.BytesIO(encoded)))


_MOVES = {
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_270],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_90],
}


def seen(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W, 3) upright as EXIF 2.3 defines the orientation, with Pillow's own moves."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    for move in _MOVES.get(orientation, []):
        image = image.transpose(move)
    return np.asarray(image)


_ADOBE_XYZ = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
_SRGB_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_ADOBE_GAMMA = 563 / 256


def adobe_rgb_profile() -> bytes:
    """An ICC 2.1 matrix profile with the colorants (D50) and the gamma of Adobe RGB (1998)."""

    def xyz(values: Sequence[float]) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))

    name = b"Adobe RGB by hand\0"
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(_ADOBE_GAMMA * 256))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        **{bytes([c]) + b"XYZ": xyz(_ADOBE_XYZ[:, k]) for k, c in enumerate(b"rgb")},
        **{bytes([c]) + b"TRC": curve for c in b"rgb"},
    }
    at, table, values = 128 + 4 + 12 * len(tags), [struct.pack(">I", len(tags))], []
    for code, value in tags.items():
        table.append(code + struct.pack(">II", at, len(value)))
        values.append(value + bytes(-len(value) % 4))
        at += len(values[-1])
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s", at, b"", 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp", bytes(28),
        struct.pack(">3i", 63190, 65536, 54061),
    )  # fmt: skip
    return b"".join([header.ljust(128, b"\0"), *table, *values])


def adobe_rgb_as_srgb(pixels: np.ndarray) -> np.ndarray:
    """Codes (..., 3) of Adobe RGB as those of sRGB."""
    linear = (pixels / 255) ** _ADOBE_GAMMA @ (np.linalg.inv(_SRGB_XYZ) @ _ADOBE_XYZ).T
    linear = linear.clip(0, 1)
    code = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(int)
