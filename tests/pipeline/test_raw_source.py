"""Camera RAW as input: its own levels, colour and layout, cut and made smaller without a reverse ISP, then noise."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rawsynth import CorpusIndex, export, open_corpus, verify
from rawsynth.errors import SampleError
from rawsynth.pipeline.raw_source import RAW_CLEAN_LEVELS, RawChoices, RawSource, decode_source
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.files import read_raw
from rawsynth.raw.reduction import reduce_sites
from tests import dng

Make = Callable[..., Any]
SIDES = (46, 62)
XTRANS = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"


def scene(height: int = SIDES[0], width: int = SIDES[1]) -> np.ndarray:
    """The cup's rim: edges, black coffee and white china."""
    return dng.photograph("coffee")[60 : 60 + height, 180 : 180 + width]


def sensor_file(cfa: str = "RGGB", *, seed: int = 0, noise: float = 0.002, sides: tuple[int, int] = SIDES) -> bytes:
    mosaic = dng.sensor(scene(*sides), cfa, noise=noise, seed=seed)
    return dng.dng(mosaic, cfa, preview=dng.jpeg(np.zeros((20, 30, 3), np.uint8)))


def unit(mosaic: np.ndarray) -> np.ndarray:
    return (mosaic.astype(float) - dng.BLACK) / (dng.WHITE - dng.BLACK)


