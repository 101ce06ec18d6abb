"""Frames of a sensor: every container gives back the very DN that were put in, and what holds no DN is refused."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawsynth.errors import InputAccessError, SampleError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.frames import Frame, decode_frame, read_frame
from tests.dng import BLACK, WHITE, dng, jpeg


DN = np.random.default_rng(1).integers(0, 4096, (6, 10)).astype(np.uint16)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def picture(array: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    buffer, image = io.BytesIO(), Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


SMALL = (DN % 256).astype(np.uint8)
CONTAINERS = {
    "npy of uint16": ("a.npy", npy(DN), DN, None),
    "npy, big endian, column by column": ("a.npy", npy(np.asfortranarray(DN.astype(">u2"))), DN, None),
    "npy of uint8": ("a.npy", npy(SMALL), SMALL, 8),
    "png, 16 bits": ("a.png", picture(DN), DN, None),
    "png, 8 bits": ("a.png", picture(SMALL), SMALL, 8),
    "tiff, 16 bits": ("a.tif", picture(DN, "TIFF"), DN, None),
    "tiff, 16 bits, by tifffile": ("a.tiff", tiff(DN), DN, None),
    "tiff, 16 bits, big endian": ("a.tif", tiff(DN, byteorder=">"), DN, None),
    "tiff, 16 bits, deflated": ("a.TIF", tiff(DN, compression="zlib", predictor=True), DN, None),
    "bmp": ("a.bmp", picture(SMALL, "BMP"), SMALL, 8),
    "tiff, 8 bits": ("a.tif", tiff(SMALL), SMALL, 8),
}


@pytest.mark.parametrize("name, data, wanted, bits", CONTAINERS.values(), ids=CONTAINERS)
def test_pictures_and_arrays_come_as_stored(name: str, data: bytes, wanted: np.ndarray, bits: int | None) -> None:
    frame = decode_frame(data, name)
    assert frame.dn.dtype == np.uint16 and (frame.dn == wanted).all()
    assert (frame.name, frame.bits, frame.cfa, frame.black_level, frame.white_level) == (name, bits, None, None, None)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99))
def test_any_array_comes_back(height: int, width: int, kind: Any, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, np.iinfo(kind).max + 1, (height, width)).astype(kind)
    assert (decode_frame(npy(values), "x").dn == values).all()


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_raw_files_say_what_they_are(cfa: str, tmp_path: Path) -> None:
    mosaic = np.random.default_rng(2).integers(0, WHITE, (32, 48)).astype(np.uint16)
    (tmp_path / "a.dng").write_bytes(dng(mosaic, cfa))
    frame = read_frame(str(tmp_path / "a.dng"))
    assert (frame.dn == mosaic).all() and frame.cfa == cfa and frame.states_cfa
    assert (frame.black_level, frame.white_level, frame.bits) == (BLACK, WHITE, 12)
    assert (frame.iso, frame.exposure_s) == (800, pytest.approx(0.01))


def test_a_monochrome_raw_has_no_filter() -> None:
    mosaic = np.random.default_rng(2).integers(0, WHITE, (32, 48)).astype(np.uint16)
    frame = decode_frame(dng(mosaic, ""), "mono.dng")
    assert (frame.dn == mosaic).all() and frame.cfa is None and frame.states_cfa


def test_a_dng_is_raw_whatever_its_name() -> None:
    mosaic = np.full((32, 48), 700, np.uint16)
    assert decode_frame(dng(mosaic, "GBRG"), "canon.tif").cfa == "GBRG"


RGB = np.zeros((4, 6, 3), np.uint8)


def four_bit_png() -> bytes:
    """Pillow writes no grayscale of 4 bits: one 2x1 image, chunk by chunk."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\x3c")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


REFUSED = {
    "jpeg": (jpeg(RGB), "JPEG: developed"),
    "rgb png": (picture(RGB), "RGB colour"),
    "rgb bmp": (picture(RGB, "BMP"), "RGB colour"),
    "rgb tiff": (picture(RGB, "TIFF"), "RGB colour"),
    "black and white": (picture(np.zeros((4, 6), bool)), "16-bit grayscale PNG"),
    "palette": (picture(SMALL, mode="P"), "palette"),
    "png of 4 bits": (four_bit_png(), "scaled"),
    "float tiff": (tiff(DN.astype(np.float32)), "32-bit floats"),
    "32-bit tiff": (tiff(DN.astype(np.uint32)), "32-bit integers"),
    "inverted tiff": (tiff(SMALL, photometric="miniswhite"), "inverted"),
    "two pages": (tiff(np.stack([DN, DN]), photometric="minisblack"), "2 pages"),
    "cut png": (picture(DN)[:60], "Is the file whole"),
    "cut npy": (npy(DN)[:-3], "cut short"),
    "float npy": (npy(DN / 7), "float64"),
    "three sides": (npy(np.stack([DN, DN])), "one file a frame"),
    "pickle": (npy(np.array([{}], dtype=object)), "never loaded"),
    "empty": (npy(DN[:0]), "one frame"),
    "nothing": (b"", "LibRaw cannot read"),
}


@pytest.mark.parametrize("data, words", REFUSED.values(), ids=REFUSED)
def test_what_holds_no_dn_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(SampleError, match=words) as caught:
        decode_frame(data, "flat 7.tif" if data[:2] in (b"II", b"MM") else "flat 7")
    assert "flat 7" in str(caught.value)


def test_a_file_that_is_not_there_is_no_fault_of_content(tmp_path: Path) -> None:
    with pytest.raises(InputAccessError):
        read_frame(str(tmp_path / "none.png"))


def test_exposure_of_a_tiff() -> None:
    exif = Image.Exif()
    exif[33434], exif[34855] = 0.25, 1600
    frame = decode_frame(picture(DN, "TIFF", exif=exif), "a.tif")
    assert (frame.exposure_s, frame.iso) == (0.25, 1600)


def test_a_frame_prints_short() -> None:
    assert len(repr(Frame("a", DN))) < 200
