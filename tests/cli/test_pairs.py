"""pairs, the verb: what came of each file in words, and an exit code that scripts can use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.pairs.camera import PairOptions
from tests import dng

Cli = Callable[..., Any]


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Two shots with JPEGs, one of them of half size, and a damaged RAW file."""
    folder = tmp_path / "in"
    folder.mkdir()
    photo = dng.photograph("coffee", 256, 384)
    for name, step in (("a", 1), ("b", 2)):
        (folder / f"{name}.dng").write_bytes(dng.dng(dng.sensor(photo)))
        (folder / f"{name}.jpg").write_bytes(dng.jpeg(dng.camera_look(photo)[::step, ::step]))
    (folder / "c.dng").write_bytes(b"no photograph")
    return folder


def test_pairs_with_one_command(cli: Cli, shots: Path, tmp_path: Path) -> None:
    done = cli("pairs", shots, tmp_path / "out", "--crop", "64", "--srgb", "jpeg")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:5] == [
        f"{tmp_path}/out: 24 pairs from 1 of 3 RAW files",
        "  sRGB of 1 file: the camera's JPEG beside the RAW",
        "1 file rejected, no full-size sRGB:",
        "  b.dng: b.jpg: resampled: JPEG is 192x128, sensor 384x256 (see rejected/b-dng.jpg)",
        "1 file rejected, unusable RAW:",
    ]
    assert lines[5].startswith(f"  c.dng: {shots}/c.dng: LibRaw cannot read these 13 bytes") and len(lines) == 6
    assert "3 of 3 files" in done.err and "pairs 24, rejected 2" in done.err


def test_auto_takes_what_there_is(cli: Cli, shots: Path, tmp_path: Path) -> None:
    done = cli("pairs", shots, tmp_path / "out", "--crop", "128", "--quiet")
    assert done.code == 0 and "12 pairs from 2 of 3 RAW files" in done.out and done.err == ""
    assert "sRGB of 1 file: developed by LibRaw, which says nothing of the camera's ISP" in done.out
    files = json.loads((tmp_path / "out/pairs.json").read_text())["files"]
    assert [row["srgb"] and row["srgb"]["source"] for row in files] == ["jpeg", "libraw", None]


def test_options_reach_the_run(cli: Cli, shots: Path, tmp_path: Path) -> None:
    values = {"srgb": "libraw", "crop": 96, "max_shift": 9, "max_residual": 0.7, "max_saturated": 0.9, "limit": 1}
    flags = [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    assert cli("pairs", shots, tmp_path / "out", *flags).code == 0
    document = json.loads((tmp_path / "out/pairs.json").read_text())
    assert document["settings"].items() >= values.items() and len(document["files"]) == 1


def test_crops_left_out_are_counted(cli: Cli, shots: Path, tmp_path: Path) -> None:
    look = dng.camera_look(dng.photograph("coffee", 256, 384)).copy()
    look[:128, :128] = look[4:132, :128]
    (shots / "a.jpg").write_bytes(dng.jpeg(look))
    done = cli("pairs", shots / "a.dng", tmp_path / "out", "--crop", "128")
    assert done.code == 0
    assert done.out.splitlines()[0].endswith("5 pairs from 1 of 1 RAW file")
    assert done.out.splitlines()[1] == "  sRGB of 1 file: the camera's JPEG beside the RAW"
    assert done.out.splitlines()[2] == "1 crop of these files left out: 1 misaligned"


def test_nothing_good_is_a_failure(cli: Cli, shots: Path, tmp_path: Path) -> None:
    done = cli("pairs", shots / "b.dng", tmp_path / "out", "--srgb", "jpeg")
    assert done.code == 1 and "0 pairs from 0 of 1 RAW file" in done.out and "resampled" in done.out
    assert (tmp_path / "out/pairs.json").exists() and not list((tmp_path / "out").glob("*.tar"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--crop", "63"], "crop is an even number"),
        (["--max-residual", "0"], "max_residual is more than 0"),
        (["--limit", "0"], "limit is a number"),
        (["--srgb", "tiff"], "invalid choice"),
        (["--crop", "many"], "invalid int"),
    ],
)
def test_wrong_usage(cli: Cli, shots: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = cli("pairs", shots, tmp_path / "out", *arguments)
    assert done.code == 2 and said in done.err and not (tmp_path / "out").exists()


def test_wrong_places(cli: Cli, shots: Path, tmp_path: Path) -> None:
    assert cli("pairs", tmp_path / "nowhere", tmp_path / "out").code == 2
    assert cli("pairs", shots, shots).code == 2
    done = cli("pairs", shots, shots)
    assert "holds 5 files" in done.err and "--overwrite" in done.err and len(list(shots.iterdir())) == 5


def test_an_interruption(cli: Cli, shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rawsynth.pairs.make.match", interrupt)
    done = cli("pairs", shots, tmp_path / "out")
    assert done.code == 130 and "--overwrite" in done.err and list((tmp_path / "out").iterdir()) == []


def test_help_states_the_defaults(cli: Cli) -> None:
    done = cli("pairs", "--help")
    assert done.code == 0 and "examples:" in done.out
    _, _, said = " ".join(done.out.split()).partition(" options: ")
    for name, value in PairOptions().to_json().items():
        _, _, after = said.partition(f"--{name.replace('_', '-')} ")
        assert f"(default {value})" in after[:180], name
