"""opening: a layout by its name, or by what is there; what is neither is said."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from skimage import data

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError, SampleError, UnknownNameError, UsageError
from rawsynth.pairs import LAYOUTS, Aim22Pairs, ShardPairs, open_pairs, pair_members
from rawsynth.raw.levels import Levels

S7_SRGB = Path(__file__).parents[2] / ".." / "shared" / "data" / "s7_srgb"


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> str:
    return str(tmp_path / "set") if request.param == "local" else "memory://set"


def put(folder: str, files: dict[str, bytes]) -> str:
    fs, path = fsspec.core.url_to_fs(folder)
    fs.makedirs(path, exist_ok=True)
    for name, content in files.items():
        fs.pipe_file(f"{path}/{name}", content)
    return folder


def tile(side: int, name: str = "1_0") -> dict[str, bytes]:
    jpeg, npy = io.BytesIO(), io.BytesIO()
    Image.fromarray(data.coffee()[:side, :side] if side <= 400 else data.astronaut()[:side, :side]).save(jpeg, "JPEG")
    np.save(npy, np.full((side // 2, side // 2, 4), 512, np.uint16))
    return {f"{name}.jpg": jpeg.getvalue(), f"{name}.npy": npy.getvalue()}


def tar(key: str = "p0") -> bytes:
    rows = pair_members(
        np.full((3, 4, 6), 9, np.uint8),
        np.full((4, 2, 3), 100, np.uint16),
        Levels(black_level=0, white_level=1023, bits=10),
        {"key": key, "scene": "s"},
    )
    entries = storage.tar_entries(key, rows)
    return entries + bytes(1024 + -(len(entries) + 1024) % 10240)


# ---- what is found ----


@pytest.mark.parametrize("name", ["", "/", "/a.tar", "/*.tar", "/{{a,b}}.tar", "/sub"])
def test_tars(place: str, name: str) -> None:
    put(place, {"a.tar": tar("a"), "b.tar": tar("b"), "notes.txt": b"x"})
    put(f"{place}/sub", {"c.tar": tar("c")})
    pairs = open_pairs(place + name.format())
    assert isinstance(pairs, ShardPairs)
    wanted = {"": "abc", "/": "abc", "/a.tar": "a", "/sub": "c"}.get(name, "ab")
    assert [pair.key for pair in pairs] == list(wanted)


@pytest.mark.parametrize("folder", ["", "/train"])
@pytest.mark.parametrize(("side", "camera"), [(504, "Samsung Galaxy S7"), (496, "Huawei P20")])
def test_tiles_by_their_size(place: str, folder: str, side: int, camera: str) -> None:
    put(place + folder, {**tile(side), "LICENSE": b"x"})
    pairs = open_pairs(place)
    assert isinstance(pairs, Aim22Pairs)
    pair = pairs[0]
    assert pair.meta["camera"] == camera and pair.srgb.shape == (3, side, side)
    assert float(pair.raw.min()) == float(pair.raw.max()) == 0.5


def test_a_damaged_first_tile_does_not_hide_the_phone(place: str) -> None:
    put(place, {**tile(496), "1_0.jpg": b"broken", **tile(496, "1_1")})
    pairs = open_pairs(place)
    assert pairs.keys == ["1_0", "1_1"] and pairs[1].meta["camera"] == "Huawei P20"
    with pytest.raises(SampleError, match=r"1_0\.jpg"):
        pairs[0]


def test_a_corpus_of_generate(
    tmp_path: Path, photos: Path, make_corpus: Callable[..., Any], read_samples: Callable[..., Any]
) -> None:
    """The folder as generate leaves it, with its records and plan beside the tars."""
    make_corpus(photos, tmp_path / "corpus", write={"srgb": True})
    pairs = open_pairs(str(tmp_path / "corpus"))
    assert sorted(pair.key for pair in pairs) == sorted(read_samples(tmp_path / "corpus"))


@pytest.mark.skipif(not S7_SRGB.is_dir(), reason="needs the real S7 tiles in ../shared/data/s7_srgb")
def test_real_test_inputs() -> None:
    with pytest.raises(UsageError, match="192 sRGB tiles and no RAW"):
        open_pairs(str(S7_SRGB))


# ---- what is named ----


@pytest.mark.parametrize(
    ("layout", "side", "unit"),
    [
        ("aim22_s7", 504, 512 / 1024),
        ("aim22_p20", 496, 512 / 1024),
        ("aim22_s7_sensor", 504, 512 / 1023),
        ("aim22_p20_sensor", 496, (512 - 60) / 960),
    ],
)
def test_layouts_of_tiles(place: str, layout: str, side: int, unit: float) -> None:
    pairs = open_pairs(put(place, tile(side)), layout=layout)
    assert abs(float(pairs[0].raw.mean()) - unit) < 1e-6
    assert pairs[0].scoring.peak_dn == 1024


def test_the_name_decides_where_two_layouts_are(place: str) -> None:
    put(place, {**tile(504), "a.tar": tar()})
    with pytest.raises(UsageError, match="has 1 tars and tiles of AIM 2022: name the layout.*aim22_s7, aim22_p20"):
        open_pairs(place)
    assert open_pairs(place, layout="shards").keys == ["p0"]
    assert open_pairs(place, layout="aim22_s7").keys == ["1_0"]


def test_every_layout_is_documented() -> None:
    doc = open_pairs.__doc__
    assert doc is not None
    assert {line.split("``")[1] for line in doc.splitlines() if line.lstrip().startswith("- ``")} == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_what_is_missing(place: str, layout: str) -> None:
    put(place, {"notes.txt": b"x"})
    with pytest.raises(UsageError, match="no (pairs?|tars) in .*set"):
        open_pairs(place, layout=layout)


def test_another_name(place: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown layout of pairs 'aim22_s6'.*mean 'aim22_s7'\?.*shards"):
        open_pairs(place, layout="aim22_s6")


# ---- what is not there ----


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 files, no tar"),
        ({"a.png": b"x", "b.dng": b"x"}, r"2 files, such as a\.png, b\.dng, no tar and no SCENE_K\.jpg"),
        ({".hidden.tar": b"x"}, "no tar"),
        ({"1_0.npy": b"x"}, "no tar and no SCENE_K"),
        ({"1_0.jpg": b"x", "1_0.npy": b"x"}, "none of its tiles can be decoded"),
        (tile(252), r"1_0\.jpg has 252x252 pixels.*504x504 \(s7\), 496x496 \(p20\)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_nothing_to_open(place: str, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UsageError, match=rf"{message}.*Known layouts: auto, shards, aim22_s7"):
        open_pairs(put(place, files))


def test_a_file_that_is_no_tar(place: str) -> None:
    put(place, {"a.zip": b"x", "b.tar": b"x"})
    with pytest.raises(UsageError, match=r"a\.zip is a file and no tar"):
        open_pairs(f"{place}/a.zip")
    with pytest.raises(CorpusError, match=r"b\.tar is no tar"):
        open_pairs(f"{place}/b.tar")


def test_a_folder_that_is_not_there(place: str) -> None:
    with pytest.raises(InputAccessError, match="set/gone: no such file or folder"):
        open_pairs(f"{place}/gone")
    with pytest.raises(UsageError, match="no tars in"):
        open_pairs(f"{place}/*.tar")
