"""cameras, the verb: the list, one camera in full, and imports that load again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawsynth.cameras import builtin_cameras, camera_to_dict, load_camera
from rawsynth.cameras.choosing import cameras_with

Cli = Callable[..., Any]


def test_the_list_has_every_camera_once(cli: Cli) -> None:
    done = cli("cameras")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["camera", "CFA", "colour", "ISO", "read", "noise", "source", "of", "the", "noise"]
    width = lines[0].index("CFA")
    assert [line[:width].rstrip() for line in lines[1:-1]] == list(builtin_cameras())
    assert "nominal" in lines[-1]
    (a7s2,) = [line for line in lines if line.startswith("Sony ILCE-7SM2")]
    assert a7s2.split()[2:] == [
        "RGGB", "A", "D65", "50..25600", "Tukey-lambda,", "row,", "dual", "gain", "PMN"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("having", "color", "noise"), [("color", True, False), ("noise", False, True), ("both", True, True)]
)
def test_with_leaves_out_the_others(cli: Cli, having: str, color: bool, noise: bool) -> None:
    rows = json.loads(cli("cameras", "--with", having, "--json").out)
    assert [row["name"] for row in rows] == list(cameras_with(color=color, noise=noise))
    assert all(row["color"] for row in rows) or not color
    assert all(row["iso"] and row["noise"] and row["noise_source"] for row in rows) or not noise


def test_text_filters_names(cli: Cli) -> None:
    rows = json.loads(cli("cameras", "NIKON", "d5", "--with", "noise", "--json").out)
    assert [row["name"] for row in rows] == ["Nikon D5300", "Nikon D5500", "Nikon D5600"]
    done = cli("cameras", "nothing of the kind", "--with", "both")
    assert done.code == 2 and "no camera with colour and noise has 'nothing of the kind' in its name" in done.err


@pytest.mark.parametrize("words", [["Google Pixel"], ["google", "pixel"]])
def test_one_camera_in_full(cli: Cli, words: list[str]) -> None:
    done = cli("cameras", *words)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "Google Pixel"
    assert "  levels  black 64, white 1023, 10 bits, nominal" in lines
    (row,) = [line.split() for line in lines if line.startswith("  800 ")]
    assert row[1] == "all"
    # K = 1.764e-3 x 959, sigma = sqrt(1.2e-5) x 959, in electrons sigma / K, S, O.
    assert [float(value) for value in row[2:7]] == pytest.approx([1.692, 3.322, 1.964, 1.764e-3, 1.2e-5], rel=1e-3)
    assert any("SIDD" in line for line in lines) and any("read_rounded" in line for line in lines)


def test_all_that_a_profile_holds_is_shown(cli: Cli) -> None:
    out = cli("cameras", "Sony ILCE-7SM2").out
    for text in ("XYZ to camera under A", "D65: 0.5838", "switches at ISO 2000", "Tukey DN  lambda", "PMN", "1.436"):
        assert text in out
    assert "none; choose another camera" in cli("cameras", "Canon EOS R5").out
    assert json.loads(cli("cameras", "Nikon D850", "--json").out) == camera_to_dict(load_camera("Nikon D850"))


def test_planes_that_differ_are_shown_each(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "Mine"\ncfa = "GRBG"\n[levels]\nblack_level = 0\nwhite_level = 1000\nbits = 10\n'
        "[noise]\niso = [100]\ngain_dn_per_electron = [[1, 2, 3, 4]]\nread_sigma_dn = [2]\n"
    )
    rows = [line.split()[:5] for line in cli("cameras", tmp_path / "mine.toml").out.splitlines() if "  100  " in line]
    assert rows == [["100", "Gr", "1", "2", "2"], ["100", "R", "2", "2", "1"], ["100", "B", "3", "2", "0.6667"],
                    ["100", "Gb", "4", "2", "0.5"]]  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table like darktable's with one camera."""
    settings = [{"iso": iso, "a": [iso * 1e-7, iso * 4e-8, iso * 8e-8], "b": [1e-9, 1e-7, 1e-9]} for iso in (100, 200)]
    settings.append({"iso": 400, "a": [1e-5] * 3, "b": [-1e-9] * 3})
    models = [{"model": "Z 6", "profiles": settings}]
    path = tmp_path / "noiseprofiles.json"
    path.write_text(json.dumps({"noiseprofiles": [{"maker": "Nikon", "models": models}]}))
    return path


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_import_writes_a_file_that_loads(cli: Cli, tmp_path: Path, table: Path, suffix: str) -> None:
    target = tmp_path / "out" / f"z6.{suffix}"
    done = cli("cameras", "import", "darktable", table, "--model", "nikon z 6", "-o", target)
    assert done.code == 0
    assert done.out.startswith(f"{target}: Nikon Z 6; colour A and D65; noise at ISO 100..400, settings: 3")
    assert "gain_off_trend at ISO 400" in done.out and "read_floored at ISO 400" in done.out
    assert "levels nominal" in done.out
    camera = load_camera(str(target))
    assert camera.sensor_noise(200).shot == pytest.approx((200 * 4e-8 / 0.08,) * 4)
    assert cli("cameras", target).out.startswith("Nikon Z 6")


