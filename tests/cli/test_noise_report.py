"""noise-report, the verb: a table, a verdict in the last line, and an exit code for scripts."""

import argparse
import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from rawsynth.cli import noise_report
from rawsynth.errors import SampleError, UsageError
from tests.evaluation.noise_shots import BLACK, WHITE, ramp, save, shoot

pytest.importorskip("matplotlib", reason="reports are drawn with matplotlib")
LIGHT = ramp(96, 128)
CAMERA = f"""
name = "Mine"
cfa = "RGGB"
[levels]
black_level = {BLACK}
white_level = {WHITE}
bits = 12
[noise]
iso = [100.0, 800.0]
gain_dn_per_electron = [0.125, 1.0]
read_sigma_dn = [0.75, 6.0]
"""


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``real``, ``same`` and ``noisier`` at ISO 400, ``dark`` and the camera file."""
    folder, rng = tmp_path_factory.mktemp("shots"), np.random.default_rng(0)
    for name, light, gain in (("real", 1, 0.5), ("same", 1, 0.5), ("noisier", 1, 0.6), ("dark", 0, 0.5)):
        save(folder / name, shoot(rng, light * LIGHT, 8, gain=gain))
    (folder / "mine.toml").write_text(CAMERA)
    return folder


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    noise_report.add_arguments(parser)
    code = noise_report.run(parser.parse_args([str(arg) for arg in args]))
    return code, capsys.readouterr().out


def test_folders(capsys: Any, shots: Path, memory: fsspec.AbstractFileSystem) -> None:
    code, out = run(capsys, shots / "real", shots / "same", "-o", "memory://report", "--check")
    assert code == 0 and out.splitlines()[-1].startswith("PASS") and "| variance error, all intensities |" in out
    assert memory.exists("/report/index.html") and memory.exists("/report/noise-report.json")


def test_a_difference_fails_a_check_only(capsys: Any, shots: Path) -> None:
    code, out = run(capsys, shots / "real", shots / "noisier")
    assert code == 0 and out.splitlines()[-1].startswith("DIFFERS: ")
    assert "variance error, all intensities at mono" in out
    assert run(capsys, shots / "real", shots / "noisier", "--check")[0] == 1


def test_a_camera_between_two_isos(capsys: Any, shots: Path) -> None:
    args = [shots / "real", "--also", shots / "dark", "--camera", shots / "mine.toml", "--cfa", "RGGB", "--json"]
    code, out = run(capsys, *args, "--iso", 400, "--check")
    found = json.loads(out)
    assert code == 0 and found["passed"] and [group["name"] for group in found["groups"]] == ["real", "dark"]
    assert [plane["name"] for plane in found["groups"][0]["planes"]] == ["R", "Gr", "Gb", "B"]
    code, out = run(capsys, *args, "--iso", 200, "--check")
    assert code == 1 and not json.loads(out)["passed"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["real"], "folder of synthetic frames a series, or --camera"),
        (["real", "same", "--camera", "mine.toml"], "not both"),
        (["real", "same", "--also", "dark"], "compared with"),
        (["real", "--also", "dark", "dark", "dark", "--camera", "mine.toml"], "quote patterns"),
        (["real", "same", "--frames", "3"], "--frames is 4 or more"),
        (["real", "same", "--splits", "0"], "--splits is 1 or more"),
        (["real", "--camera", "mine.toml"], "--iso"),
        (["real", "--camera", "mine.toml", "--iso", "6400"], "--extrapolate"),
    ],
)
def test_wrong_usage(capsys: Any, shots: Path, args: list[str], said: str) -> None:
    places = {"real", "same", "dark", "mine.toml"}
    with pytest.raises(UsageError, match=said):
        run(capsys, *(shots / arg if arg in places else arg for arg in args))


def test_extrapolation_is_allowed_when_asked_for(capsys: Any, shots: Path) -> None:
    args = [shots / "real", "--camera", shots / "mine.toml", "--iso", 1600, "--extrapolate", "--frames", 4]
    assert run(capsys, *args)[0] == 0


def test_frames_that_cannot_be_used(capsys: Any, shots: Path, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="0 frames"):
        run(capsys, tmp_path, shots / "same")
