"""TIFF files: directories of tags, read back by programs that are not ours."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from rawsynth.errors import UsageError
from rawsynth.raw.tiff import EXIF_DIRECTORY, SUB_DIRECTORIES, Directory, Kind, encode_tiff


def gray(pixels: np.ndarray, **below: Directory) -> Directory:
    height, width = pixels.shape
    tags = {256: (Kind.LONG, [width]), 257: (Kind.LONG, [height]), 258: (Kind.SHORT, [16]), 259: (Kind.SHORT, [1])}
    more = {262: (Kind.SHORT, [1]), 270: (Kind.ASCII, "odd"), 277: (Kind.SHORT, [1]), 278: (Kind.LONG, [height])}
    numbers = {"sub": SUB_DIRECTORIES, "exif": EXIF_DIRECTORY}
    return Directory({**tags, **more}, pixels.astype("<u2").tobytes(), {numbers[name]: d for name, d in below.items()})


def test_pixels_come_back() -> None:
    pixels = np.arange(5 * 7, dtype=np.uint16).reshape(5, 7) * 1800
    data = encode_tiff(gray(pixels))
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_directories_below() -> None:
    first, second = np.full((2, 2), 1), np.full((4, 2), 2)
    exif = Directory({34855: (Kind.SHORT, [800]), 36864: (Kind.UNDEFINED, b"0230")})
    with tifffile.TiffFile(io.BytesIO(encode_tiff(gray(first, sub=gray(second), exif=exif)))) as tiff:
        (page,) = tiff.pages
        assert np.array_equal(page.asarray(), first) and np.array_equal(page.pages[0].asarray(), second)
        assert page.tags["ExifTag"].value == {"ISOSpeedRatings": 800, "ExifVersion": "0230"}


def test_every_type_of_field() -> None:
    fields = {
        700: (Kind.BYTE, b"\1\2\3\4\5"), 305: (Kind.ASCII, "caf\u00e9"), 33421: (Kind.SHORT, [2, 3]),
        50719: (Kind.LONG, [0, 70000]), 50728: (Kind.RATIONAL, [0.5, 1.25]), 50730: (Kind.SRATIONAL, [-0.5]),
        51041: (Kind.DOUBLE, [1e-9, 0.1]),
    }  # fmt: skip
    directory = gray(np.zeros((2, 2), np.uint16))
    with tifffile.TiffFile(io.BytesIO(encode_tiff(Directory({**directory.tags, **fields}, directory.strip)))) as tiff:
        tags = {tag.code: tag.value for tag in tiff.pages[0].tags}
    assert tags[700] == b"\1\2\3\4\5" and tags[305] == "caf\\xe9"
    assert tags[33421] == (2, 3) and tags[50719] == (0, 70000) and tags[51041] == (1e-9, 0.1)
    assert np.array(tags[50728]).reshape(-1, 2).prod() and tags[50728][0] / tags[50728][1] == 0.5
    assert tags[50730][0] / tags[50730][1] == -0.5


def test_offsets_are_even() -> None:
    data = encode_tiff(Directory({270: (Kind.ASCII, "four")}, b"\1\2\3"))
    start = struct.unpack_from("<I", data, 4)[0]
    assert start % 2 == 0
    assert struct.unpack_from("<H", data, start)[0] == 3


@pytest.mark.parametrize("field", [(Kind.SHORT, [70000]), (Kind.SHORT, [-1]), (Kind.RATIONAL, [1e9])])
def test_what_does_not_fit_is_named(field: tuple[Kind, list[float]]) -> None:
    with pytest.raises(UsageError, match=f"tag 999 .* {field[0].name}"):
        encode_tiff(Directory({999: field}))
