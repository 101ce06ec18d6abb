"""codecs: members that NumPy, Pillow and any JSON parser read, equal for equal content."""

import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from rawsynth.raw.codecs import decode_npy, encode_jpeg, encode_json, encode_npy, noisy_members
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
    assert np.array_equal(decode_npy(encoded), dn)
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
            decode_npy(data)


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
