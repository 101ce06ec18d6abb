"""shards: what was written is what is read, anywhere and from any worker; what is damaged is named."""

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
import webdataset as wds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError, RawsynthError, SampleError, UsageError
from rawsynth.pairs import Pair, ShardPairs, pair_members
from rawsynth.raw.levels import Levels

LEVELS = Levels(black_level=60, white_level=1020, bits=10)
Pixels = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def pixels(photo: Callable[..., bytes]) -> Pixels:
    """``pixels(index)``: a piece of a photograph, ``(3, 16, 24)`` uint8."""

    def read(index: int = 0) -> np.ndarray:
        with Image.open(io.BytesIO(photo(index, height=16, width=24))) as image:
            return np.asarray(image).transpose(2, 0, 1).copy()

    return read


def dn_of(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 1024, (4, 8, 12)).astype(np.uint16)


@pytest.fixture(scope="module")
def members(pixels: Pixels) -> Callable[..., dict[str, bytes]]:
    """``members(index, **meta)``: a sound pair's members."""

    def make(index: int = 0, **meta: Any) -> dict[str, bytes]:
        about = {"key": f"p{index}", "scene": f"scene{index // 2}", "iso": 100 + index, **meta}
        return pair_members(pixels(index), dn_of(index), LEVELS, about)

    return make


def write_tar(url: str, pairs: dict[str, dict[str, bytes]]) -> str:
    tar = storage.TarFile(url)
    for key, content in pairs.items():
        tar.write(storage.tar_entries(key, content))
    tar.commit()
    return url


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> str:
    """URL of a folder that is not there yet, on a disk and in memory."""
    return str(tmp_path / "pairs") if request.param == "local" else "memory://pairs"


@pytest.fixture
def two_tars(place: str, members: Callable[..., dict[str, bytes]]) -> str:
    """A folder of two tars with three and two pairs."""
    write_tar(f"{place}/a.tar", {f"p{i}": members(i) for i in range(3)})
    write_tar(f"{place}/sub/b.tar", {f"p{i}": members(i) for i in (3, 4)})
    return place


