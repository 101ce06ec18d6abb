"""codecs: members that NumPy, Pillow and any JSON parser read, equal for equal content."""

import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from rawsynth.errors import SampleError
from rawsynth.raw.codecs import (
    decode_dn,
    decode_rgb,
    encode_jpeg,
    encode_json,
    encode_npy,
    encode_png,
    noisy_members,
)
from rawsynth.pipeline.decode import decode_srgb

DN = npst.arrays(np.uint16, st.tuples(st.just(4), st.integers(1, 6), st.integers(1, 6)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(dn=DN)
def test_npy_round_trip(dn: np.ndarray) -> None:
    encoded = encode_npy(dn)
    assert np.array_equal(decode_dn(encoded), dn)
    plain = np.load(io.BytesIO(encoded), allow_pickle=False)
    assert np.array_equal(plain, dn) and plain.dtype == np.dtype("<u2") and plain.flags.c_contiguous


@given(dn=DN)
def test_npy_is_what_numpy_writes(dn: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, dn)
    assert encode_npy(dn) == buffer.getvalue()


@pytest.mark.parametrize("view", [lambda a: a[:, ::2], lambda a: a.transpose(0, 2, 1), lambda a: a.astype(">u2")])
def test_memory_layout_changes_no_byte(view: Callable[[np.ndarray], np.ndarray]) -> None:
    array = view(np.arange(4 * 6 * 6, dtype=np.uint16).reshape(4, 6, 6))
    assert encode_npy(array) == encode_npy(np.array(array.tolist(), dtype=np.uint16))


def test_pickles_are_refused() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for data in (buffer.getvalue(), pickle.dumps([1])):
        with pytest.raises(ValueError):
            decode_dn(data)


@given(metadata=st.dictionaries(st.text(), JSON, max_size=4))
def test_json_round_trip(metadata: dict[str, Any]) -> None:
    assert json.loads(encode_json(metadata)) == metadata


@given(metadata=st.dictionaries(st.text(), JSON, max_size=4), data=st.data())
def test_equal_metadata_are_equal_bytes(metadata: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(metadata.items()))))
    assert encode_json(shuffled) == encode_json(metadata)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), object()])
def test_json_takes_nothing_that_a_parser_would_refuse(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_json({"value": value})


def test_a_file_name_that_is_no_utf8_stays_readable() -> None:
    """``os.fsdecode(b"caf\\xe9.jpg")``: such names come from old disks and archives, and JSON is UTF-8."""
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    encoded = encode_json({"key": name})
    assert json.loads(encoded.decode("utf-8"))["key"].startswith("caf")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_jpeg_keeps_the_picture(photo: Callable[..., bytes], dtype: type) -> None:
    srgb = decode_srgb(photo(0, height=64, width=96), max_pixels=10**6)
    jpeg = encode_jpeg(srgb if dtype == np.uint8 else (srgb / 255).astype(np.float32))
    assert jpeg == encode_jpeg(srgb)
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (96, 64), "RGB")
        assert all(layer[1:3] == (1, 1) for layer in image.layer)  # no chroma subsampling
        error = np.asarray(image).astype(float) - srgb.transpose(1, 2, 0)
    assert np.sqrt((error**2).mean()) < 4


def test_jpeg_clips_what_lies_outside() -> None:
    image = np.stack([np.full((8, 8), value, np.float32) for value in (1.2, -0.2, 0.5)])
    with Image.open(io.BytesIO(encode_jpeg(image))) as decoded:
        red, green, blue = np.asarray(decoded)[4, 4]
    assert red > 250 and green < 5 and abs(int(blue) - 128) < 5


@pytest.mark.parametrize(
    ("realizations", "members"), [(1, ["noisy.npy"]), (2, ["noisy.0.npy", "noisy.1.npy"]), (11, None)]
)
def test_noisy_members(realizations: int, members: list[str] | None) -> None:
    named = noisy_members(realizations)
    assert len(set(named)) == realizations
    if members is not None:
        assert list(named) == members


