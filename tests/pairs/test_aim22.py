"""aim22: the published layout, its scale and its tiles; whatever does not fit is named."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch.utils.data import DataLoader

from rawsynth.errors import InputAccessError, SampleError, UnknownNameError, UsageError
from rawsynth.pairs import Aim22Pairs, Pair, Scoring, stitch, tile_position

SIDES = {"s7": 504, "p20": 496}
S7_SRGB = Path(__file__).parents[2] / ".." / "shared" / "data" / "s7_srgb"


def jpeg(side: int, fmt: str = "JPEG") -> bytes:
    """A square of a photograph."""
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()[:side, :side]).save(buffer, fmt)
    return buffer.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def dn_of(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1024, (side // 2, side // 2, 4)).astype(np.uint16)


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> str:
    return str(tmp_path / "tiles") if request.param == "local" else "memory://tiles"


def put(folder: str, files: dict[str, bytes]) -> str:
    fs, path = fsspec.core.url_to_fs(folder)
    fs.makedirs(path, exist_ok=True)
    for name, content in files.items():
        fs.pipe_file(f"{path}/{name}", content)
    return folder


def tiles(phone: str, *names: str) -> dict[str, bytes]:
    side = SIDES[phone]
    return {f"{n}.jpg": jpeg(side) for n in names} | {f"{n}.npy": npy(dn_of(side, i)) for i, n in enumerate(names)}


# ---- what a pair is ----


@pytest.mark.parametrize(
    ("phone", "levels", "black", "white"),
    [
        ("s7", "scoring", 0, 1024),
        ("p20", "scoring", 0, 1024),
        ("s7", "sensor", 0, 1023),
        ("p20", "sensor", 60, 1020),
    ],
)
def test_planes_and_scale(place: str, phone: str, levels: str, black: int, white: int) -> None:
    side, files = SIDES[phone], tiles(phone, "12_9")
    pairs = Aim22Pairs(put(place, files), phone=phone, levels=levels)
    pair = pairs[0]
    assert pair.srgb.shape == (3, side, side) and pair.srgb.dtype == torch.uint8
    with Image.open(io.BytesIO(files["12_9.jpg"])) as image:
        assert np.array_equal(pair.srgb.permute(1, 2, 0).numpy(), np.asarray(image))
    dn = dn_of(side).astype(np.float64)
    assert pair.raw.shape == (4, side // 2, side // 2) and pair.raw.dtype == torch.float32
    assert pair.raw.is_contiguous() and pair.srgb.is_contiguous()
    for plane in range(4):
        assert np.abs(pair.raw[plane].double().numpy() - (dn[..., plane] - black) / (white - black)).max() < 1e-6
    assert pair.scoring == Scoring(black, white, 1024, floor=True)


@pytest.mark.parametrize("levels", ["scoring", "sensor"])
@pytest.mark.parametrize("phone", ["s7", "p20"])
def test_official_scores_are_of_dn_over_1024(tmp_path: Path, phone: str, levels: str) -> None:
    """Whatever the levels: the pair's own scoring undoes them, up to float32's last bits."""
    pair = Aim22Pairs(put(str(tmp_path), tiles(phone, "1_0")), phone=phone, levels=levels)[0]
    scale = pair.scoring
    scored = (pair.raw.double().numpy() * (scale.white_dn - scale.black_dn) + scale.black_dn) / scale.peak_dn
    assert np.abs(scored - dn_of(SIDES[phone]).transpose(2, 0, 1) / 1024).max() < 1e-6


def test_meta(tmp_path: Path) -> None:
    pair = Aim22Pairs(put(str(tmp_path), tiles("p20", "12_29")), phone="p20", levels="sensor")[0]
    assert (pair.key, pair.scene) == ("12_29", "12")
    assert pair.meta == {
        "camera": "Huawei P20",
        "scene": "12",
        "tile": 29,
        "row": 3,
        "column": 5,
        "cfa": "RGGB",
        "levels": {"black_level": 60, "white_level": 1020, "bits": 10},
    }


@pytest.mark.parametrize(("dn", "unit"), [(0, -60 / 960), (60, 0.0), (1020, 1.0), (1023, 963 / 960)])
def test_values_beyond_the_sensor_s_levels_are_kept(tmp_path: Path, dn: int, unit: float) -> None:
    files = tiles("p20", "1_0") | {"1_0.npy": npy(np.full((248, 248, 4), dn, np.uint16))}
    raw = Aim22Pairs(put(str(tmp_path), files), phone="p20", levels="sensor")[0].raw
    assert torch.allclose(raw, torch.full_like(raw, unit), atol=1e-7)


# ---- what a folder holds ----


def small(*names: str) -> dict[str, bytes]:
    """Files whose content is never read."""
    return dict.fromkeys(names, b"x")


def both(*names: str) -> dict[str, bytes]:
    return small(*(f"{name}.{suffix}" for name in names for suffix in ("jpg", "npy")))


def test_order_is_by_number(place: str) -> None:
    names = ["10_0", "9_11", "9_2", "100_1", "b_0", "9_47", "a_0"]
    pairs = Aim22Pairs(put(place, both(*names)), phone="s7")
    assert pairs.keys == ["9_2", "9_11", "9_47", "10_0", "100_1", "a_0", "b_0"]
    assert pairs.scenes == ["9", "9", "9", "10", "100", "a", "b"]


@pytest.mark.parametrize("ending", ["", "/", "/train", "/train/"])
def test_a_root_with_a_train_folder(place: str, ending: str) -> None:
    put(f"{place}/train", both("1_0", "1_1"))
    put(f"{place}/val_rgb", small("2_0.jpg"))
    assert Aim22Pairs(place + ending, phone="s7").keys == ["1_0", "1_1"]


def test_tiles_beside_a_train_folder_with_tiles(place: str) -> None:
    put(f"{place}/train", both("1_0"))
    put(place, both("2_0"))
    with pytest.raises(UsageError, match="tiles and .*tiles/train both have tiles"):
        Aim22Pairs(place, phone="s7")


def test_what_has_no_other_half_is_reported(place: str) -> None:
    strays = ["1_2.jpg", "1_3.JPG", "1_4.png", "3_3.npy", "3_04.jpg", "3_48.jpg", "photo.jpg"]
    files = both("1_0", "1_1") | small(*strays, "notes.txt", ".a.jpg")
    pairs = Aim22Pairs(put(place, files), phone="s7")
    assert pairs.keys == ["1_0", "1_1"]
    assert sorted(pairs.unmatched) == sorted(strays)
    assert Aim22Pairs(put(f"{place}2", both("1_0")), phone="s7").unmatched == ()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (small("1_0.jpg", "1_1.jpg"), "has 2 sRGB tiles and no RAW: these are test inputs"),
        (small("1_0.jpg", "1_1.npy"), r"no pair in .*2 files; 1_0\.jpg, 1_1\.npy"),
        (small("1_0.npy"), r"no pair in .*1_0\.npy"),
        (small("1_48.jpg", "1_48.npy"), "K in 0..47"),
        (small("readme.txt"), r"no pair in .*1 file; no image and no \.npy"),
        ({}, "no pair in .*0 files"),
    ],
)
def test_no_pairs(place: str, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Aim22Pairs(put(place, files), phone="s7")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputAccessError, match="gone"):
        Aim22Pairs(str(tmp_path / "gone"), phone="s7")


@pytest.mark.parametrize("names", [{"phone": "s8"}, {"phone": "S7"}, {"phone": "s7", "levels": "raw"}], ids=str)
def test_names_that_no_table_lists(tmp_path: Path, names: dict[str, str]) -> None:
    with pytest.raises(UnknownNameError, match="Choose from"):
        Aim22Pairs(put(str(tmp_path), both("1_0")), **names)


# ---- what is damaged ----

U16 = np.uint16
FAULTS: list[tuple[str, bytes | Callable[[bytes], bytes], str]] = [
    ("1_0.jpg", lambda whole: whole[:5000], "cannot decode"),
    ("1_0.jpg", b"", "got 0 bytes"),
    ("1_0.jpg", b"version https://git-lfs.github.com/spec/v1", "wanted a JPEG"),
    ("1_0.jpg", jpeg(496), r"wanted 504x504 pixels \(Samsung Galaxy S7\), got 496x496, the size of phone 'p20'"),
    ("1_0.jpg", jpeg(252), r"wanted 504x504 pixels .*, got 252x252\."),
    ("1_0.npy", lambda whole: whole[:-8], "damaged or cut short"),
    ("1_0.npy", b"", "got 0 bytes"),
    ("1_0.npy", npy(np.array({}, object), allow_pickle=True), "pickled objects, which are never loaded"),
    ("1_0.npy", npy(np.zeros((252, 252, 4), np.float32)), "wanted uint16 DN, got float32"),
    ("1_0.npy", npy(np.zeros((252, 252, 4), np.int16)), "wanted uint16 DN, got int16"),
    ("1_0.npy", npy(np.zeros((4, 252, 252), U16)), r"got \(4, 252, 252\); its planes come first: transpose"),
    ("1_0.npy", npy(np.zeros((248, 248, 4), U16)), r"wanted RAW \(252, 252, 4\) .*, got \(248, 248, 4\)\."),
    ("1_0.npy", npy(np.zeros((504, 504), U16)), r"got \(504, 504\)\."),
    ("1_0.npy", npy(np.zeros((252, 252, 3), U16)), r"got \(252, 252, 3\)\."),
    ("1_0.npy", npy(np.full((252, 252, 4), 1024, U16)), r"0\.\.1023, got 1024"),
]


@pytest.mark.parametrize(("name", "content", "message"), FAULTS, ids=lambda value: str(value)[:24])
def test_a_fault_is_named_and_is_its_pair_s_alone(tmp_path: Path, name: str, content: Any, message: str) -> None:
    files = tiles("s7", "1_0", "1_1")
    files[name] = content(files[name]) if callable(content) else content
    pairs = Aim22Pairs(put(str(tmp_path), files), phone="s7")
    with pytest.raises(SampleError, match=rf"{name}: .*{message}"):
        pairs[0]
    assert pairs[1].key == "1_1"


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    pairs = Aim22Pairs(put(str(tmp_path), tiles("s7", "1_0")), phone="s7")
    (tmp_path / "1_0.npy").unlink()
    with pytest.raises(InputAccessError, match=r"1_0\.npy"):
        pairs[0]


def first(batch: list[Pair]) -> Pair:
    return batch[0]


def test_workers(tmp_path: Path) -> None:
    pairs = Aim22Pairs(put(str(tmp_path), tiles("s7", "1_0", "1_1")), phone="s7")
    assert torch.equal(pickle.loads(pickle.dumps(pairs))[1].raw, pairs[1].raw)
    read = list(DataLoader(pairs, 1, num_workers=1, multiprocessing_context="fork", collate_fn=first))
    assert [pair.key for pair in read] == ["1_0", "1_1"]
    assert all(torch.equal(a.raw, b.raw) and a.meta == b.meta for a, b in zip(read, pairs, strict=True))


# ---- tiles ----


def test_positions_are_row_by_row() -> None:
    assert [tile_position(k) for k in range(48)] == [(row, column) for row in range(6) for column in range(8)]
    for k in (-1, 48):
        with pytest.raises(UsageError, match=f"0..47; got {k}"):
            tile_position(k)


@given(height=st.integers(1, 3), width=st.integers(1, 3), channels=st.integers(1, 4))
def test_stitching_undoes_cutting(height: int, width: int, channels: int) -> None:
    frame = torch.arange(channels * 48 * height * width).reshape(channels, 6 * height, 8 * width)
    cut = []
    for k in range(48):
        top, left = k // 8 * height, k % 8 * width
        cut.append(frame[:, top : top + height, left : left + width])
    assert torch.equal(stitch(cut), frame)


@pytest.mark.parametrize(
    "tiles", [[torch.zeros(3, 2, 2)] * 47, [], [torch.zeros(3, 2, 2)] * 47 + [torch.zeros(3, 2, 4)]], ids=len
)
def test_what_is_no_frame(tiles: list[torch.Tensor]) -> None:
    with pytest.raises(UsageError, match="48 tiles of one shape"):
        stitch(tiles)


# ---- the real sRGB halves ----

real = pytest.mark.skipif(not S7_SRGB.is_dir(), reason="needs the real S7 tiles in ../shared/data/s7_srgb")


@real
def test_real_tiles_are_test_inputs() -> None:
    with pytest.raises(UsageError, match="has 192 sRGB tiles and no RAW: these are test inputs"):
        Aim22Pairs(str(S7_SRGB), phone="s7")


def real_frame(scene: int, order: Callable[[int], int] = lambda k: k) -> np.ndarray:
    """Green of a scene's tiles put together, as float."""
    tiles = []
    for k in range(48):
        with Image.open(S7_SRGB / f"{scene}_{order(k)}.jpg") as image:
            assert image.size == (504, 504)
            tiles.append(torch.from_numpy(np.asarray(image)[..., 1].astype(np.float32))[None])
    return stitch(tiles)[0].numpy()


def seam_ratio(frame: np.ndarray) -> float:
    """Mean step across the tiles' seams over that of the rows and columns beside them."""
    assert frame.shape == (3024, 4032)
    steps = [np.abs(np.diff(frame, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    seams = [np.arange(504, side, 504) - 1 for side in frame.shape]
    across = np.concatenate([step[seam] for step, seam in zip(steps, seams, strict=True)])
    beside = np.concatenate([step[seam + shift] for step, seam in zip(steps, seams, strict=True) for shift in (-3, 3)])
    return float(across.mean() / beside.mean())


@real
@pytest.mark.parametrize("scene", [68, 98, 109])
def test_real_tiles_stitch_without_a_seam(scene: int) -> None:
    """Scene 6 is left out: each of its tiles comes from one of two exposures."""
    assert seam_ratio(real_frame(scene)) < 1.3


@real
def test_real_tiles_in_another_order_do_not() -> None:
    assert seam_ratio(real_frame(98, lambda k: k % 8 * 6 + k // 8)) > 5
