"""decode_srgb, crop_to_even and downscale_linear against independent float64 references."""

import io
import math
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from skimage import data as photos

from rawsynth.errors import SampleError, UsageError
from rawsynth.pipeline.decode import crop_to_even, decode_srgb, downscale_linear

LIMIT = 10_000_000
PHOTO = photos.astronaut()[:96:2, :128:2]  # (48, 64, 3)
RNG = np.random.default_rng(7)


def encoded(image: Image.Image | np.ndarray, fmt: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    return decode_srgb(data, max_pixels=LIMIT)


def planes(hwc: np.ndarray) -> np.ndarray:
    return np.moveaxis(hwc, -1, 0)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, bits: int, color: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """A PNG written by hand, for the kinds that Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")


def tiff(pixels: bytes, width: int, height: int, tags: dict[int, int | tuple[int, ...]], order: str = "<") -> bytes:
    """An uncompressed one-strip TIFF; `tags` overrides or adds SHORT tags."""
    base: dict[int, int | tuple[int, ...]] = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1}
    entries = sorted((base | {278: height, 279: len(pixels)} | tags).items())
    directory, far = struct.pack(order + "H", len(entries)), b""
    far_start = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    for tag, value in entries:
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(order + f"{len(values)}H", *values).ljust(4, b"\0")
        if len(packed) > 4:
            packed, far = struct.pack(order + "I", far_start + len(far)), far + packed
        directory += struct.pack(order + "HHI", tag, 3, len(values)) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", 8 + len(pixels)) + pixels + directory + bytes(4) + far


# ---- colour mathematics, float64, from the primaries ----


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_decode(code: np.ndarray) -> np.ndarray:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


D50 = np.array([0.9642, 1.0, 0.8249])
D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def xyz_d50_from_rgb(primaries: list[tuple[float, float]], white: np.ndarray) -> np.ndarray:
    chroma = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD
    return adapt @ (chroma * np.linalg.solve(chroma, white))


SRGB_TO_XYZ = xyz_d50_from_rgb([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], D65)
SPACES = {  # name: (matrix, decode, TRC as ICC 'curv' gamma in 1/256 or as 'para' of the sRGB curve)
    "adobe_rgb": (xyz_d50_from_rgb([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], D65), 563),
    "display_p3": (xyz_d50_from_rgb([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], D65), None),
    "prophoto": (xyz_d50_from_rgb([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], D50), 461),
}


def tone(code: np.ndarray, gamma: int | None) -> np.ndarray:
    return srgb_decode(code) if gamma is None else code ** (gamma / 256)


# ---- ICC profiles written by hand ----


def s15(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve_tag(gamma: int | None) -> bytes:
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, gamma) + b"\0\0"
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def icc(space: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    body, table = b"", struct.pack(">I", len(tags))
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"\0" * 4, 0x02400000, kind, space, pcs)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    return header.ljust(68, b"\0") + s15(*D50).ljust(60, b"\0") + table + body


def rgb_icc(matrix: np.ndarray, gamma: int | None) -> bytes:
    tags = {b"wtpt": b"XYZ \0\0\0\0" + s15(*D50)}
    for index, name in enumerate("rgb"):
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + s15(*matrix[:, index])
        tags[f"{name}TRC".encode()] = curve_tag(gamma)
    return icc(b"RGB ", tags)


def gray_icc(gamma: int | None) -> bytes:
    return icc(b"GRAY", {b"wtpt": b"XYZ \0\0\0\0" + s15(*D50), b"kTRC": curve_tag(gamma)})


def lab_of_ink(ink: np.ndarray) -> np.ndarray:
    """(..., 4) CMYK in [0, 1] -> (..., 3) Lab; affine, so that every way to interpolate the table agrees."""
    slope = np.array([[-12.0, -18.0, -6.0, -45.0], [-20.0, 30.0, -2.0, 0.0], [-22.0, -4.0, 36.0, 0.0]])
    return np.array([95.0, 0.0, 0.0]) + ink @ slope.T


def cmyk_icc() -> bytes:
    """An output profile whose A2B0 is a 2x2x2x2 table of Lab (mft2, ICC.1:2010 10.10)."""
    corners = np.array([[(index >> shift) & 1 for shift in (3, 2, 1, 0)] for index in range(16)], float)
    lab16 = lab_of_ink(corners) * [65280 / 100, 256, 256] + [0, 128 * 256, 128 * 256]
    table = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + s15(*np.eye(3).ravel()) + struct.pack(">HH", 2, 2)
    ends = struct.pack(">2H", 0, 65535)
    table += ends * 4 + lab16.round().astype(">u2").tobytes() + ends * 3
    return icc(b"CMYK", {b"wtpt": b"XYZ \0\0\0\0" + s15(*D50), b"A2B0": table}, kind=b"prtr", pcs=b"Lab ")


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = D50 * np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    return srgb_encode(xyz @ np.linalg.inv(SRGB_TO_XYZ).T)


# ---- formats and colour modes ----


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("photo", [photos.astronaut, photos.coffee, photos.chelsea, photos.rocket])
def test_lossless_formats_return_the_photograph(fmt, photo):
    pixels = photo()[:101, :77]
    out = decode(encoded(pixels, fmt))
    assert out.dtype == np.uint8 and out.flags.c_contiguous
    np.testing.assert_array_equal(out, planes(pixels))


@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {"irreversible": False}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_lossless_compressions_return_the_photograph(fmt, options):
    np.testing.assert_array_equal(decode(encoded(PHOTO, fmt, **options)), planes(PHOTO))


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_lossy_formats_come_close(fmt):
    pixels = photos.coffee()[:200, :300]
    out = decode(encoded(pixels, fmt, **({} if fmt == "JPEG2000" else {"quality": 95})))
    assert np.abs(out.astype(int) - planes(pixels)).mean() < 3


L_PHOTO = Image.fromarray(PHOTO).convert("L")
BIT_PHOTO = L_PHOTO.convert("1")
PALETTE_PHOTO = Image.fromarray(PHOTO).quantize(64)
PALETTE = np.array(PALETTE_PHOTO.getpalette("RGB") + [0] * 3 * 256, np.uint8)[: 3 * 256].reshape(256, 3)
PALETTE_CODES = np.asarray(PALETTE_PHOTO)
OPAQUE = Image.new("L", L_PHOTO.size, 255)
BINARY = np.asarray(BIT_PHOTO.convert("L"))


def in_three(gray: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(gray)] * 3)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(encoded(BIT_PHOTO), in_three(BINARY), id="1"),
        pytest.param(encoded(L_PHOTO), in_three(L_PHOTO), id="L"),
        pytest.param(encoded(Image.merge("LA", (L_PHOTO, OPAQUE))), in_three(L_PHOTO), id="LA"),
        pytest.param(encoded(Image.fromarray(PHOTO).convert("RGBA")), planes(PHOTO), id="RGBA"),
        pytest.param(encoded(PALETTE_PHOTO), planes(PALETTE[PALETTE_CODES]), id="P"),
        pytest.param(encoded(PALETTE_PHOTO, "GIF"), planes(PALETTE[PALETTE_CODES]), id="GIF"),
        pytest.param(encoded(PALETTE_PHOTO, transparency=200), planes(PALETTE[PALETTE_CODES]), id="P-unused-key"),
        pytest.param(
            tiff(np.dstack([L_PHOTO, OPAQUE]).tobytes(), 64, 48,
                 {258: (8, 8), 277: 2, 338: 1}),
            in_three(L_PHOTO), id="La",
        ),
        pytest.param(
            tiff(np.dstack([PALETTE_PHOTO, OPAQUE]).tobytes(), 64, 48,
                 {258: (8, 8), 262: 3, 277: 2, 338: 2, 320: tuple(int(v) * 257 for v in PALETTE.T.ravel())}),
            planes(PALETTE[PALETTE_CODES]), id="PA",
        ),
        pytest.param(encoded(Image.fromarray(PHOTO).convert("YCbCr"), "TIFF"), planes(PHOTO), id="YCbCr"),
    ],
)  # fmt: skip
def test_eight_bit_modes(data, want):
    out = decode(data)
    assert out.dtype == np.uint8 and out.shape == want.shape
    tolerance = 3 if Image.open(io.BytesIO(data)).mode == "YCbCr" else 0  # rounded to YCbCr codes and back
    assert np.abs(out.astype(int) - want).max() <= tolerance


DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
DEEP_FLOAT = in_three(DEEP) / 65535
TWELVE = np.array([[0, 1, 2047, 4095]], np.uint16)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(encoded(DEEP), DEEP_FLOAT, id="png"),
        pytest.param(encoded(DEEP, "TIFF"), DEEP_FLOAT, id="tiff"),
        pytest.param(tiff(DEEP.astype(">u2").tobytes(), 8, 6, {258: 16}, order=">"), DEEP_FLOAT, id="tiff-big-endian"),
        pytest.param(tiff(DEEP.tobytes(), 8, 6, {258: 16, 262: 0}), 1 - DEEP_FLOAT, id="tiff-white-is-zero"),
        pytest.param(tiff(bytes.fromhex("0000017fffff"), 4, 1, {258: 12}), in_three(TWELVE) / 4095, id="tiff-12-bit"),
        pytest.param(encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), DEEP_FLOAT, id="tiff-32-bit"),
        pytest.param(b"P5 8 6 65535\n" + DEEP.astype(">u2").tobytes(), DEEP_FLOAT, id="pgm"),
        pytest.param(encoded(DEEP, "JPEG2000", irreversible=False), DEEP_FLOAT, id="jpeg2000"),
    ],
)
def test_sixteen_bit_gray_keeps_its_precision(data, want):
    out = decode(data)
    assert out.dtype == np.float32 and out.shape == want.shape and out.flags.c_contiguous
    np.testing.assert_allclose(out, want, atol=2e-7)


CMYK_PHOTO = Image.fromarray(PHOTO).convert("CMYK")
GRAY_KEY = chunk(b"tRNS", struct.pack(">H", 3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(encoded(CMYK_PHOTO, "JPEG"), "CMYK without an ICC profile: convert it to sRGB first", id="cmyk"),
        pytest.param(encoded(CMYK_PHOTO, "TIFF"), "CMYK without an ICC profile", id="cmyk-tiff"),
        pytest.param(encoded(CMYK_PHOTO, "TIFF", icc_profile=gray_icc(563)), "cannot be used", id="cmyk-gray-icc"),
        pytest.param(encoded(CMYK_PHOTO, "JPEG", icc_profile=b"x" * 200), "cannot be used", id="cmyk-bad-icc"),
        pytest.param(encoded(np.float32(PHOTO[..., 0]), "TIFF"), "floating point", id="float"),
        pytest.param(b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5), "floating point", id="pfm"),
        pytest.param(encoded(Image.merge("LAB", [L_PHOTO] * 3), "TIFF"), "Lab", id="lab"),
        pytest.param(
            tiff(np.full((2, 2), 99, np.uint8).tobytes(), 2, 1, {258: (8, 8), 262: 3, 277: 2, 338: 2, 320: (0,) * 768}),
            "has transparency", id="PA"),
        pytest.param(encoded(Image.merge("LA", [L_PHOTO] * 2)), "has transparency", id="LA"),
        pytest.param(encoded(Image.merge("RGBA", [L_PHOTO] * 4)), "has transparency", id="RGBA"),
        pytest.param(encoded(Image.merge("RGBA", [L_PHOTO] * 4), "WEBP"), "flatten it first", id="webp"),
        pytest.param(encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 254))), "alpha down to 254", id="barely"),
        pytest.param(encoded(PALETTE_PHOTO, transparency=3), "has transparency", id="P-key"),
        pytest.param(encoded(PALETTE_PHOTO, transparency=b"\xff\x80"), "has transparency", id="P-alphas"),
        pytest.param(encoded(PALETTE_PHOTO, "GIF", transparency=3), "has transparency", id="gif"),
        pytest.param(encoded(PHOTO, transparency=tuple(int(v) for v in PHOTO[5, 5])), "has transparency", id="RGB-key"),
        pytest.param(encoded(L_PHOTO, transparency=L_PHOTO.getpixel((3, 3))), "has transparency", id="L-key"),
        pytest.param(encoded(DEEP, transparency=int(DEEP[1, 2])), "has transparency", id="I;16-key"),
        pytest.param(png(4, 1, bits=2, color=0, rows=[b"\x1b"], extra=GRAY_KEY), "has transparency", id="2-bit-key"),
        pytest.param(
            png(1, 1, bits=16, color=2, rows=[b"\x12\x34\x56\x78\x9a\xbc"],
                extra=chunk(b"tRNS", b"\x12\x34\x56\x78\x9a\xbc")), "has transparency", id="RGB16-key"),
        pytest.param(encoded(Image.new("I", (2, 2), 70000), "TIFF"), "from 70000 to 70000", id="I-32-bit"),
        pytest.param(encoded(Image.new("I", (2, 2), -1), "TIFF"), "from -1", id="I-negative"),
        pytest.param(encoded(DEEP, icc_profile=gray_icc(256)), "16-bit gray with an ICC profile", id="I;16-icc"),
    ],
)  # fmt: skip
def test_modes_without_a_faithful_form_are_rejected_by_name(data, words):
    with pytest.raises(SampleError, match=words):
        decode(data)


def test_a_color_key_that_no_pixel_has_is_no_transparency():
    unused = next(v for v in range(65536) if not (DEEP == v).any())
    np.testing.assert_allclose(decode(encoded(DEEP, transparency=unused)), DEEP_FLOAT, atol=2e-7)
    np.testing.assert_array_equal(decode(encoded(PHOTO, transparency=(1, 254, 3))), planes(PHOTO))
    two_bit = png(3, 1, bits=2, color=0, rows=[b"\x18"], extra=GRAY_KEY)  # 0, 1, 2
    np.testing.assert_array_equal(decode(two_bit)[0], [[0, 85, 170]])


# ---- ICC ----


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_wide_gamut_profiles_match_float64(name, fmt):
    matrix, gamma = SPACES[name]
    lattice = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, indexing="ij"), -1).reshape(-1, 18, 3)
    pixels = np.concatenate([lattice.astype(np.uint8), photos.coffee()[:51, :18]])
    out = decode(encoded(pixels, fmt, icc_profile=rgb_icc(matrix, gamma)))
    linear = tone(pixels / 255, gamma) @ (np.linalg.inv(SRGB_TO_XYZ) @ matrix).T
    want = planes(srgb_encode(linear)) * 255
    assert np.abs(want - planes(pixels)).max() > 20  # the profile matters
    assert np.abs(out - want).max() <= 2
    assert out.dtype == np.uint8


def test_palette_follows_its_profile():
    matrix, gamma = SPACES["display_p3"]
    profile = rgb_icc(matrix, gamma)
    colors = PALETTE_PHOTO.convert("RGB")
    np.testing.assert_array_equal(
        decode(encoded(PALETTE_PHOTO, icc_profile=profile)), decode(encoded(colors, icc_profile=profile))
    )


@pytest.mark.parametrize("profile", [gray_icc(256), gray_icc(461), rgb_icc(SPACES["adobe_rgb"][0], 461)])
@pytest.mark.parametrize("alpha", [False, True])
def test_gray_follows_its_tone_curve_and_stays_gray(profile, alpha):
    gamma = 256 if profile == gray_icc(256) else 461
    ramp = np.arange(256, dtype=np.uint8)[None]
    image = Image.fromarray(ramp)
    if alpha:
        image = Image.merge("LA", (image, Image.new("L", image.size, 255)))
    out = decode(encoded(image, icc_profile=profile))
    assert np.abs(out[0] - srgb_encode(tone(ramp / 255, gamma)) * 255).max() <= 2
    assert (out == out[:1]).all() and np.abs(out[0].astype(int) - ramp).max() > 10


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), id="lcms-sRGB"),
        pytest.param(rgb_icc(SRGB_TO_XYZ, None), id="handmade-sRGB"),
        pytest.param(rgb_icc(SRGB_TO_XYZ * 0.994, None), id="sRGB-within-1"),
        pytest.param(b"not a profile", id="junk"),
        pytest.param(rgb_icc(*SPACES["display_p3"])[:150], id="cut"),
        pytest.param(gray_icc(461), id="gray-profile-on-RGB"),
        pytest.param(cmyk_icc(), id="cmyk-profile-on-RGB"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), id="Lab-profile-on-RGB"),
    ],
)
def test_profiles_that_change_nothing(profile):
    np.testing.assert_array_equal(decode(encoded(PHOTO, icc_profile=profile)), planes(PHOTO))


@pytest.mark.parametrize("profile", [gray_icc(None), rgb_icc(SRGB_TO_XYZ, None), b"junk"])
def test_sixteen_bit_gray_takes_an_srgb_profile(profile):
    np.testing.assert_allclose(decode(encoded(DEEP, icc_profile=profile)), DEEP_FLOAT, atol=2e-7)


def test_cmyk_with_a_profile_matches_float64():
    ink = RNG.integers(0, 256, (200, 250, 4), dtype=np.uint8)
    image = Image.frombytes("CMYK", (250, 200), ink.tobytes())

    def check(data: bytes, stored: np.ndarray) -> None:
        want = planes(srgb_of_lab(lab_of_ink(stored / 255))) * 255
        error = np.abs(decode(data) - want)
        assert error[want > 12].max() <= 2 and np.percentile(error, 99.9) <= 1.1 and error.max() < 12

    check(encoded(image, "TIFF", icc_profile=cmyk_icc()), ink)
    data = encoded(image, "JPEG", icc_profile=cmyk_icc(), quality=95)
    check(data, np.asarray(Image.open(io.BytesIO(data))))


# ---- orientation ----


def seen(stored: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as seen, pixel by pixel from the EXIF 2.32 text: where the stored row 0 and column 0 lie."""
    row_0, column_0 = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    height, width, bands = stored.shape
    upright = np.zeros((width, height, bands) if orientation > 4 else stored.shape, stored.dtype)
    for r in range(height):
        for c in range(width):
            spot = {"top": r, "left": r, "bottom": height - 1 - r, "right": height - 1 - r}[row_0]
            other = {"top": c, "left": c, "bottom": width - 1 - c, "right": width - 1 - c}[column_0]
            upright[(spot, other) if row_0 in ("top", "bottom") else (other, spot)] = stored[r, c]
    return upright


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF", "L-PNG", "I;16-PNG", "I;16-TIFF"])
def test_orientation(fmt, orientation):
    mode, _, fmt = fmt.rpartition("-")
    options = {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}.get(fmt, {})
    stored = PHOTO[:20, :33]
    if mode:
        stored = np.asarray(DEEP if mode == "I;16" else L_PHOTO)
    data = encoded(stored, fmt, exif=exif(orientation), **options)
    if fmt in ("JPEG", "AVIF"):  # what they store differs from what came in
        stored = np.asarray(Image.open(io.BytesIO(encoded(stored, fmt))))
    want = planes(seen(stored.reshape(*stored.shape[:2], -1), orientation)) / (65535 if mode == "I;16" else 1)
    out = decode(data)
    assert out.flags.c_contiguous
    np.testing.assert_allclose(out, np.broadcast_to(want, (3, *want.shape[1:])), atol=2e-7)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "broken",
    [b"Exif\0\0junk" * 3, b"junk", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03" * 9, exif(9), exif(0)],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger", "ignore:Metadata Warning")
def test_broken_exif_does_not_lose_the_image(fmt, broken):
    plain = encoded(PHOTO, fmt)
    np.testing.assert_array_equal(decode(encoded(PHOTO, fmt, exif=broken)), decode(plain))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_with_a_dangling_exif_directory_survives(compression):
    tags = ImageFileDirectory_v2()
    tags[34665], tags[274] = 10**9, 3
    tags.tagtype[34665] = 4
    out = decode(encoded(PHOTO, "TIFF", tiffinfo=tags, compression=compression))
    np.testing.assert_array_equal(out, planes(PHOTO[::-1, ::-1]))


# ---- what is not a single image ----


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_frames_are_rejected_with_their_number(fmt):
    frames = [Image.fromarray(np.roll(PHOTO, shift, 0)) for shift in (0, 9, 18)]
    data = encoded(frames[0], fmt, save_all=True, append_images=frames[1:])
    with pytest.raises(SampleError, match=r"with 3 frames, want a single image"):
        decode(data)


def test_mpo_takes_its_first_frame():
    first, second = Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    np.testing.assert_array_equal(decode(data), planes(np.asarray(Image.open(io.BytesIO(encoded(first, "JPEG"))))))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01", "camera RAW"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera RAW"),
        (b"II\x1a\0\0\0HEAPCCDR", "camera RAW"),
        (b"FUJIFILMCCD-RAW 0201", "camera RAW"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\n<!DOCTYPE HTML>\n", "failed download"),
        (b"<html><body>404", "failed download"),
        (b"<?xml version='1.0'?>\n<SVG width='1'>", "SVG"),
        (b"<svg xmlns=''>", "SVG"),
        (b"<?xml version='1.0'?><Error>AccessDenied", "XML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b'{"error": 1}', "JSON"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"v/1\x01\x02", "HDR"),
        (b"PK\x03\x04", "archive"),
        (b"hello, world", "not an image.*hello"),
        (b"\0" * 99, "not an image"),
        (tiff(b"\0\0", 1, 2, {254: 1}), "camera RAW file .DNG"),
        (tiff(b"\0\0", 1, 2, {50706: 1}), "camera RAW file .DNG"),
        (tiff(b"\0\0", 1, 2, {262: 32803}), "cannot decode TIFF"),
    ],
)
def test_what_is_no_picture_is_named(data, words):
    with pytest.raises(SampleError, match=words):
        decode(data)