# ---- strict decoding, for files that others wrote ----


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@given(
    dn=npst.arrays(np.uint16, npst.array_shapes(min_dims=0, min_side=0, max_side=4)),
    order=st.sampled_from("<>"),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0)]),
)
def test_dn_of_any_layout(dn: np.ndarray, order: str, fortran: bool, version: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    array = np.asarray(dn, dtype=f"{order}u2", order="F" if fortran else "C")
    np.lib.format.write_array(buffer, array, version=version)
    decoded = decode_dn(buffer.getvalue())
    assert decoded.dtype == np.uint16 and decoded.dtype.isnative
    assert decoded.flags.c_contiguous and decoded.flags.writeable
    assert decoded.shape == dn.shape and np.array_equal(decoded, dn)


HUGE = b"\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, 'shape': (4, 1000000000, 1000000000), }"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got 0 bytes that are none"),
        (b"PK\x03\x04", "that are none"),
        (HUGE.ljust(127) + b"\n", "got 0: damaged or cut short"),
        (npy(np.zeros((2, 3), np.uint16))[:-1], r"wanted 12 bytes of uint16 \(2, 3\), got 11"),
        (npy(np.zeros((2, 3), np.uint16)) + b"x", "got 13"),
        (npy(np.zeros(3, np.uint8)), "wanted uint16 DN, got uint8"),
        (npy(np.zeros(3, np.float16)), "wanted uint16 DN, got float16"),
        (npy(np.zeros(3, "U1")), "wanted uint16 DN, got <U1"),
        (npy(np.zeros(3, [("a", "<u2")])), "wanted uint16 DN"),
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "pickled objects, which are never loaded"),
        (pickle.dumps(np.zeros(3, np.uint16)), "that are none"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_dn(data: bytes, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        decode_dn(data)


DAMAGE = st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4)


@given(damage=DAMAGE, cut=st.none() | st.integers(0, 140))
def test_a_damaged_header_is_a_fault_of_the_sample(damage: list[tuple[int, int]], cut: int | None) -> None:
    data = bytearray(npy(np.arange(6, dtype=np.uint16).reshape(2, 3)))
    for place, value in damage:
        data[place] = value
    try:
        decoded = decode_dn(bytes(data[:cut]))
    except SampleError:
        return
    assert decoded.size == 6


def test_a_header_of_unended_brackets_is_a_fault_of_the_sample() -> None:
    """NumPy's second look at what may be Python 2's syntax raises an error of the tokenizer, no ValueError."""
    data = npy(np.zeros((2, 3), np.uint16)).replace(b"(2, 3)", b"(2, 3 ")
    with pytest.raises(SampleError, match="that are none"):
        decode_dn(data)


@given(srgb=npst.arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9))))
def test_png_loses_nothing(srgb: np.ndarray) -> None:
    encoded = encode_png(srgb)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image).transpose(2, 0, 1), srgb)
    decoded = decode_rgb(encoded)
    assert np.array_equal(decoded, srgb) and decoded.flags.c_contiguous and decoded.flags.writeable


def encoded(mode: str, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 6)).save(buffer, fmt, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[274] = orientation
    return data


def deep_png() -> bytes:
    """RGB of 16 bits a channel, which Pillow itself cannot write."""
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(7))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got 0 bytes"),
        (b"\xff\xd8\xff\xe0", "got 4 bytes; cannot decode"),
        (encoded("RGB", "BMP"), "wanted a JPEG, PNG or WebP"),
        (encoded("RGB", "GIF"), "wanted a JPEG, PNG or WebP"),
        (encoded("L", "PNG"), "wanted 8-bit RGB, got mode L"),
        (encoded("RGBA", "PNG"), "wanted 8-bit RGB, got mode RGBA"),
        (encoded("P", "PNG"), "wanted 8-bit RGB, got mode P"),
        (encoded("CMYK", "JPEG"), "wanted 8-bit RGB, got mode CMYK"),
        (deep_png(), "wanted 8-bit RGB, got mode RGB of 16 bits"),
        *((encoded("RGB", fmt, exif=exif(6)), "EXIF orientation 6") for fmt in ("JPEG", "PNG", "WEBP")),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_rgb(data: bytes, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        decode_rgb(data)


@pytest.mark.parametrize("orientation", [0, 1])
def test_an_upright_image_may_say_so(orientation: int) -> None:
    assert decode_rgb(encoded("RGB", "JPEG", exif=exif(orientation))).shape == (3, 6, 4)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_an_image_cut_short_is_a_fault_of_the_sample(photo: Callable[..., bytes], fmt: str) -> None:
    whole = photo(0, fmt=fmt)
    assert decode_rgb(whole).shape == (3, 32, 48)
    for cut in range(0, len(whole) - 30, 37):
        with pytest.raises(SampleError):
            decode_rgb(whole[:cut])