def test_import_of_an_eld_file(cli: Cli, tmp_path: Path) -> None:
    law = {"slope": 1.0, "bias": 0.0, "sigma": 0.1}
    laws = {name: law for name in ("g_scale", "G_scale", "R_scale")}
    np.save(tmp_path / "x.npy", {"Kmin": 1.0, "Kmax": 2.0, "G_shape": [0.1], "Profile-1": laws}, allow_pickle=True)
    done = cli("cameras", "import", "eld", tmp_path / "x.npy", "--model", "Mine", "-o", tmp_path / "mine.toml")
    assert done.code == 0 and "Mine; colour none; noise at ISO 100..200, settings: 2" in done.out
    assert load_camera(str(tmp_path / "mine.toml")).noise_profile().nominal_iso


def test_import_never_overwrites(cli: Cli, tmp_path: Path, table: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    done = cli("cameras", "import", "darktable", table, "--model", "Nikon Z 6", "-o", tmp_path / "mine.toml")
    assert done.code == 2 and "mine.toml is there already" in done.err
    assert (tmp_path / "mine.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["import"], 2, "cameras import {darktable,dng,eld} SOURCE"),
        (["import", "darktable", "x.json", "--model", "A"], 2, "-o FILE.toml"),
        (["import", "darktable", "x.json", "-o", "x.toml"], 2, "the camera's name"),
        (["import", "dng", "x.dng", "-o", "x.txt"], 2, "-o FILE.toml"),
        (["import", "exr", "x", "-o", "x.toml"], 2, "unknown format 'exr'"),
        (["import", "eld", "a", "b", "--model", "A", "-o", "x.toml"], 2, "one source"),
        (["import", "dng", "no-such.dng", "-o", "x.toml"], 1, "cannot read no-such.dng"),
        (["import", "dng", "x.dng", "-o", "x.toml", "--json"], 2, "--with and --json go with a list"),
        (["--model", "A"], 2, "go with import"),
        (["no-such.toml"], 2, "no-such.toml"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    done = cli("cameras", *arguments)
    assert done.code == code and said in done.err
    assert done.err.startswith("rawsynth cameras: ") and not Path("x.toml").exists()


def test_help_has_examples(cli: Cli) -> None:
    done = cli("cameras", "--help")
    assert done.code == 0 and "examples:" in done.out and "import darktable" in done.out


def test_a_search_suggests_what_is_sold_under_the_name(cli: Cli) -> None:
    done = cli("cameras", "a7r", "iii")
    assert done.code == 2 and "Near: Sony ILCE-7RM3. `rawsynth cameras` lists all." in done.err
