"""Small files that ask for much: memory or time out of all proportion to their bytes."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image

from tests.faults.archive_files import sealed_header
from tests.faults.image_files import image_seeds, png_chunk


def _saved(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def png_of(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG that states a size and has next to no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + png_chunk(b"IEND", b"")


def tiff_of(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF of (tag, type, count, value) entries; the tail stands behind the directory."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4) + tail


def huge_sides() -> dict[str, bytes]:
    """Each format with sides that multiply to thousands of megapixels."""
    side = 60_000
    seeds = image_seeds()
    jpeg = seeds["jpeg"]
    frame = jpeg.index(b"\xff\xc0")
    webp = bytearray(_saved(Image.new("RGBA", (64, 64), (1, 2, 3, 4)), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    webp[24:30] = (16382).to_bytes(3, "little") * 2
    avif = seeds["avif"]
    spatial = avif.index(b"ispe") + 8
    wavelet = seeds["jpeg2000"]
    box, stream = wavelet.index(b"ihdr") + 4, wavelet.index(b"\xff\x51") + 6
    many = struct.pack(">II", side, side)
    gif = seeds["gif"]
    return {
        "png": png_of(side, side),
        "jpeg": jpeg[: frame + 5] + struct.pack(">HH", side, side) + jpeg[frame + 9 :],
        "webp": bytes(webp),
        "gif canvas": gif[:6] + struct.pack("<HH", side, side) + gif[10:],
        "avif": avif[:spatial] + many + avif[spatial + 8 :],
        "jpeg2000": wavelet[:box] + many + wavelet[box + 8 : stream] + many + wavelet[stream + 8 :],
        "jpeg2000 codestream only": wavelet[:stream] + many + wavelet[stream + 8 :],
        "bmp": seeds["bmp"][:18] + struct.pack("<ii", side, side) + seeds["bmp"][26:],
        "bmp upside down": seeds["bmp"][:18] + struct.pack("<ii", side, -side) + seeds["bmp"][26:],
        "ppm": b"P6 60000 60000 255\n" + bytes(64),
        "tiff": tiff_of([(256, 4, 1, side), (257, 4, 1, side), (262, 3, 1, 1), (273, 4, 1, 8)]),
    }


def huge_tile(side: int = 40_000, compression: int = 5) -> bytes:
    """A TIFF of 64 x 64 pixels in one tile of thousands of megapixels."""
    entries = [
        (256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1),
        (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 64),
    ]  # fmt: skip
    return tiff_of(entries, zlib.compress(bytes(4096)))


def many_pages(count: int) -> bytes:
    """A TIFF of so many pages of one pixel."""
    size = 2 + 12 * 4 + 4
    tags = ((256, 1), (257, 1), (262, 1), (273, 8))
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    links = (8 + size * (k + 1) if k + 1 < count else 0 for k in range(count))
    return b"II*\0\x08\0\0\0" + b"".join(struct.pack("<H", 4) + entries + struct.pack("<I", link) for link in links)


def overlapping_tags(count: int, size: int) -> bytes:
    """A TIFF whose many tags all point to the same many bytes."""
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (262, 3, 1, 1)]
    entries += [(40_000 + k, 7, size, 64) for k in range(count)]
    return tiff_of(entries, bytes(size))


def many_scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan, of no more than some bytes, is there many times."""
    data = _saved(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def gif_of_frames(count: int) -> bytes:
    """A GIF of so many frames of a pixel."""
    data = _saved(Image.new("P", (1, 1)), "GIF")
    start = data.index(b",")
    return data[:start] + data[start:-1] * count + b";"


def tar_bomb(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A compressed tar of one member, or one header, of so many zeros, which take a thousandth."""
    info = tarfile.TarInfo("a.png")
    info.size, info.type = size, kind
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(bytes(1 << 20)) * (size >> 20)


def sparse_bomb(size: int) -> bytes:
    """A tar whose sparse member has no data and a size of gigabytes."""
    info = tarfile.TarInfo("a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    header = info.tobuf(tarfile.GNU_FORMAT)
    return sealed_header(header[:483] + b"%011o\0" % size + header[495:]) + bytes(1024)


def sparse_map_bomb(size: int) -> bytes:
    """A compressed tar whose sparse map goes on for so many bytes."""
    info = tarfile.TarInfo("a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    header = info.tobuf(tarfile.GNU_FORMAT)
    more = (b"%011o\0" % 5 * 42 + b"\1").ljust(512, b"\0")
    start = gzip.compress(sealed_header(header[:482] + b"\1" + header[483:]))
    return start + gzip.compress(more * 2048) * (size >> 20)


def png_text(count: int) -> bytes:
    """A PNG of so many compressed texts of a megabyte."""
    return png_of(4, 4, *[png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))] * count)


def png_profile(size: int) -> bytes:
    """A PNG whose colour profile unpacks to so many bytes."""
    return png_of(4, 4, png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(size))))


IMAGE_BOMBS: dict[str, Callable[[], bytes]] = {
    **{f"sides {name}": partial(bytes, data) for name, data in huge_sides().items()},
    **{f"tile {kind}": partial(huge_tile, compression=kind) for kind in (1, 5, 7, 8, 50000)},
    "png text": partial(png_text, 100),
    "png profile": partial(png_profile, 400_000_000),
    "tiff tags": partial(overlapping_tags, 20_000, 1_000_000),
    "tiff pages": partial(many_pages, 200_000),
    "gif frames": partial(gif_of_frames, 50_000),
    "jpeg scans": partial(many_scans, 1000, 25_000),
}
"""Images that must not be decoded, by name."""

ARCHIVE_BOMBS: dict[str, Callable[[], bytes]] = {
    "tar member": partial(tar_bomb, 1030 << 20),
    "tar long name": partial(tar_bomb, 1030 << 20, tarfile.GNUTYPE_LONGNAME),
    "tar extended header": partial(tar_bomb, 1030 << 20, tarfile.XHDTYPE),
    "tar sparse": partial(sparse_bomb, 8 << 30),
    "tar sparse map": partial(sparse_map_bomb, 200 << 20),
}
"""Tars of which nothing may be unpacked into memory, by name."""
