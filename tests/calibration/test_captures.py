"""Captures on disk become sets: what belongs together, by descriptor, metadata or name; what is wrong is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rawsynth.calibration.assembly import Stated
from rawsynth.calibration.captures import Captures, open_captures
from rawsynth.calibration.descriptor import read_descriptor
from rawsynth.errors import InputAccessError, SampleError, UsageError
from tests.dng import dng

EMVA = Path(__file__).parents[2] / ".." / "shared" / "data" / "emva1288_ccd12"
DESCRIPTOR = "# comment\n\nv 3.0\nn 12 64 32\n"


def frame(value: int = 100, shape: tuple[int, int] = (32, 64), top: int = 4000) -> np.ndarray:
    dn = np.random.default_rng(value).integers(value, value + 10, shape).astype(np.uint16)
    dn[0, 0] = top
    return dn


def write(folder: Path, *names: str, **kwargs: Any) -> None:
    """Frames as PNG, NPY or, with ISO 800 and 1/100 s in them, DNG."""
    for index, name in enumerate(names):
        path, dn = folder / name, frame(index, **kwargs)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(dn).save(path)
        elif path.suffix == ".npy":
            np.save(path, dn)
        else:
            path.write_bytes(dng(dn))


def descriptor(folder: Path, body: str, head: str = DESCRIPTOR) -> str:
    (folder / "set.txt").write_text(head + body)
    return str(folder / "set.txt")


def opened(source: Path | str, burst: bool = False, **stated: Any) -> Captures:
    return open_captures(str(source), Stated(**stated), burst=burst)


def names(shots: Any) -> list[str]:
    return [Path(shot.name).name for shot in shots]


def test_a_descriptor(tmp_path: Path) -> None:
    frames = [f"i/{n}.png" for n in ("b1", "b2", "d1", "d2", *(f"s{k}" for k in range(4)))]
    write(tmp_path, *frames)
    body = "b 20000.0 120,5\ni i/b1.png\ni i\\b2.png\nd 20000\ni i/d1.png\ni i/d2.png\nd 5e3\n"
    found = opened(descriptor(tmp_path, body + "".join(f"i i/s{k}.png\n" for k in range(4))))
    one = found.sets[0]
    level = one.levels[0]
    assert (len(found.sets), len(one.levels), found.warnings, found.frames) == (1, 1, (), 8)
    assert (names(level.bright), names(level.dark)) == (["b1.png", "b2.png"], ["d1.png", "d2.png"])
    assert (level.exposure_s, level.photons) == (pytest.approx(2e-5), 120.5)
    assert names(one.static_dark) == ["s0.png", "s1.png", "s2.png", "s3.png"] and not one.static_bright
    assert (one.bits, one.clip_dn, one.cfa, one.iso) == (12, 4095, None, None)
    assert (level.bright[1].load() == frame(1)).all()


def test_frames_are_read_when_they_are_needed(tmp_path: Path) -> None:
    write(tmp_path, "b1.png", "b2.png")
    one = opened(descriptor(tmp_path, "b 1 1\ni b1.png\ni b2.png\n")).sets[0]
    (tmp_path / "b2.png").unlink()
    with pytest.raises(InputAccessError):
        one.levels[0].bright[1].load()


def test_without_an_exposure_of_two_images_none_is_a_static_series() -> None:
    if not EMVA.exists():
        pytest.skip("needs ../shared/data/emva1288_ccd12")
    listing = read_descriptor(str(EMVA / "EMVA1288_Data.txt"))
    assert [sum(s.static and s.dark is dark for s in listing.shots) for dark in (False, True)] == [1, 1]
    assert [sum(not s.static and s.dark is dark for s in listing.shots) for dark in (False, True)] == [50, 50]
    assert (listing.bits, listing.width, listing.height) == (12, 640, 480)


def test_four_frames_a_level_are_points_where_every_level_has_four(tmp_path: Path) -> None:
    paths = [f"{kind}{k}.png" for kind in "bd" for k in range(4)]
    write(tmp_path, *paths)
    body = "b 1 1\n" + "".join(f"i {p}\n" for p in paths[:4]) + "d 1\n" + "".join(f"i {p}\n" for p in paths[4:])
    one = opened(descriptor(tmp_path, body)).sets[0]
    assert (len(one.levels[0].bright), len(one.levels[0].dark), one.static_bright) == (4, 4, ())


BAD_DESCRIPTORS = {
    "unknown statement": ("x 1\n", "no statement"),
    "too few numbers": ("b 20\n", "'b' takes 2 values"),
    "no number": ("b 20 many\n", "wanted numbers"),
    "negative": ("d -1\n", "0 or more"),
    "image first": ("i a.png\n", "before any exposure"),
    "two formats": ("n 12 1 1\n", "stated before"),
    "nothing": ("", "lists no exposure"),
}


@pytest.mark.parametrize("body, words", BAD_DESCRIPTORS.values(), ids=BAD_DESCRIPTORS)
def test_a_wrong_descriptor_is_named_with_its_line(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        opened(descriptor(tmp_path, body))
    assert "set.txt" in str(caught.value)


def test_a_damaged_or_missing_image_costs_its_pair(tmp_path: Path) -> None:
    write(tmp_path, *(f"b{k}.png" for k in range(7)))
    (tmp_path / "b1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b2.png").unlink()
    body = "".join(f"b {k} {k}\ni b{2 * k}.png\ni b{2 * k + 1}.png\n" for k in range(3)) + "b 9 9\ni b6.png\n"
    found = opened(descriptor(tmp_path, body))
    assert [names(level.bright) for level in found.sets[0].levels] == [["b4.png", "b5.png"]]
    told = "\n".join(found.warnings)
    assert "b1.png: cannot decode" in told and "b2.png" in told and "a pair is needed, there is b6.png" not in told
    assert told.count("a pair is needed") == 3 and "b6.png" in told


def test_sizes_and_bits_that_contradict_the_descriptor(tmp_path: Path) -> None:
    write(tmp_path, "b1.png", "b2.png")
    body = "b 1 1\ni b1.png\ni b2.png\n"
    with pytest.raises(UsageError, match="64x32; its descriptor says 32x64"):
        opened(descriptor(tmp_path, body, "n 12 32 64\n"))
    with pytest.raises(UsageError, match="4000, which 10 bits do not hold"):
        opened(descriptor(tmp_path, body, "n 10 64 32\n"))


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="none of 2 images"):
        opened(descriptor(tmp_path, "b 1 1\ni b1.png\ni b2.png\n"))


def test_a_folder_of_raw_files_goes_by_their_metadata(tmp_path: Path) -> None:
    write(tmp_path, "flats/D1.dng", "flats/D2.dng", "flats/D3.dng", "darks/D4.dng", "darks/D5.dng", "readme.txt.dng")
    found = opened(tmp_path)
    one = found.sets[0]
    assert (one.iso, one.cfa, one.black_level, one.white_level, one.bits) == (800, "RGGB", 512, 4095, 12)
    assert names(one.levels[0].bright) == ["D1.dng", "D2.dng", "D3.dng"]
    assert names(one.levels[0].dark) == names(one.dark) == ["D4.dng", "D5.dng"]
    assert "readme.txt.dng" in found.warnings[0] and "neither dark nor flat" in found.warnings[0]


def test_a_folder_of_pngs_goes_by_names(tmp_path: Path) -> None:
    flats = [f"iso{iso}_flat_{time}_{k}.png" for iso in (100, 400) for time in ("1_50s", "0.04s") for k in (1, 2)]
    write(tmp_path, *flats, *(f"iso{iso}/dark_{k}.png" for iso in (100, 400) for k in range(3)))
    found = opened(tmp_path, cfa="GBRG", bits=12)
    assert [one.iso for one in found.sets] == [100, 400]
    for one in found.sets:
        assert sorted((level.exposure_s, len(level.bright)) for level in one.levels) == [(0.02, 2), (0.04, 2)]
        assert (len(one.dark), one.cfa, one.clip_dn) == (3, "GBRG", 4095)
        assert not one.levels[0].dark


def test_levels_of_one_exposure_time_are_told_by_folder_and_of_none_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a", *(f"flat/lamp{k}/D{n}.dng" for k in (1, 2) for n in (1, 2)))
    write(tmp_path / "b", *(f"flat_{k}_{n}.npy" for k in ("01", "02", "dim") for n in "ab"))
    assert [len(level.bright) for level in opened(tmp_path / "a").sets[0].levels] == [2, 2]
    assert [names(level.bright) for level in opened(tmp_path / "b").sets[0].levels] == [
        [f"flat_{k}_{n}.npy" for n in "ab"] for k in ("01", "02", "dim")
    ]


def test_what_saturates_is_as_stated_or_left_open(tmp_path: Path) -> None:
    write(tmp_path, *(f"flat_1_{k}.npy" for k in "ab"))
    assert opened(tmp_path).sets[0].clip_dn is None
    assert opened(tmp_path, white_level=4001).sets[0].clip_dn == 4001 and opened(tmp_path, bits=14).sets[0].bits == 14


def test_darks_of_every_exposure_time_serve_together_a_longer_series_for_all(tmp_path: Path) -> None:
    write(tmp_path, *(f"{kind}_{t}ms_{n}.npy" for kind in ("flat", "dark") for t in (1, 2) for n in "ab"))
    one = opened(tmp_path).sets[0]
    assert [names(level.dark) for level in one.levels] == [[f"dark_{t}ms_{n}.npy" for n in "ab"] for t in (1, 2)]
    assert one.dark == ()
    write(tmp_path, *(f"dark_2ms_{n}.npy" for n in "cde"))
    one = opened(tmp_path).sets[0]
    assert len(one.dark) == 5 and one.dark == one.levels[1].dark


def test_a_burst(tmp_path: Path) -> None:
    write(tmp_path, *(f"shot{k}.dng" for k in range(5)), "dark1.dng", "dark2.dng")
    one = opened(tmp_path, burst=True).sets[0]
    assert (len(one.burst), len(one.dark), one.levels, one.static_bright) == (5, 2, (), ())


def test_an_odd_side_loses_its_last_row_under_a_filter_only(tmp_path: Path) -> None:
    write(tmp_path, "flat_1_a.npy", "flat_1_b.npy", shape=(17, 33))
    shapes = {cfa: opened(tmp_path, cfa=cfa).sets[0].levels[0].bright[0].load().shape for cfa in (None, "RGGB")}
    assert shapes == {None: (17, 33), "RGGB": (16, 32)}


def test_iso_of_frames_that_do_not_say(tmp_path: Path) -> None:
    write(tmp_path, "flat_1_a.npy", "flat_1_b.npy", "dark_a.npy", "dark_b.npy")
    assert opened(tmp_path).sets[0].iso is None and opened(tmp_path, iso=200).sets[0].iso == 200
    write(tmp_path, "flat_x/D1.dng", "flat_x/D2.dng")
    both = opened(tmp_path, cfa="RGGB", bits=12).sets
    assert [(one.iso, len(one.levels), len(one.dark)) for one in both] == [(800, 2, 2)]


def sizes(folder: Path) -> None:
    write(folder, "flat_1_a.npy", "flat_1_b.npy")
    write(folder, "dark_a.npy", "dark_b.npy", shape=(32, 30))


BAD_FOLDERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "sizes": (sizes, {}, "flat_1_a.npy is 64x32|dark_a.npy is 30x32"),
    "path and file differ in ISO": (lambda f: write(f, "iso100/flat1.dng"), {}, "path says ISO 100, the file ISO 800"),
    "another ISO is stated": (lambda f: write(f, "flat1.dng", "flat2.dng"), {"iso": 100}, "leave out --iso"),
    "another filter is stated": (lambda f: write(f, "flat1.dng", "flat2.dng"), {"cfa": "BGGR"}, "leave out --cfa"),
    "darks only": (lambda f: write(f, "dark1.dng", "dark2.dng"), {}, "darks without flats"),
    "no pair": (lambda f: write(f, "flat/1.dng"), {}, "a pair is needed"),
    "no names": (lambda f: write(f, "1.dng", "2.dng"), {}, "Put flats into flat/"),
    "empty": (lambda f: None, {}, "holds no frames"),
}


@pytest.mark.parametrize("make, stated, words", BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_wrong_folder_is_named(tmp_path: Path, make: Any, stated: dict[str, Any], words: str) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match=words):
        opened(tmp_path, **stated)


@pytest.mark.parametrize(
    "stated",
    [{"cfa": "RGBW"}, {"iso": 0}, {"bits": 4}, {"black_level": 600, "white_level": 500}, {"iso": float("nan")}],
)
def test_what_cannot_be_stated(stated: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Stated(**stated)


def test_one_frame_or_nothing_is_no_source(tmp_path: Path) -> None:
    write(tmp_path, "a.dng")
    with pytest.raises(UsageError, match="is one frame"):
        opened(tmp_path / "a.dng")
    with pytest.raises(InputAccessError):
        opened(tmp_path / "none")


def test_every_frame_is_told(tmp_path: Path) -> None:
    write(tmp_path, "flat1.dng", "flat2.dng")
    told: list[tuple[str, int, int]] = []
    open_captures(str(tmp_path), progress=lambda *row: told.append(row))
    assert told == [("looking at frames", 1, 2), ("looking at frames", 2, 2)]