# ---- HEIC ----

NO_HEIC = (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")


def heic(image, **options):
    """A real HEIC file, without loss where that is possible: 4:4:4, and the matrix of RGB itself."""
    buffer = io.BytesIO()
    pillow_heif.register_heif_opener()
    image.save(buffer, "HEIF", quality=-1, chroma=444, matrix_coefficients=0, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("data", NO_HEIC)
def test_without_pillow_heif_it_is_said_what_to_install(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SampleError, match="HEIC: install pillow-heif .* or convert"):
        decode(data)


def test_heic_is_read_as_it_was_written():
    np.testing.assert_array_equal(decode(heic(Image.fromarray(PHOTO))), planes(PHOTO))


def test_of_a_heic_with_several_images_the_primary_is_the_photograph():
    others = [Image.fromarray(PHOTO[::2, ::2].copy()), Image.fromarray(PHOTO[:16, :16].copy())]
    data = heic(others[0], save_all=True, append_images=[Image.fromarray(PHOTO), others[1]], primary_index=1)
    np.testing.assert_array_equal(decode(data), planes(PHOTO))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once(orientation):
    """By its own `irot` and `imir` (ISO/IEC 23008-12), which EXIF in the same file repeats."""
    data = heic(Image.fromarray(PHOTO), exif=exif(orientation))
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    np.testing.assert_array_equal(decode(data), decode(encoded(PHOTO, exif=exif(orientation))))


@pytest.mark.parametrize("data", NO_HEIC)
def test_damaged_heic_is_named_in_the_same_words_every_time(data):
    with pytest.raises(SampleError, match=r"^HEIC of 24 bytes that libheif cannot open, is it whole\?$"):
        decode(data)


# ---- damage ----

SMALL = PHOTO[:16, :24]
INTACT = {
    "JPEG": encoded(SMALL, "JPEG", exif=exif(6), icc_profile=rgb_icc(*SPACES["adobe_rgb"])),
    "PNG": encoded(SMALL, "PNG", exif=exif(5), icc_profile=rgb_icc(*SPACES["display_p3"])),
    "PNG-I;16": encoded(DEEP, "PNG", transparency=1),
    "PNG-P": encoded(PALETTE_PHOTO.crop((0, 0, 9, 9)), "PNG", transparency=b"\xff"),
    "WEBP": encoded(SMALL, "WEBP", exif=exif(6)),
    "TIFF": encoded(SMALL, "TIFF", exif=exif(6), icc_profile=gray_icc(461)),
    "TIFF-LZW": encoded(SMALL, "TIFF", compression="tiff_lzw"),
    "TIFF-JPEG": encoded(SMALL, "TIFF", compression="jpeg"),
    "TIFF-CMYK": encoded(CMYK_PHOTO.crop((0, 0, 9, 9)), "TIFF", icc_profile=cmyk_icc()),
    "GIF": encoded(PALETTE_PHOTO.crop((0, 0, 9, 9)), "GIF"),
    "BMP": encoded(SMALL, "BMP"),
    "PPM": encoded(SMALL, "PPM"),
    "AVIF": encoded(SMALL, "AVIF", exif=exif(8)),
    "JPEG2000": encoded(SMALL, "JPEG2000"),
}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_truncated_file_is_an_error(name, kept):
    photo = encoded(photos.rocket()[:100, :140], name)
    if name == "GIF":
        photo = encoded(Image.fromarray(photos.rocket()[:100, :140]).quantize(64), name)
    decode(photo)
    with pytest.raises(SampleError):
        decode(photo[: int(len(photo) * kept)])


@st.composite
def damaged(draw):
    data = bytearray(INTACT[draw(st.sampled_from(sorted(INTACT)))])
    for _ in range(draw(st.integers(1, 6))):
        spot = draw(st.integers(0, len(data) - 1)) if data else 0
        action = draw(st.sampled_from(["set", "set", "cut", "insert", "remove", "word"]))
        if action == "set":
            data[spot:spot + 1] = bytes([draw(st.integers(0, 255))])
        elif action == "cut":
            del data[max(spot, len(data) // 2):]
        elif action == "insert":
            data[spot:spot] = draw(st.binary(max_size=8))
        elif action == "remove":
            del data[spot:spot + draw(st.integers(1, 8))]
        else:
            data[spot:spot + 4] = draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\x01"]))
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(damaged())
@pytest.mark.filterwarnings("ignore")
def test_damage_raises_sample_errors_only(data):
    try:
        out = decode_srgb(data, max_pixels=1_000_000)
    except SampleError as fault:
        assert str(fault)
    else:
        assert out.shape[0] == 3 and out.dtype in (np.uint8, np.float32) and out.flags.c_contiguous
        assert out[0].size <= 1_000_000 and 0 <= out.min() and out.max() <= (1 if out.dtype == np.float32 else 255)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([data[:16] for data in INTACT.values()]), st.binary(max_size=200))
@pytest.mark.filterwarnings("ignore")
def test_a_magic_number_before_noise_raises_sample_errors_only(magic, noise):
    with pytest.raises(SampleError):
        decode_srgb(magic + noise, max_pixels=1_000_000)


@pytest.mark.parametrize(
    "fault",
    [
        OSError("cut"), EOFError("cut"), SyntaxError("bad"), ValueError("bad"), UnicodeError("x"),
        TypeError("bad"), IndexError("far"), KeyError("none"), ZeroDivisionError("zero"), OverflowError("big"),
        AttributeError("none"), AssertionError("no"), RuntimeError("bad"), RecursionError("deep"), BufferError("bad"),
        NotImplementedError("no"), UserWarning("-W error"), struct.error("short"), zlib.error("bad"),
        Image.DecompressionBombError("big"), Image.DecompressionBombWarning("-W error"),
    ],
    ids=lambda fault: type(fault).__name__,
)  # fmt: skip
def test_what_pillow_raises_on_content_becomes_a_sample_error(fault, monkeypatch):
    def fail(self):
        raise fault

    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(SampleError, match=rf"cannot decode PNG of \d+ bytes.*{type(fault).__name__}: ") as caught:
        decode(encoded(PHOTO))
    assert caught.value.__cause__ is fault


@pytest.mark.parametrize("fault", [MemoryError, KeyboardInterrupt])
def test_what_is_not_the_contents_fault_passes_through(fault, monkeypatch):
    def fail(self):
        raise fault

    monkeypatch.setattr(PngImageFile, "load", fail)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(fault):
        decode(encoded(PHOTO))
    assert Image.MAX_IMAGE_PIXELS == 4


# ---- size limit ----


@pytest.mark.parametrize("name", INTACT)
def test_the_limit_is_ours_and_not_pillows(name, monkeypatch):
    pixels = math.prod(Image.open(io.BytesIO(INTACT[name])).size)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # warns above 4, raises above 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = decode_srgb(INTACT[name], max_pixels=pixels)
    assert out[0].size == pixels
    assert Image.MAX_IMAGE_PIXELS == 4
    with pytest.raises(SampleError, match=rf"= {pixels} pixels exceeds max_pixels {pixels - 1}; raise --max-pixels"):
        decode_srgb(INTACT[name], max_pixels=pixels - 1)
    assert Image.MAX_IMAGE_PIXELS == 4


def test_a_huge_header_is_refused_before_its_pixels(monkeypatch):
    bomb = png(50_000, 40_000, bits=8, color=2, rows=[b""])
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(SampleError, match="50000x40000 = 2000000000 pixels exceeds max_pixels 10000000"):
        decode(bomb)


@pytest.mark.parametrize("max_pixels", [0, -5])
def test_a_limit_below_one_is_a_usage_error(max_pixels):
    with pytest.raises(UsageError, match="positive"):
        decode_srgb(encoded(PHOTO), max_pixels=max_pixels)


def test_eight_threads_agree_with_one(monkeypatch):
    jobs = []
    for index, photo in enumerate((photos.astronaut(), photos.coffee(), photos.chelsea(), photos.rocket())):
        for name, (matrix, gamma) in SPACES.items():
            options = {"exif": exif(index + 3), "icc_profile": rgb_icc(matrix, gamma)}
            jobs.append(encoded(photo[:200, :300], ("JPEG", "WEBP", "PNG", "TIFF")[index], **options))
    jobs += [b"junk", jobs[0][:5000]] * 4
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        def result(data: bytes) -> bytes:
            try:
                return decode(data).tobytes()
            except SampleError as fault:
                return str(fault).encode()

        alone = [result(data) for data in jobs]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(result, jobs * 3))
    assert together == alone * 3
    assert Image.MAX_IMAGE_PIXELS == 4


# ---- crop_to_even ----


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 6), (4, 7), (5, 7), (2, 2), (3, 3)])
def test_crop_to_even(height, width):
    image = RNG.integers(0, 256, (3, height, width), dtype=np.uint8)
    out, cropped = crop_to_even(image)
    assert out.shape == (3, height - height % 2, width - width % 2) and out.flags.c_contiguous
    assert cropped == (out.shape != image.shape)
    np.testing.assert_array_equal(out, image[:, : out.shape[1], : out.shape[2]])


