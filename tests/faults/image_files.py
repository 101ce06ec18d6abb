"""Images to damage, one or more a format, and damage that keeps enough of a format's frame to get past its gate."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms
from skimage import data as photographs

from tests.faults.mutation import ODD_NUMBERS, mutate, odd_number

Chunk = tuple[bytes, bytes]


@cache
def image_seeds() -> dict[str, bytes]:
    """Small real photographs in every format that is read, in the variants that take other paths through readers."""
    pillow_heif.register_heif_opener()
    small = np.ascontiguousarray(photographs.astronaut()[20:60, 150:198])
    color, gray = Image.fromarray(small), Image.fromarray(small[:, :, 1])
    deep = Image.fromarray(small[:, :, 1].astype(np.uint16) * 257)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a camera"
    with_all: dict[str, Any] = {"icc_profile": icc, "exif": exif.tobytes()}
    rows: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("jpeg", color, with_all),
        ("jpeg progressive", color, {"progressive": True, "subsampling": 0}),
        ("jpeg cmyk", color.convert("CMYK"), {}),
        ("png", color, with_all),
        ("png palette", color.quantize(16), {"transparency": 255}),
        ("png alpha", color.convert("RGBA"), {}),
        ("png deep", deep, {}),
        ("webp", color, with_all),
        ("webp lossless", color, {"lossless": True}),
        ("tiff", color, with_all),
        ("tiff deflate", color, {"compression": "tiff_adobe_deflate"}),
        ("tiff jpeg", color, {"compression": "jpeg"}),
        ("tiff lzw", gray, {"compression": "tiff_lzw"}),
        ("tiff fax", gray.convert("1"), {"compression": "group4"}),
        ("gif", color.quantize(32), {}),
        ("avif", color, {"icc_profile": icc, "speed": 10}),
        ("heif", color, {"exif": exif.tobytes()}),
        ("jpeg2000", color, {}),
        ("bmp", color, {}),
        ("bmp palette", color.quantize(16), {}),
        ("ppm", color, {}),
        ("pgm", gray, {}),
    ]
    seeds = {name: _encoded(image, name.split()[0], options) for name, image, options in rows}
    seeds["ppm plain"] = b"P3\n# by hand\n4 2\n255\n" + b"10 20 30 " * 8
    return seeds


def _encoded(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, {"pgm": "PPM"}.get(name, name.upper()), **options)
    return buffer.getvalue()


def mutate_image(name: str, data: bytes, rng: Random) -> bytes:
    """Damage an image: its bytes at random, or what its format is made of."""
    frame = _FRAMES.get(name.split()[0])
    other = image_seeds()[rng.choice(sorted(image_seeds()))]
    if frame is None or rng.random() < 0.4:
        return mutate(data, rng, other)
    damaged = frame(data, rng)
    return mutate(damaged, rng, other) if rng.random() < 0.2 else damaged


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with the checksum that belongs to it."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(data: bytes, rng: Random) -> bytes:
    chunks: list[Chunk] = []
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    junk = rng.choice(
        [
            (b"iCCP", b"p\0\0" + zlib.compress(rng.randbytes(200))),
            (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(5_000))),
            (b"zTXt", b"k\0\0" + rng.randbytes(40)),
            (b"eXIf", rng.choice((b"", b"II*\0", b"MM\0*" + rng.randbytes(60)))),
            (b"acTL", struct.pack(">II", rng.choice(ODD_NUMBERS) % 2**32, 0)),
            (b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 300)))),
            (b"PLTE", rng.randbytes(rng.choice((0, 3, 4, 900)))),
            (b"cHRM", rng.randbytes(9)),
            (bytes(rng.randrange(256) for _ in range(4)), b"x"),
        ]
    )
    return data[:8] + b"".join(png_chunk(kind, body) for kind, body in _reshaped(chunks, junk, rng))


def _reshaped(chunks: list[Chunk], junk: Chunk, rng: Random) -> list[Chunk]:
    """Drop, double, move, add or damage a chunk."""
    at = rng.randrange(len(chunks))
    kind, body = chunks[at]
    changed = [
        chunks[:at] + chunks[at + 1 :],
        chunks[:at] + [chunks[at]] + chunks[at:],
        rng.sample(chunks, len(chunks)),
        chunks[:at] + [junk] + chunks[at:],
        chunks[:at] + [(kind, mutate(body, rng, junk[1]))] + chunks[at + 1 :],
        chunks[:at] + [(kind, odd_number(body, rng))] + chunks[at + 1 :],
        chunks[:1] + [junk] + chunks[1:],
    ]
    return rng.choice(changed)


def _jpeg(data: bytes, rng: Random) -> bytes:
    segments: list[Chunk] = []
    at = 2
    while at + 4 <= len(data) and data[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        segments.append((data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
    junk = (bytes([0xFF, rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xDB, 0xC4, 0xDD))]), rng.randbytes(60))
    if rng.random() < 0.3:
        junk = (b"\xff\xe2", rng.choice((b"ICC_PROFILE\0\1\2x", b"MPF\0II*\0" + rng.randbytes(40))))
    written = [marker + struct.pack(">H", len(body[:65533]) + 2) + body[:65533] for marker, body in _reshaped(
        segments, junk, rng
    )]
    return data[:2] + b"".join(written) + data[at:]


_TIFF_TAGS = (254, 258, 259, 262, 273, 274, 277, 278, 279, 317, 322, 323, 330, 338, 339, 50706)


def _tiff(data: bytes, rng: Random) -> bytes:
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = start + 2 + 12 * rng.randrange(count)
        tag, kind, many, value = struct.unpack("<HHII", changed[at : at + 12])
        tag = rng.choice((tag,) * 6 + _TIFF_TAGS)
        kind = rng.choice((kind,) * 6 + tuple(range(14)))
        many = rng.choice((many,) * 3 + tuple(n % 2**32 for n in ODD_NUMBERS))
        value = rng.choice((value,) * 3 + (start, 8, len(data) - 4) + tuple(n % 2**32 for n in ODD_NUMBERS))
        changed[at : at + 12] = struct.pack("<HHII", tag, kind, many, value)
    return bytes(changed)


def _riff(data: bytes, rng: Random) -> bytes:
    chunks: list[Chunk] = []
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack("<I", data[at + 4 : at + 8])
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    junk = (rng.choice((b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF", b"ALPH", b"VP8X")), rng.randbytes(30))
    body = b"".join(
        kind + struct.pack("<I", len(held)) + held + bytes(len(held) % 2)
        for kind, held in _reshaped(chunks, junk, rng)
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


_FRAMES: dict[str, Callable[[bytes, Random], bytes]] = {"png": _png, "jpeg": _jpeg, "tiff": _tiff, "webp": _riff}
