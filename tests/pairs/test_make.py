"""Folders of RAW files become pairs of the DN and the pixels that went in; what is wrong costs its own file only."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from rawsynth.errors import OutputError, UsageError
from rawsynth.pairs import open_pairs
from rawsynth.pairs.camera import PairOptions
from rawsynth.pairs.make import FileOutcome, PairsSummary, make_pairs
from rawsynth.raw.cfa import BAYER_LAYOUTS
from tests import dng

Shoot = Callable[..., Any]
Samples = Callable[[str | Path], dict[str, dict[str, bytes]]]
GOPRO = Path(__file__).parents[2] / ".." / "shared" / "data" / "raw" / "gopro_hero6.dng"
XTRANS = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"


def make(folder: Path, output: Path | str, *, crop: int = 64, **options: Any) -> PairsSummary:
    kept = {name: options.pop(name) for name in ("srgb", "max_saturated", "max_residual") if name in options}
    return make_pairs(str(folder), str(output), options=PairOptions(crop=crop, **kept), **options)


def outcome_of(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((output / "pairs.json").read_text())
    return document


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- what goes in comes out ----


def test_pairs_of_all_layouts_and_orientations(tmp_path: Path, shoot: Shoot, read_samples: Samples) -> None:
    """Every DN and every JPEG pixel is where it was put, red first, whatever the layout, the turn and the shift."""
    rows = zip(BAYER_LAYOUTS, (1, 3, 6, 8), [(0, 0), (5, 8), (-7, -4), (4, -9)], ("tagged", "upright") * 2, strict=True)
    shots = {}
    for cfa, orientation, shift, stored in rows:
        shot = shoot(tmp_path / f"in/{cfa}", "IMG_1", cfa=cfa, orientation=orientation, shift=shift, stored=stored)
        shots[f"{cfa}/IMG_1"] = shot
    summary = make(tmp_path / "in", tmp_path / "out")
    samples = read_samples(tmp_path / "out")
    assert summary.exit_code == 0 and summary.pairs == len(samples) > 40
    scenes = set()
    for key, members in samples.items():
        assert set(members) == {"srgb.png", "raw.npy", "json"}
        meta = json.loads(members["json"])
        shot = shots[meta["scene"]]
        scenes.add(meta["scene"])
        assert key == meta["key"] and key.startswith(f"{shot.cfa}/IMG_1-dng_")
        shot.check_pair(members, meta)
        assert meta["raw"]["levels"] == {"black_level": 512, "white_level": 4095, "bits": 16}
        assert meta["alignment"]["shift"] == list(shot.shift) and meta["alignment"]["score"] > 0.5
    assert scenes == set(shots)


def test_metadata(tmp_path: Path, shoot: Shoot, read_samples: Samples) -> None:
    shoot(tmp_path / "in")
    make(tmp_path / "in", tmp_path / "out", crop=128)
    meta = json.loads(read_samples(tmp_path / "out")["IMG_1-dng_0_0"]["json"])
    assert meta["camera"] == "Acme Cam One" and meta["iso"] == 800 and meta["exposure_s"] == pytest.approx(0.01)
    assert meta["white_balance"] == pytest.approx(dng.GAINS, rel=1e-5)
    assert np.abs(np.array(meta["cam_from_srgb"]) - dng.CAM_FROM_SRGB).max() < 2e-4
    assert meta["source"] == {"raw": "IMG_1.dng", "srgb": "IMG_1.jpg"} and meta["srgb_source"] == "jpeg"
    assert meta["crop"] == {"raw": [0, 0, 128, 128], "srgb": [0, 0, 128, 128]}
    assert meta["sensor"] == {"cfa": "RGGB", "black_level": [512] * 4}
    assert meta["alignment"]["local"]["residual_px"] < 0.5


def test_the_training_side_reads_them(tmp_path: Path, shoot: Shoot) -> None:
    shot = shoot(tmp_path / "in", cfa="BGGR")
    make(tmp_path / "in", tmp_path / "out", crop=128)
    pairs = open_pairs(str(tmp_path / "out"))
    assert len(pairs) == 2 and set(pairs.scenes) == {"IMG_1"}
    top, left = pairs[0].meta["crop"]["raw"][:2]
    window = torch.from_numpy(shot.mosaic[top : top + 128, left : left + 128].astype(np.float32))
    assert torch.equal(pairs[0].raw[0], (window[::2, ::2] - 512) / (4095 - 512))
    assert pairs[0].meta["camera"] == "Acme Cam One"


def test_black_levels_are_brought_to_one(tmp_path: Path, shoot: Shoot, read_samples: Samples) -> None:
    """The light above black stays the same at every site: DN rise by what their own level lacks."""
    black = np.array([500, 503, 505, 510])
    mosaic = dng.sensor(dng.photograph("coffee", 256, 384), "GBRG", black=black)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.dng").write_bytes(dng.dng(mosaic, "GBRG", black=black))
    make(tmp_path / "in", tmp_path / "out", crop=128, srgb="libraw")
    members = read_samples(tmp_path / "out")["a-dng_0_0"]
    meta = json.loads(members["json"])
    top, left = meta["crop"]["raw"][:2]
    assert (top % 2, left % 2) == (1, 0)
    assert meta["raw"]["levels"] == {"black_level": 510, "white_level": 4095, "bits": 16}
    assert meta["sensor"] == {"cfa": "GBRG", "black_level": [505, 510, 500, 503]}
    planes = np.load(io.BytesIO(members["raw.npy"]))
    for k, site_black in enumerate((505, 510, 500, 503)):
        site = mosaic[top + k // 2 : top + 128 : 2, left + k % 2 : left + 128 : 2]
        assert np.array_equal(planes[k].astype(int) - 510, site.astype(int) - site_black)


@pytest.mark.parametrize("source", ["preview", "libraw"])
def test_other_sources_of_srgb(tmp_path: Path, shoot: Shoot, read_samples: Samples, source: str) -> None:
    look = dng.camera_look(dng.photograph("coffee", 256, 384))
    shot = shoot(tmp_path / "in", orientation=8, stored=None, preview=dng.jpeg(look, quality=95))
    summary = make(tmp_path / "in", tmp_path / "out", srgb=source)
    assert summary.pairs == 24
    from rawsynth.raw.files import develop, read_raw

    raw = read_raw(str(tmp_path / "in/IMG_1.dng"))
    pixels = dng.decoded(raw.preview or b"") if source == "preview" else develop(raw).transpose(1, 2, 0)
    expected = type(shot)("IMG_1", "RGGB", shot.mosaic, pixels, (0, 0))
    for members in read_samples(tmp_path / "out").values():
        meta = json.loads(members["json"])
        assert meta["srgb_source"] == source and meta["source"] == {"raw": "IMG_1.dng", "srgb": None}
        expected.check_pair(members, meta)


def test_equal_input_makes_equal_bytes(
    tmp_path: Path, shoot: Shoot, hash_tars: Callable[[str | Path], dict[str, str]]
) -> None:
    for name in ("a", "b"):
        shoot(tmp_path / "in", name)
    shutil.copytree(tmp_path / "in", tmp_path / "elsewhere")
    for number, folder in enumerate(("in", "in", "elsewhere")):
        make(tmp_path / folder, tmp_path / f"out{number}", part_size=300_000)
    assert len(hash_tars(tmp_path / "out0")) > 1
    assert hash_tars(tmp_path / "out0") == hash_tars(tmp_path / "out1") == hash_tars(tmp_path / "out2")
    assert (tmp_path / "out0/pairs.json").read_bytes() == (tmp_path / "out1/pairs.json").read_bytes()


def test_parts_and_their_record(tmp_path: Path, shoot: Shoot, hash_tars: Callable[..., dict[str, str]]) -> None:
    shoot(tmp_path / "in")
    make(tmp_path / "in", tmp_path / "out", part_size=100_000)
    parts, tars = outcome_of(tmp_path / "out")["parts"], hash_tars(tmp_path / "out")
    assert {part["name"]: part["sha256"] for part in parts} == tars and len(parts) > 3
    assert list(tars) == [f"pairs-{k:05d}.tar" for k in range(len(tars))]
    assert sum(part["pairs"] for part in parts) == 24
    assert all(part["bytes"] == (tmp_path / "out" / part["name"]).stat().st_size for part in parts)


def test_other_stores(memory: fsspec.AbstractFileSystem, tmp_path: Path, shoot: Shoot, read_samples: Samples) -> None:
    shot = shoot(tmp_path)
    for name in ("IMG_1.dng", "IMG_1.jpg"):
        memory.pipe_file(f"/in/{name}", (tmp_path / name).read_bytes())
    assert make_pairs("memory://in", "memory://out", options=PairOptions(crop=128)).pairs == 6
    for members in read_samples("memory://out").values():
        shot.check_pair(members, json.loads(members["json"]))
    with pytest.raises(UsageError, match="--overwrite"):
        make_pairs("memory://in", "memory://out")


# ---- what is wrong ----


@pytest.fixture
def troubled(tmp_path: Path, shoot: Shoot) -> Path:
    """A folder with one good shot among many that are not."""
    folder = tmp_path / "in"
    shoot(folder, "good")
    look = dng.camera_look(dng.photograph("coffee", 256, 384))
    shoot(folder, "half", stored=None)
    (folder / "half.jpg").write_bytes(dng.jpeg(look[::2, ::2]))
    shoot(folder, "other", look=lambda photo: dng.camera_look(dng.photograph("astronaut", *photo.shape[:2])))
    shoot(folder / "sub", "alone", stored=None)
    (folder / "cut.nef").write_bytes((folder / "good.dng").read_bytes()[:90_000])
    (folder / "xtrans.dng").write_bytes(dng.dng(dng.sensor(look[:252, :384]), XTRANS, pattern=(6, 6)))
    (folder / "linear.dng").write_bytes(dng.dng(look.astype(np.uint16) * 16, ""))
    (folder / "gone.dng").symlink_to(folder / "nowhere.dng")
    return folder


REASONS = {
    "cut.nef": ("unusable RAW", "LibRaw cannot read"),
    "half.dng": ("no full-size sRGB", "resampled: JPEG is 192x128, sensor 384x256"),
    "linear.dng": ("unusable RAW", "linear DNG"),
    "other.dng": ("not alike", "do not show the same"),
    "sub/alone.dng": ("no full-size sRGB", "no JPEG of its name beside it"),
    "xtrans.dng": ("unusable RAW", "X-Trans"),
}


def test_a_bad_file_costs_itself_only(troubled: Path, tmp_path: Path, read_samples: Samples) -> None:
    summary = make(troubled, tmp_path / "out", crop=128, srgb="jpeg")
    assert {key.rpartition("-")[0] for key in read_samples(tmp_path / "out")} == {"good"}
    document = outcome_of(tmp_path / "out")
    rows = {row["path"]: row for row in document["files"]}
    gone = rows.pop("gone.dng")["rejected"]
    assert rows.pop("good.dng")["rejected"] is None and set(rows) == set(REASONS)
    for path, (kind, said) in REASONS.items():
        assert rows[path]["rejected"]["kind"] == kind and said in rows[path]["rejected"]["reason"]
        assert rows[path]["pairs"] == 0
    assert gone["kind"] == "cannot be reached" and "gone.dng" in gone["reason"] and summary.exit_code == 1
    assert make(troubled / "sub", tmp_path / "sub", crop=128).exit_code == 0


def test_rejected_files_are_shown(troubled: Path, tmp_path: Path) -> None:
    """Both images side by side, in their colours, where both could be read; the RAW alone where there is no sRGB."""
    make(troubled, tmp_path / "out", crop=128, srgb="jpeg")
    pictures = {row["path"]: row["picture"] for row in outcome_of(tmp_path / "out")["files"]}
    shown = {path: picture for path, picture in pictures.items() if picture is not None}
    assert shown == {
        "half.dng": "rejected/half-dng.jpg",
        "other.dng": "rejected/other-dng.jpg",
        "sub/alone.dng": "rejected/sub=2Falone-dng.jpg",
    }
    sizes = {path: Image.open(tmp_path / "out" / picture).size for path, picture in shown.items()}
    assert sizes["half.dng"][0] >= 1200 and sizes["sub/alone.dng"][0] < 1200
    half = np.asarray(Image.open(tmp_path / "out" / shown["half.dng"])).astype(float)
    left, right = half[8:408, 8:608], half[8:408, 616:1216]
    look = dng.camera_look(dng.photograph("coffee", 256, 384))
    wanted = np.asarray(Image.fromarray(look).resize((600, 400), Image.Resampling.LANCZOS)).astype(float)
    for channel in range(3):
        for panel in (left, right):
            assert np.corrcoef(panel[..., channel].flat, wanted[..., channel].flat)[0, 1] > 0.9
    assert (half[408:] < 100).any(), "no caption"


def test_a_file_without_a_good_crop_says_why(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path / "in", "a")
    shoot(tmp_path / "in", "b")
    summary = make(tmp_path / "in", tmp_path / "out", max_residual=0.001)
    assert (summary.pairs, summary.exit_code) == (0, 1)
    assert all(outcome.fault is not None and outcome.fault.kind == "no good crop" for outcome in summary.files)
    assert "none of 24 crops is good: 24 misaligned" in outcome_of(tmp_path / "out")["files"][0]["rejected"]["reason"]
    assert names_in(tmp_path / "out") == ["pairs.json", "rejected/a-dng.jpg", "rejected/b-dng.jpg"]
    small = make(tmp_path / "in", tmp_path / "small", crop=512)
    assert all(outcome.fault is not None and outcome.fault.kind == "too small" for outcome in small.files)


def test_nothing_found_is_wrong_usage(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match="no camera RAW files"):
        make(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the output folder ----


def test_an_output_in_use_is_refused(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="out holds 1 file"):
        make(tmp_path / "in", tmp_path / "out")
    assert names_in(tmp_path / "out") == ["mine.txt"]
    with pytest.raises(UsageError, match="is a file"):
        make(tmp_path / "in", tmp_path / "out/mine.txt")
    with pytest.raises(OutputError, match="cannot write"):
        make(tmp_path / "in", tmp_path / "out/mine.txt/below")


def test_overwriting_removes_own_files_only(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path / "in")
    output = tmp_path / "out"
    make(tmp_path / "in", output, part_size=100_000)
    make(tmp_path / "in", output, overwrite=True, max_residual=0.001)
    assert names_in(output) == ["pairs.json", "rejected/IMG_1-dng.jpg"]
    others = ["mine.txt", "pairs-1.tar", "pairs-00000.tar.bak", "rejected/my.jpg", "rejected/a-b.jpg", "x/pairs.json"]
    for name in others:
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_text("mine")
    make(tmp_path / "in", output, overwrite=True)
    assert names_in(output) == sorted([*others, "pairs-00000.tar", "pairs.json"])


def test_a_wrong_input_costs_no_earlier_pairs(tmp_path: Path, shoot: Shoot, photos: Path) -> None:
    shoot(tmp_path / "in")
    make(tmp_path / "in", tmp_path / "out")
    before = names_in(tmp_path / "out")
    with pytest.raises(UsageError):
        make(photos, tmp_path / "out", overwrite=True)
    assert names_in(tmp_path / "out") == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_only_what_is_whole(tmp_path: Path, shoot: Shoot, stop: type[BaseException]) -> None:
    for name in ("a", "b"):
        shoot(tmp_path / "in", name)

    def interrupt(outcomes: list[FileOutcome], files: int) -> None:
        if outcomes:
            raise stop

    with pytest.raises(stop):
        make(tmp_path / "in", tmp_path / "out", observe=interrupt)
    assert names_in(tmp_path / "out") == []
    with pytest.raises(stop):
        make(tmp_path / "in", tmp_path / "out", observe=interrupt, part_size=450_000)
    assert names_in(tmp_path / "out") == ["pairs-00000.tar"] and len(open_pairs(str(tmp_path / "out"))) > 0
    with pytest.raises(UsageError, match="of a run that did not end"):
        make(tmp_path / "in", tmp_path / "out")
    assert make(tmp_path / "in", tmp_path / "out", overwrite=True).pairs == 48


def test_a_fault_of_the_program_costs_one_file(
    tmp_path: Path, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rawsynth.pairs import make as module

    for name in ("a", "b"):
        shoot(tmp_path / "in", name)
    sound = module.match

    def fail_once(source: Any, options: Any) -> Any:
        if source.path == "a.dng":
            raise ZeroDivisionError("unforeseen")
        return sound(source, options)

    monkeypatch.setattr(module, "match", fail_once)
    first, second = make(tmp_path / "in", tmp_path / "out").files
    assert first.fault is not None and "ZeroDivisionError: unforeseen" in first.fault.reason
    assert second.fault is None and second.pairs == 24


@pytest.mark.parametrize("options", [{"limit": 0}, {"part_size": 0}])
def test_numbers_out_of_range(tmp_path: Path, shoot: Shoot, options: dict[str, int]) -> None:
    shoot(tmp_path / "in")
    with pytest.raises(UsageError, match=next(iter(options))):
        make(tmp_path / "in", tmp_path / "out", **options)


def test_a_limit_takes_the_first_files(tmp_path: Path, shoot: Shoot) -> None:
    for name in ("b", "a", "c"):
        shoot(tmp_path / "in", name)
    assert [outcome.path for outcome in make(tmp_path / "in", tmp_path / "out", limit=2).files] == ["a.dng", "b.dng"]


# ---- a real file ----


@pytest.mark.slow
@pytest.mark.skipif(not GOPRO.exists(), reason="needs ../shared/data/raw/gopro_hero6.dng")
def test_a_real_file(tmp_path: Path) -> None:
    summary = make_pairs(str(GOPRO), str(tmp_path / "out"))
    outcome = summary.files[0]
    assert summary.pairs == 35 and outcome.alignment is not None
    assert outcome.alignment["shift"] == [0, 0] and outcome.alignment["score"] > 0.9
    pairs = open_pairs(str(tmp_path / "out"))
    assert len(pairs) == 35 and {pair.meta["camera"] for pair in pairs} == {"GoPro HERO6 Black"}
