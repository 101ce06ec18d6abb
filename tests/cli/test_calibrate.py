"""calibrate, the verb: captures in, two lines that programs find, a camera file, a report, an exit code to trust."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cameras import load_camera
from tests.calibration.simulated_captures import Sensor, write_captures

Cli = Callable[..., Any]
SENSOR = Sensor([0.8], [4.0], black=100)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_captures(tmp_path_factory.mktemp("captures"), SENSOR, size=(96, 96), suffix=".png", darks=6)


def test_figures_profile_and_report(cli: Cli, captures: Path, tmp_path: Path) -> None:
    files = ("-o", tmp_path / "camera.toml", "--report", tmp_path / "report")
    done = cli("calibrate", captures, *files, "--name", "Acme One", "--bits", "12")
    assert done.code == 0
    assert done.err.splitlines()[1:2] == ["rawsynth calibrate: measuring: 0 of 22 frames"]
    gain = re.search(r"^system gain ([\d.]+) DN/e-$", done.out, re.MULTILINE)
    noise = re.search(r"^dark noise ([\d.]+) DN$", done.out, re.MULTILINE)
    assert gain and float(gain[1]) == pytest.approx(0.8, rel=0.04)
    assert noise and float(noise[1]) == pytest.approx((16 + 1 / 12) ** 0.5, rel=0.03)
    camera = load_camera(str(tmp_path / "camera.toml"))
    assert camera.name == "Acme One" and camera.noise is not None
    assert camera.noise.at(100).gain_dn_per_electron[0] == pytest.approx(float(gain[1]), abs=5e-5)
    assert (tmp_path / "report/index.html").exists() and (tmp_path / "report/calibration.json").exists()


def test_json(cli: Cli, captures: Path) -> None:
    done = cli("calibrate", captures, "--json", "--bits", "12", "--fit", "emva1288", "--seed", "3")
    content = json.loads(done.out)
    assert (done.code, content["seed"], content["isos"][0]["fit"]) == (0, 3, "emva1288")


def test_what_was_left_out_is_said_and_costs_nothing_else(cli: Cli, captures: Path) -> None:
    (captures / "notes.png").write_bytes(b"")
    done = cli("calibrate", captures, "--bits", "12")
    (captures / "notes.png").unlink()
    assert done.code == 0 and "notes.png" in done.err and "neither dark nor flat" in done.err


def test_an_iso_that_fails_makes_the_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    write_captures(tmp_path / "a", SENSOR, iso=100, size=(64, 64), suffix=".npy", levels=6, darks=4)
    write_captures(tmp_path / "b", SENSOR, iso=200, size=(64, 64), suffix=".npy", levels=1, darks=2)
    done = cli("calibrate", tmp_path, "--bits", "12", "-o", tmp_path / "camera.toml")
    assert done.code == 1 and "not calibrated" in done.err and "ISO 200" in done.err
    noise = load_camera(str(tmp_path / "camera.toml")).noise
    assert noise is not None and noise.isos == (100.0,)


WRONG: dict[str, tuple[list[str], str]] = {
    "no camera file": (["-o", "camera.txt"], "--report takes a folder"),
    "no layout": (["--cfa", "RGBW"], "CFA layout"),
    "no camera": (["--color-of", "Acme Zero"], "unknown camera"),
    "another ISO": (["--iso", "200"], "leave out --iso"),
    "too few bits": (["--bits", "8"], "which 8 bits do not hold"),
}


@pytest.mark.parametrize("options, words", WRONG.values(), ids=WRONG)
def test_wrong_usage(cli: Cli, captures: Path, options: list[str], words: str) -> None:
    done = cli("calibrate", captures, *options)
    assert done.code == 2 and words in done.err and not done.out


def test_a_report_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    cli: Cli, captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = cli("calibrate", captures, "-o", tmp_path / "mine.toml", "--report", tmp_path / "report")
    assert done.code == 2 and "rawsynth[calibrate]" in done.err and list(tmp_path.iterdir()) == []


def test_nothing_there(cli: Cli, tmp_path: Path) -> None:
    done = cli("calibrate", tmp_path / "none")
    assert done.code == 1 and "none" in done.err


def test_help_has_examples(cli: Cli) -> None:
    done = cli("calibrate", "--help")
    assert done.code == 0 and "--fit emva1288 -o sensor.toml" in done.out