@pytest.mark.parametrize("shape", [(3, 1, 8), (3, 8, 1), (3, 1, 1)])
def test_crop_to_even_names_images_without_a_block(shape):
    with pytest.raises(SampleError, match="2x2"):
        crop_to_even(np.zeros(shape, np.uint8))


# ---- downscale_linear ----


def coverage(side: int, factor: float) -> np.ndarray:
    """(floor(side / factor), side) float64: the part of each area that each pixel covers, by brute force."""
    count = int(side / factor + 1e-9)
    table = np.zeros((count, side))
    for area in range(count):
        for pixel in range(side):
            table[area, pixel] = max(0.0, min(pixel + 1, (area + 1) * factor) - max(pixel, area * factor)) / factor
    return table


@pytest.mark.parametrize("factor", [1.1, 1.5, 2.0, 2.37, math.pi, 4.0, 10 / 3])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_downscale_matches_float64(factor, kind):
    image = planes(photos.coffee()[100:193, 200:331])
    image = image if kind == "uint8" else np.float32(image / 255)
    out = downscale_linear(image, factor)
    light = srgb_decode(image.astype(np.float64) / (255 if kind == "uint8" else 1))
    want = srgb_encode(coverage(93, factor) @ light @ coverage(131, factor).T)
    assert out.dtype == np.float32 and out.shape == want.shape and out.flags.c_contiguous
    np.testing.assert_allclose(out, want, atol=2e-6)