def replaced(content: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The members with some replaced; ``None`` removes one. ``srgb_png`` stands for ``srgb.png``."""
    merged = {**content, **{name.replace("_", "."): data for name, data in changes.items()}}
    return {name: data for name, data in merged.items() if data is not None}


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def image(array: np.ndarray, fmt: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, fmt, **options)
    return buffer.getvalue()


# ---- what is written ----


def test_members_are_files_that_others_read(pixels: Pixels, members: Callable[..., dict[str, bytes]]) -> None:
    made = members(3, white_balance=[2.0, 1.5])
    with Image.open(io.BytesIO(made["srgb.png"])) as stored:
        assert stored.format == "PNG" and np.array_equal(np.asarray(stored).transpose(2, 0, 1), pixels(3))
    assert np.array_equal(np.load(io.BytesIO(made["raw.npy"]), allow_pickle=False), dn_of(3))
    assert json.loads(made["json"]) == {
        "key": "p3",
        "scene": "scene1",
        "iso": 103,
        "white_balance": [2.0, 1.5],
        "srgb": {"member": "srgb.png"},
        "raw": {
            "member": "raw.npy",
            "cfa": "RGGB",
            "levels": {"black_level": 60, "white_level": 1020, "bits": 10},
        },
    }


def test_webdataset_reads_them(tmp_path: Path, members: Callable[..., dict[str, bytes]], pixels: Pixels) -> None:
    url = write_tar(str(tmp_path / "a.tar"), {f"p{i}": members(i) for i in range(3)})
    samples = list(wds.WebDataset(url, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == ["p0", "p1", "p2"]
    for index, sample in enumerate(samples):
        assert np.array_equal(sample["srgb.png"].transpose(2, 0, 1), pixels(index))
        assert np.array_equal(sample["raw.npy"], dn_of(index)) and sample["json"]["scene"] == f"scene{index // 2}"


def flat(*shape: int, dtype: Any = np.uint8, value: int = 7) -> np.ndarray:
    return np.full(shape, value, dtype)


META = {"key": "k", "scene": "s"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"meta": {"scene": "s"}}, UsageError, "'key'.*got None"),
        ({"meta": {"key": "k"}}, UsageError, "'scene'"),
        ({"meta": {"key": "", "scene": "s"}}, UsageError, "'key'"),
        ({"meta": {"key": 7, "scene": "s"}}, UsageError, "'key'"),
        ({"meta": {"key": "a/v1.2", "scene": "s"}}, UsageError, "no dot.*'a/v1.2'"),
        ({"meta": {"key": "/a", "scene": "s"}}, UsageError, "slash"),
        ({"meta": {**META, "raw": 1}}, UsageError, "pair k: raw"),
        ({"meta": {**META, "iso": float("nan")}}, UsageError, "pair k: metadata"),
        ({"meta": {**META, "x": np.float32(1)}}, UsageError, "pair k: metadata"),
        ({"srgb": flat(3, 4, 6, dtype=np.float32)}, SampleError, r"k: wanted sRGB \(3, H, W\) uint8, got float32"),
        ({"srgb": flat(4, 6, 3)}, SampleError, r"k: wanted sRGB .* got uint8 \(4, 6, 3\)"),
        ({"srgb": flat(3, 5, 6)}, SampleError, "k: .*even sides, got 5x6"),
        ({"srgb": flat(3, 0, 6)}, SampleError, "k: .*even sides, got 0x6"),
        ({"raw_dn": flat(4, 2, 3)}, SampleError, r"k: wanted RAW \(4, 2, 3\) uint16 .* got uint8"),
        ({"raw_dn": flat(2, 3, 4, dtype=np.uint16)}, SampleError, r"got uint16 \(2, 3, 4\)"),
        ({"raw_dn": flat(4, 2, 3, dtype=np.uint16, value=1024)}, SampleError, "up to 1023, got 1024"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_pair_is_not_written(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    sound = {"srgb": flat(3, 4, 6), "raw_dn": flat(4, 2, 3, dtype=np.uint16), "levels": LEVELS, "meta": META}
    pair_members(**sound)
    with pytest.raises(error, match=message):
        pair_members(**{**sound, **changes})


# ---- what is read ----


def check(pair: Pair, index: int, pixels: Pixels) -> None:
    assert (pair.key, pair.scene) == (f"p{index}", f"scene{index // 2}")
    assert (pair.srgb.dtype, pair.raw.dtype) == (torch.uint8, torch.float32)
    assert np.array_equal(pair.srgb.numpy(), pixels(index))
    unit = (dn_of(index).astype(np.float64) - 60) / 960
    assert pair.raw.shape == unit.shape and np.abs(pair.raw.double().numpy() - unit).max() < 1e-6
    assert pair.meta["iso"] == 100 + index and pair.meta["cfa"] == "RGGB"
    assert pair.meta["levels"] == {"black_level": 60, "white_level": 1020, "bits": 10}


def test_what_was_written_is_what_is_read(two_tars: str, pixels: Pixels) -> None:
    pairs = ShardPairs(two_tars)
    assert pairs.keys == ["p0", "p1", "p2", "p3", "p4"] and len(pairs) == 5
    assert pairs.scenes == ["scene0", "scene0", "scene1", "scene1", "scene2"]
    for index in (4, 0, 3, 1, 2):
        check(pairs[index], index, pixels)
    check(pairs[-1], 4, pixels)
    with pytest.raises(IndexError):
        pairs[5]


@pytest.mark.parametrize(
    ("urls", "keys"),
    [
        ("{place}/a.tar", "p0 p1 p2"),
        ("{place}/*.tar", "p0 p1 p2"),
        ("{place}/", "p0 p1 p2 p3 p4"),
        ("{place}/**/b.tar", "p3 p4"),
        ("{place}/{{sub/b,a}}.tar", "p3 p4 p0 p1 p2"),
        (["{place}/sub", "{place}/a.tar", "{place}/sub/b.tar"], "p3 p4 p0 p1 p2"),
    ],
)
def test_names_of_tars(two_tars: str, urls: str | list[str], keys: str) -> None:
    given = [url.format(place=two_tars) for url in ([urls] if isinstance(urls, str) else urls)]
    assert ShardPairs(given if isinstance(urls, list) else given[0]).keys == keys.split()


@pytest.mark.parametrize("url", ["{place}/*.zip", "{place}/sub/{{c,d}}*.tar", "{place}/empty"])
def test_no_tars(two_tars: str, url: str) -> None:
    fs, path = fsspec.core.url_to_fs(two_tars)
    fs.makedirs(f"{path}/empty")
    with pytest.raises(UsageError, match="no tars in .*give a folder"):
        ShardPairs(url.format(place=two_tars))


def test_a_tar_that_is_not_there(two_tars: str) -> None:
    with pytest.raises(InputAccessError, match=r"gone\.tar"):
        ShardPairs([f"{two_tars}/a.tar", f"{two_tars}/gone.tar"])


def test_hidden_tars_are_no_pairs(two_tars: str) -> None:
    for name in (".c.tar", ".cache/d.tar"):
        storage.write_atomic(f"{two_tars}/{name}", b"what a killed run left")
    assert len(ShardPairs(two_tars)) == 5


KEYS = st.text("aé日 =-_x", min_size=1, max_size=120).map(lambda text: "x" + text)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folders=st.lists(st.sampled_from(["v1.2", "sub", "x" * 90]), max_size=2), name=KEYS)
def test_any_key(tmp_path: Path, members: Callable[..., dict[str, bytes]], folders: list[str], name: str) -> None:
    """Long and foreign names need extended headers before the member's own."""
    key = "/".join([*folders, name])
    write_tar(str(tmp_path / "k.tar"), {key: members(0, key=key), "p1": members(1)})
    pairs = ShardPairs(str(tmp_path))
    assert pairs.keys == [key, "p1"] and pairs[0].meta["key"] == key and pairs[1].key == "p1"


def test_members_in_any_order_and_other_files(
    tmp_path: Path, make_tar: Callable[..., Path], members: Callable[..., dict[str, bytes]], pixels: Pixels
) -> None:
    """As ``tar cf`` of a folder lays them: not by sample, folders among them."""
    rows = [(f"p{i}.{ext}", data) for i in (0, 1) for ext, data in members(i).items()]
    rows = sorted(rows, key=lambda row: row[0].rpartition(".")[2])
    make_tar(tmp_path / "o.tar", [("README.txt", b"hello"), *rows, ("p0.notes.txt", b"x"), ("empty.txt", b"")])
    pairs = ShardPairs(str(tmp_path / "o.tar"))
    assert sorted(pairs.keys) == ["p0", "p1"]
    for index in (0, 1):
        check(pairs[pairs.keys.index(f"p{index}")], index, pixels)


@pytest.mark.parametrize(("extension", "fmt"), [("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("PNG", "PNG")])
def test_other_image_formats(
    tmp_path: Path, members: Callable[..., dict[str, bytes]], pixels: Pixels, extension: str, fmt: str
) -> None:
    encoded = image(pixels(0).transpose(1, 2, 0), fmt)
    content = replaced(members(0), srgb_png=None) | {f"srgb.{extension}": encoded}
    pair = ShardPairs(write_tar(str(tmp_path / "a.tar"), {"p0": content}))[0]
    with Image.open(io.BytesIO(encoded)) as decoded:
        assert np.array_equal(pair.srgb.numpy(), np.asarray(decoded).transpose(2, 0, 1))


@pytest.mark.parametrize(
    "array", [dn_of(0), dn_of(0).astype(">u2"), np.asfortranarray(dn_of(0))], ids=["<u2", ">u2", "fortran"]
)
def test_memory_layout_of_the_raw_is_no_matter(
    tmp_path: Path, members: Callable[..., dict[str, bytes]], pixels: Pixels, array: np.ndarray
) -> None:
    content = replaced(members(0), raw_npy=npy(array))
    check(ShardPairs(write_tar(str(tmp_path / "a.tar"), {"p0": content}))[0], 0, pixels)


# ---- workers, threads, remote stores ----


def keys_of(batch: list[Pair]) -> list[Pair]:
    return batch


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers(
    tmp_path: Path, members: Callable[..., dict[str, bytes]], pixels: Pixels, context: str
) -> None:
    write_tar(str(tmp_path / "a.tar"), {f"p{i}": members(i) for i in range(4)})
    pairs = ShardPairs(str(tmp_path))
    pairs[0]
    loader = DataLoader(pairs, 2, num_workers=1, multiprocessing_context=context, collate_fn=keys_of)
    for index, pair in enumerate(pair for batch in loader for pair in batch):
        check(pair, index, pixels)
    assert index == 3


def test_pickles_hold_no_handle(two_tars: str, pixels: Pixels) -> None:
    pairs = ShardPairs(two_tars)
    pairs[0]
    check(pickle.loads(pickle.dumps(pairs))[3], 3, pixels)
    check(pickle.loads(pickle.dumps(pairs.subset([4, 2])))[1], 2, pixels)


def test_threads(two_tars: str, pixels: Pixels) -> None:
    pairs = ShardPairs(two_tars)
    wanted = [i % 5 for i in range(100)]
    with ThreadPoolExecutor(8) as pool:
        for index, pair in zip(wanted, pool.map(pairs.__getitem__, wanted), strict=True):
            check(pair, index, pixels)


def test_a_pair_costs_its_own_bytes_only(
    memory: fsspec.AbstractFileSystem, members: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"p{i}": {**members(i), "noisy.npy": bytes(200_000)} for i in range(5)}
    pairs = ShardPairs(write_tar("memory://pairs/a.tar", contents))
    read: list[int] = []
    cat_file = type(memory).cat_file

    def counted(*args: Any, **kwargs: Any) -> bytes:
        data: bytes = cat_file(*args, **kwargs)
        read.append(len(data))
        return data

    monkeypatch.setattr(type(memory), "cat_file", counted)
    pairs[3]
    assert sum(read) == sum(map(len, members(3).values()))


def test_a_store_that_fails_in_passing(
    memory: fsspec.AbstractFileSystem,
    members: Callable[..., dict[str, bytes]],
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = ShardPairs(write_tar("memory://pairs/a.tar", {"p0": members(0)}))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    outcomes: list[Any] = [[OSError("reset by peer")] * 3, None]
    cat_ranges = type(memory).cat_ranges

    def flaky(*args: Any, **kwargs: Any) -> Any:
        """Returns the exceptions instead of raising, as asynchronous filesystems did for long."""
        outcome = outcomes.pop(0)
        return cat_ranges(*args, **kwargs) if outcome is None else outcome

    monkeypatch.setattr(type(memory), "cat_ranges", flaky)
    check(pairs[0], 0, pixels)
    assert not outcomes
    outcomes += [[OSError("reset by peer")] * 3] * 5
    with pytest.raises(InputAccessError, match=r"cannot read memory://pairs/a\.tar: reset by peer"):
        pairs[0]


# ---- a corpus of generate --srgb ----


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., Any], photo: Any) -> Path:
    """``with``, ``without`` sRGB and ``grbg``: corpora of two photographs, two crops each."""
    root = tmp_path_factory.mktemp("corpora")
    (root / "in").mkdir()
    for index in range(2):
        (root / f"in/photo{index}.png").write_bytes(photo(index, height=64, width=64))
    image_options = {"crop": (32, 32), "crops": 2}
    make_corpus(root / "in", root / "with", image=image_options, write={"srgb": True})
    make_corpus(root / "in", root / "without", image=image_options)
    make_corpus(root / "in", root / "grbg", image=image_options, write={"srgb": True}, method={"cfa": "GRBG"})
    return root


def test_a_corpus_is_pairs(corpora: Path, read_samples: Callable[..., dict[str, dict[str, bytes]]]) -> None:
    stored, pairs = read_samples(corpora / "with"), ShardPairs(str(corpora / "with"))
    assert sorted(pairs.keys) == sorted(stored) and len(pairs) == 4
    assert sorted(pairs.scenes) == ["photo0.png"] * 2 + ["photo1.png"] * 2
    for pair in pairs:
        files = stored[pair.key]
        written = json.loads(files["json"])
        with Image.open(io.BytesIO(files["srgb.jpg"])) as decoded:
            assert np.array_equal(pair.srgb.numpy(), np.asarray(decoded).transpose(2, 0, 1))
        unit = np.load(io.BytesIO(files["clean.npy"])).astype(np.float64) / 65535
        assert pair.raw.shape == (4, 16, 16) and np.abs(pair.raw.double().numpy() - unit).max() < 1e-6
        assert pair.scene == written["source"]["key"]
        for name in ("white_balance", "cam_from_srgb", "rgb_gain", "cfa", "camera"):
            assert pair.meta[name] == written["raw"][name], name


def test_the_corpus_s_raw_shows_its_srgb(corpora: Path) -> None:
    """The greens of an unprocessed photograph rise with the sRGB greens of the same sites."""
    for pair in ShardPairs(str(corpora / "with")):
        green = pair.srgb[1, 0::2, 1::2].double()
        assert np.corrcoef(green.flatten(), pair.raw[1].double().flatten())[0, 1] > 0.9


def test_a_corpus_without_srgb(corpora: Path) -> None:
    with pytest.raises(UsageError, match=r"without.*\.tar has 4 samples and no sRGB image.*generate --srgb"):
        ShardPairs(str(corpora / "without"))


def test_a_corpus_of_another_layout(corpora: Path) -> None:
    pairs = ShardPairs(str(corpora / "grbg"))
    with pytest.raises(SampleError, match=r"grbg.*\.tar: pair photo.*wanted CFA RGGB, got GRBG"):
        pairs[0]


def test_what_was_kept_from_the_source_is_no_half_of_a_pair(
    tmp_path: Path, corpora: Path, read_samples: Callable[..., dict[str, dict[str, bytes]]]
) -> None:
    """``generate --keep`` takes along members of any name."""
    key, files = next(iter(read_samples(corpora / "with").items()))
    alone = write_tar(str(tmp_path / "a.tar"), {key: files})
    kept = write_tar(str(tmp_path / "b.tar"), {key: {**files, "srgb.png": b"no image", "raw.npy": b"no array"}})
    pair, other = ShardPairs(alone)[0], ShardPairs(kept)[0]
    assert torch.equal(pair.srgb, other.srgb) and torch.equal(pair.raw, other.raw)


# ---- what is damaged ----


def document(content: dict[str, bytes], **changes: Any) -> bytes:
    return json.dumps({**json.loads(content["json"]), **changes}).encode()


def raw_entry(**changes: Any) -> dict[str, Any]:
    levels = {"black_level": 60, "white_level": 1020, "bits": 10}
    return {"raw": {"member": "raw.npy", "cfa": "RGGB", "levels": levels, **changes}}


def faults() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, members to replace (a callable takes the sound members), what the error says behind tar and key."""
    rgb = flat(16, 24, 3)
    exif = Image.Exif()
    exif[274] = 6
    yield "no sRGB", {"srgb.png": None}, "wanted json, raw.npy and one of srgb.png.*got json, raw.npy"
    yield "no RAW", {"raw.npy": None}, "wanted json, raw.npy .*got json, srgb.png"
    yield "no JSON", {"json": None}, "wanted a json member, got raw.npy, srgb.png"
    nameless = {"srgb.webp": b"x", "json": lambda c: document(c, srgb=None)}
    yield "two sRGB", nameless, "wanted one sRGB image, got srgb.png, srgb.webp"
    yield "JSON cut", {"json": lambda c: c["json"][:-1]}, "wanted raw.cfa and the levels"
    yield "JSON empty", {"json": b""}, "wanted raw.cfa"
    yield "JSON deep", {"json": b"[" * 100_000}, "wanted raw.cfa"
    yield "JSON list", {"json": b"[1]"}, "wanted raw.cfa"
    yield "JSON binary", {"json": b"\xff\xfe\x00"}, "wanted raw.cfa"
    yield "no scene", {"json": lambda c: document(c, scene="")}, "wanted in its json what it shows"
    yield "no levels", {"json": lambda c: document(c, raw={"cfa": "RGGB"})}, "got no 'levels'"
    yield "no raw", {"json": b'{"scene": "s"}'}, "got no 'raw'"
    yield "bad levels", {"json": lambda c: document(c, **raw_entry(levels={"black": 1}))}, "levels of the DN.*black"
    yield (
        "levels swapped",
        {"json": lambda c: document(c, **raw_entry(levels={"black_level": 9, "white_level": 8, "bits": 10}))},
        "black 9, white 8",
    )
    yield "CFA", {"json": lambda c: document(c, **raw_entry(cfa="BGGR"))}, "wanted CFA RGGB, got BGGR"
    yield "PNG cut", {"srgb.png": lambda c: c["srgb.png"][:-40]}, "srgb.png: .*cannot decode"
    yield "PNG empty", {"srgb.png": b""}, "srgb.png: .*got 0 bytes"
    yield "GIF", {"srgb.png": image(rgb, "GIF")}, "srgb.png: wanted a JPEG, PNG or WebP"
    yield "grey", {"srgb.png": image(rgb[..., 0])}, "srgb.png: wanted 8-bit RGB, got mode L"
    yield "alpha", {"srgb.png": image(flat(16, 24, 4))}, "srgb.png: wanted 8-bit RGB, got mode RGBA"
    yield "turned", {"srgb.png": image(rgb, exif=exif)}, "srgb.png: .*EXIF orientation 6"
    yield "odd", {"srgb.png": image(flat(15, 24, 3))}, "even sides, got 15x24"
    yield "other size", {"srgb.png": image(flat(18, 24, 3))}, r"wanted RAW \(4, 9, 12\).*got uint16 \(4, 8, 12\)"
    yield "NPY cut", {"raw.npy": lambda c: c["raw.npy"][:-2]}, "raw.npy: wanted 768 bytes.*got 766: damaged or cut"
    yield "NPY long", {"raw.npy": lambda c: c["raw.npy"] + b"\0\0"}, "raw.npy: .*got 770"
    yield "NPY empty", {"raw.npy": b""}, "raw.npy: wanted an NPY file of uint16, got 0 bytes"
    yield "HWC", {"raw.npy": npy(flat(8, 12, 4, dtype=np.uint16))}, r"got uint16 \(8, 12, 4\)"
    yield "float", {"raw.npy": npy(flat(4, 8, 12, dtype=np.float32))}, "raw.npy: wanted uint16 DN, got float32"
    yield "signed", {"raw.npy": npy(flat(4, 8, 12, dtype=np.int16))}, "raw.npy: wanted uint16 DN, got int16"
    yield "pickle", {"raw.npy": npy(np.array([{}], object), allow_pickle=True)}, "raw.npy: .*pickled objects"
    yield "DN", {"raw.npy": npy(flat(4, 8, 12, dtype=np.uint16, value=1024))}, "up to 1023, got 1024"


FAULTS = list(faults())


@pytest.mark.parametrize(("changes", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault_is_named_and_is_its_pair_s_alone(
    tmp_path: Path,
    members: Callable[..., dict[str, bytes]],
    pixels: Pixels,
    changes: dict[str, Any],
    message: str,
) -> None:
    sound = members(1)
    new = {name: change(sound) if callable(change) else change for name, change in changes.items()}
    damaged = {name: data for name, data in {**sound, **new}.items() if data is not None}
    pairs = ShardPairs(write_tar(str(tmp_path / "a.tar"), {"p0": members(0), "bad": damaged, "p2": members(2)}))
    assert pairs.keys == ["p0", "bad", "p2"]
    with pytest.raises(SampleError, match=rf"a\.tar: pair bad: .*{message}"):
        pairs[1]
    check(pairs[0], 0, pixels)
    check(pairs[2], 2, pixels)


def test_a_link_is_no_member(tmp_path: Path, members: Callable[..., dict[str, bytes]]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for extension, data in members(0).items():
            info = tarfile.TarInfo(f"p0.{extension}")
            if extension == "raw.npy":
                info.type, info.linkname = tarfile.SYMTYPE, "elsewhere.npy"
                archive.addfile(info)
                continue
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(SampleError, match=r"pair p0: .*raw\.npy \(a link\)"):
        ShardPairs(str(tmp_path))[0]


def test_keys_are_unique_across_tars(two_tars: str, members: Callable[..., dict[str, bytes]]) -> None:
    write_tar(f"{two_tars}/c.tar", {"p4": members(4)})
    with pytest.raises(UsageError, match=r"pair p4 is in .*c\.tar and in .*b\.tar"):
        ShardPairs(two_tars)


def test_members_are_unique(
    tmp_path: Path, make_tar: Callable[..., Path], members: Callable[..., dict[str, bytes]]
) -> None:
    """``tar -r`` appends a newer version behind the old one."""
    rows = [(f"p0.{extension}", data) for extension, data in members(0).items()]
    make_tar(tmp_path / "a.tar", [*rows, rows[1]])
    with pytest.raises(UsageError, match=r"a\.tar has two members p0\.raw\.npy"):
        ShardPairs(str(tmp_path))


@pytest.mark.parametrize("rows", [[], [("README.txt", b"x")], [("p0.jpg", b"x"), ("p0.cls", b"1")]], ids=str)
def test_a_tar_without_pairs(
    tmp_path: Path, make_tar: Callable[..., Path], members: Callable[..., dict[str, bytes]], rows: list[Any]
) -> None:
    write_tar(str(tmp_path / "a.tar"), {"p0": members(0)})
    make_tar(tmp_path / "b.tar", rows)
    with pytest.raises(UsageError, match=r"b\.tar holds no pairs"):
        ShardPairs(str(tmp_path))


@pytest.fixture(scope="module")
def one_tar(tmp_path_factory: pytest.TempPathFactory, members: Callable[..., dict[str, bytes]]) -> tuple[bytes, int]:
    """A tar of two pairs, and where its end-of-archive mark begins."""
    path = tmp_path_factory.mktemp("one") / "a.tar"
    contents = {f"p{i}": members(i) for i in range(2)}
    write_tar(str(path), contents)
    return path.read_bytes(), sum(len(storage.tar_entries(key, content)) for key, content in contents.items())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tar_cut_short_is_an_error(tmp_path: Path, one_tar: tuple[bytes, int], data: st.DataObject) -> None:
    """Also at the boundary of two members, where tarfile itself sees a shorter archive and no fault."""
    whole, end = one_tar
    blocks = st.integers(0, (end + 1023) // 512).map(lambda block: block * 512)
    cut = data.draw(blocks | st.integers(0, end + 1023))
    (tmp_path / "cut.tar").write_bytes(whole[:cut])
    with pytest.raises(CorpusError, match=r"cut\.tar is no tar, or damaged or cut short"):
        ShardPairs(str(tmp_path / "cut.tar"))


def test_padding_behind_the_mark_may_be_missing(tmp_path: Path, one_tar: tuple[bytes, int], pixels: Pixels) -> None:
    whole, end = one_tar
    (tmp_path / "a.tar").write_bytes(whole[: end + 1024])
    check(ShardPairs(str(tmp_path))[1], 1, pixels)


def test_tars_joined_by_cat(tmp_path: Path, one_tar: tuple[bytes, int]) -> None:
    """Readers stop at the first end mark: half of the pairs would be lost without a word."""
    (tmp_path / "a.tar").write_bytes(one_tar[0] * 2)
    with pytest.raises(CorpusError, match=r"a\.tar.*after 6 members: there is more behind"):
        ShardPairs(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b" + bytes(2000), bytes(300)], ids=repr)
def test_what_is_no_tar(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.tar is no tar"):
        ShardPairs(str(tmp_path))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_never_escape(tmp_path: Path, one_tar: tuple[bytes, int], data: st.DataObject) -> None:
    """Whatever the damage, what comes is pairs of the right shapes or an error of this package."""
    damaged, end = bytearray(one_tar[0]), one_tar[1]
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "a.tar").write_bytes(damaged)
    try:
        pairs = ShardPairs(str(tmp_path / "a.tar"))
    except RawsynthError as error:
        assert "a.tar" in str(error)
        return
    for index in range(len(pairs)):
        try:
            pair = pairs[index]
        except SampleError as error:
            assert f"a.tar: pair {pairs.keys[index]}" in str(error)
        else:
            assert pair.srgb.shape == (3, 16, 24) and pair.raw.shape == (4, 8, 12)


@pytest.mark.parametrize("change", ["removed", "cut"])
def test_a_tar_that_changes_after_it_was_opened(
    tmp_path: Path, members: Callable[..., dict[str, bytes]], change: str
) -> None:
    path = Path(write_tar(str(tmp_path / "a.tar"), {f"p{i}": members(i) for i in range(2)}))
    pairs = ShardPairs(str(path))
    path.unlink() if change == "removed" else path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputAccessError, match=r"cannot read .*a\.tar"):
        pairs[1]