def planes(mosaic: np.ndarray) -> np.ndarray:
    rows, columns = (side // 2 * 2 for side in mosaic.shape)
    return np.stack([mosaic[k // 2 : rows : 2, k % 2 : columns : 2] for k in range(4)])


def clean(sample: dict[str, bytes]) -> np.ndarray:
    levels = json.loads(sample["json"])["clean"]["levels"]
    stored = np.load(io.BytesIO(sample["clean.npy"])).astype(float)
    return np.asarray((stored - levels["black_level"]) / (levels["white_level"] - levels["black_level"]))


STEP = 1 / RAW_CLEAN_LEVELS.range_dn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.dng").write_bytes(sensor_file())
    return tmp_path / "in"


def test_the_pixels_are_the_files(folder: Path, tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    make_corpus(folder, tmp_path / "c")
    ((key, sample),) = read_samples(tmp_path / "c").items()
    file, meta = read_raw(str(folder / "a.dng")), json.loads(sample["json"])
    wanted = planes(unit(file.mosaic))
    assert key == "a-dng" and wanted.min() < 0, "noise under black is the point"
    assert np.abs(clean(sample) - wanted).max() <= 0.51 * STEP
    raw, source = meta["raw"], meta["source"]
    assert (raw["method"], raw["cfa"], raw["camera"], raw["rgb_gain"]) == ("raw", "RGGB", "Acme Cam One", 1.0)
    assert raw["white_balance"] == pytest.approx(dng.GAINS, abs=1e-4)
    assert raw["cam_from_srgb"] == pytest.approx(dng.CAM_FROM_SRGB, abs=1e-3)
    assert (source["height"], source["width"], source["phase"]) == (*SIDES, [0, 0])
    assert source["sensor"]["black_level"] == [dng.BLACK] * 4 and source["sensor"]["white_level"] == dng.WHITE
    assert source["sensor"]["iso"] == 800 and source["sensor"]["states_matrix"]


@pytest.mark.parametrize("own", BAYER_LAYOUTS)
@pytest.mark.parametrize("wanted", ["RGGB", "GBRG", "camera"])
def test_every_layout_becomes_the_one_asked_for(own: str, wanted: str) -> None:
    data = sensor_file(own)
    made = decode_source(data, "a", max_pixels=10**6, downscale=1.0, choices=RawChoices(wanted))
    top, left = made.source["phase"]
    assert made.raw["cfa"] == (own if wanted == "camera" else wanted)
    mosaic = dng.sensor(scene(), own, noise=0.002)
    assert np.abs(made.packed - planes(unit(mosaic[top:, left:]))).max() < 1e-6
    assert [own[2 * ((k // 2 + top) % 2) + (k % 2 + left) % 2] for k in range(4)] == list(made.raw["cfa"])


def test_black_differs_by_site() -> None:
    black = (500, 510, 520, 530)
    mosaic = dng.sensor(scene(), "GRBG", black=black)
    made = decode_source(
        dng.dng(mosaic, "GRBG", black=black), "a", max_pixels=10**6, downscale=1.0, choices=RawChoices()
    )
    (top, left), whites = made.source["phase"], [dng.WHITE - level for level in black]
    assert (top, left) == (0, 1)
    for k, (row, column) in enumerate([(0, 1), (0, 2), (1, 1), (1, 2)]):
        site = 2 * (row % 2) + column % 2
        wanted = (mosaic[row::2, column::2].astype(float) - black[site]) / whites[site]
        rows, columns = made.packed.shape[1:]
        assert np.abs(made.packed[k] - wanted[:rows, :columns]).max() < 1e-6


def test_downscale_and_crops(folder: Path, tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    make_corpus(folder, tmp_path / "c", image={"downscale": 2, "crop": (12, 16), "crops": 3})
    file = read_raw(str(folder / "a.dng"))
    small = reduce_sites(planes(unit(file.mosaic)).astype(np.float32), 2)
    samples = read_samples(tmp_path / "c")
    assert list(samples) == ["a-dng-c0", "a-dng-c1", "a-dng-c2"]
    for sample in samples.values():
        meta = json.loads(sample["json"])
        top, left, height, width = meta["source"]["crop"]
        assert (height, width, meta["source"]["downscale"]) == (12, 16, 2) and not top % 2 and not left % 2
        wanted = small[:, top // 2 : top // 2 + 6, left // 2 : left // 2 + 8]
        assert np.abs(clean(sample) - wanted).max() <= 0.51 * STEP


def test_noise_is_what_the_json_says(folder: Path, tmp_path: Path, make_corpus: Make) -> None:
    noise = {"noise": "heteroscedastic_gaussian", "shot": 0.002, "read": 1e-5, "realizations": 40}
    make_corpus(folder, tmp_path / "c", noise=noise)
    pairs = list(open_corpus(str(tmp_path / "c"), shuffle=0))
    residual = np.stack([(pair["noisy"] - pair["clean"]).numpy() for pair in pairs])
    predicted = 0.002 * pairs[0]["clean"].numpy().clip(0) + 1e-5
    assert len(pairs) == 40
    assert (residual.var(axis=0) / predicted).mean() == pytest.approx(1, abs=0.05)
    assert abs(residual.mean()) < 0.001


def test_beside_pictures_in_folders_and_tars(
    folder: Path, tmp_path: Path, make_corpus: Make, make_tar: Make, photo: Make, read_samples: Make
) -> None:
    """Of a shot that is there as a picture too, the picture is the source; a shard may hold both kinds."""
    (folder / "b.png").write_bytes(photo(0))
    (folder / "c.NEF").write_bytes(sensor_file("BGGR"))
    (folder / "c.jpg").write_bytes(photo(1, fmt="JPEG"))
    (folder / "d.Dng").write_bytes(sensor_file(seed=1))
    content = {"x.dng": sensor_file(), "x.txt": b"label", "y.dng": sensor_file(), "y.png": photo(2), "z.png": photo(3)}
    make_tar(folder / "t.tar", content)
    summary = make_corpus(folder, tmp_path / "c", read={"keep": ["txt"]}, write={"srgb": True}, image={"crop": 24})
    assert (summary.samples, summary.lost) == (7, 0)
    samples = read_samples(tmp_path / "c")
    methods = {key: json.loads(sample["json"])["raw"]["method"] for key, sample in samples.items()}
    assert methods == {
        "a-dng": "raw", "b-png": "unprocess", "c-jpg": "unprocess", "d-Dng": "raw",
        "t/x": "raw", "t/y": "unprocess", "t/z": "unprocess",
    }  # fmt: skip
    assert samples["t/x"]["txt"] == b"label"
    for sample in samples.values():
        assert Image.open(io.BytesIO(sample["srgb.jpg"])).size == (24, 24)
    assert verify(str(tmp_path / "c")).ok


def test_the_rendering_of_a_raw_looks_like_the_scene(
    folder: Path, tmp_path: Path, make_corpus: Make, read_samples: Make
) -> None:
    make_corpus(folder, tmp_path / "c", write={"srgb": True})
    (sample,) = read_samples(tmp_path / "c").values()
    shown = np.asarray(Image.open(io.BytesIO(sample["srgb.jpg"])), float)
    for channel in range(3):
        assert np.corrcoef(shown[2:-2, 2:-2, channel].ravel(), scene()[2:-2, 2:-2, channel].ravel())[0, 1] > 0.8


def test_the_same_bytes_whatever_the_threads(
    folder: Path, tmp_path: Path, make_corpus: Make, hash_tars: Make
) -> None:
    for index in range(1, 6):
        (folder / f"f{index}.dng").write_bytes(sensor_file(seed=index))
    hashes = []
    for threads in (1, 3):
        make_corpus(folder, tmp_path / f"c{threads}", image={"crop": 16}, run={"threads": threads})
        hashes.append(hash_tars(tmp_path / f"c{threads}"))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("data", "options", "cause"),
    [
        (dng.dng(dng.sensor(scene(60, 72)), XTRANS, pattern=(6, 6)), {}, "X-Trans"),
        (sensor_file()[:3000], {}, "LibRaw cannot read"),
        (b"", {}, "LibRaw cannot read"),
        (sensor_file(), {"downscale": 1.5}, "whole numbers"),
        (sensor_file(), {"downscale": 40}, "leaves none"),
        (sensor_file(), {"max_pixels": 100}, "--max-pixels"),
    ],
)
def test_what_cannot_be_used_costs_that_image(
    folder: Path, tmp_path: Path, make_corpus: Make, read_records: Make, photo: Make,
    data: bytes, options: dict[str, Any], cause: str,
) -> None:  # fmt: skip
    (folder / "a.dng").write_bytes(data)
    (folder / "b.png").write_bytes(photo(0, height=80, width=96))
    image = {"min_side": 2, **options, "max_pixels": 10**7}
    if "max_pixels" in options:
        (folder / "b.png").write_bytes(photo(0, height=8, width=8))
        image["max_pixels"] = options["max_pixels"]
    summary = make_corpus(folder, tmp_path / "c", image=image)
    assert (summary.samples, summary.lost) == (1, 1)
    (record,) = read_records(tmp_path / "c").values()
    (error,) = record["errors"]
    assert error["key"] == "a-dng" and cause in error["cause"]


def test_filters(folder: Path, tmp_path: Path, make_corpus: Make, read_records: Make) -> None:
    bright = dng.sensor(scene(), exposure=9.0)
    (folder / "b.dng").write_bytes(dng.dng(bright))
    (folder / "c.dng").write_bytes(sensor_file(sides=(26, 62)))
    make_corpus(folder, tmp_path / "c", image={"max_clipped": 0.5, "crop": 32})
    (record,) = read_records(tmp_path / "c").values()
    reasons = {skip["key"]: skip["reason"] for skip in record["skips"]}
    assert record["samples"] == 1 and "too clipped" in reasons["b-dng"]
    assert reasons["c-dng"] == "too small: 26x62, crop wants 32x32"


def test_noise_of_each_images_camera(tmp_path: Path) -> None:
    """With --camera random the noise is that of the image's camera: of RAW, the one that took it, if it is known."""
    def decoded(data: bytes, camera: str) -> RawSource:
        choices = RawChoices("RGGB", frozenset({camera}))
        return decode_source(data, "a", max_pixels=10**6, downscale=1.0, choices=choices)

    with pytest.raises(SampleError, match="'Acme Cam One'.*--noise-camera"):
        decoded(sensor_file(), "Nikon D850")
    known = sensor_file().replace(b"Acme\0", b"SONY\0").replace(b"Cam One\0", b"ILCE-7S\0")
    assert decoded(known, "Sony ILCE-7S").raw["camera"] == "Sony ILCE-7S"


def test_what_is_made_of_it_works_as_any_corpus(folder: Path, tmp_path: Path, make_corpus: Make, cli: Make) -> None:
    (folder / "a.dng").write_bytes(dng.dng(dng.sensor(scene(), "GBRG"), "GBRG", orientation=6))
    make_corpus(folder, tmp_path / "c")
    assert cli("index", tmp_path / "c").code == 0
    assert CorpusIndex.open(str(tmp_path / "c")).row("a-dng")["method"] == "raw"
    assert export(str(tmp_path / "c"), str(tmp_path / "out")).lost == []
    again = read_raw(str(tmp_path / "out/a-dng.clean.dng"))
    assert (again.orientation, again.model, again.cfa) == (6, "Acme Cam One", "RGGB")
    assert again.black == (RAW_CLEAN_LEVELS.black_level,) * 4
    assert cli("generate", folder, tmp_path / "dry", "--method", "unprocess", "--dry-run").code == 0