@pytest.mark.parametrize("factor", [1.5, 2.0, 2.5, 3.0, 5.0])
@pytest.mark.parametrize("photo", [photos.astronaut, photos.chelsea, photos.rocket])
def test_downscale_conserves_mean_linear_light(photo, factor):
    image = planes(photo()[:240, :300])  # whole areas at every factor
    small = downscale_linear(image, factor)
    light, small_light = (srgb_decode(x.astype(np.float64)).mean((1, 2)) for x in (image / 255, small))
    np.testing.assert_allclose(small_light, light, rtol=2e-6)
    gamma_light = srgb_decode(small.mean((1, 2), dtype=np.float64))
    assert (gamma_light < light * 0.99).all()  # the mean of sRGB codes is a different, darker number


def test_downscale_of_a_flat_image_is_flat():
    for code in (0, 1, 10, 11, 128, 254, 255):
        out = downscale_linear(np.full((3, 33, 47), code, np.uint8), 1.1)
        assert out.shape == (3, 30, 42)
        np.testing.assert_allclose(out, code / 255, atol=1e-6)
        assert 0 <= out.min() and out.max() <= 1


def test_factor_one_returns_the_image_itself():
    image = planes(PHOTO)
    assert downscale_linear(image, 1) is image and downscale_linear(image, 1.0) is image


@pytest.mark.parametrize("factor", [0.999, 0.0, -2.0, math.inf, math.nan])
def test_downscale_wants_a_factor_from_one_up(factor):
    with pytest.raises(UsageError, match="from 1 up"):
        downscale_linear(planes(PHOTO), factor)


def test_downscale_to_nothing_is_the_samples_fault():
    with pytest.raises(SampleError, match="64x48 by 49.0 leaves no pixel"):
        downscale_linear(planes(PHOTO), 49.0)
