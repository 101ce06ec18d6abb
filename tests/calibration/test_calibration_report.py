"""A calibration's report: lines that programs find, a page with its figures, a JSON file with every number."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rawsynth.calibration.drawing import _shares
from rawsynth.calibration.report import figure, interval, summary_lines, write_camera, write_report
from rawsynth.calibration.result import Estimate
from rawsynth.calibration.run import CalibratedCamera, calibrate
from rawsynth.cameras import load_camera
from tests.calibration.simulated_captures import Sensor, write_captures


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> CalibratedCamera:
    folder = tmp_path_factory.mktemp("sensor")
    write_captures(folder, Sensor([0.8], [4.0], logistic=True), size=(96, 96), suffix=".npy", darks=6)
    return calibrate(str(folder), bits=12)


@pytest.fixture(scope="module")
def bayer(tmp_path_factory: pytest.TempPathFactory) -> CalibratedCamera:
    folder = tmp_path_factory.mktemp("bayer")
    for iso in (100, 400):
        gains = [iso * share for share in (0.005, 0.0052, 0.0051, 0.0048)]
        write_captures(folder / str(iso), Sensor(gains, [3.0] * 4), iso=iso, size=(128, 128), levels=7, darks=4)
    return calibrate(str(folder), "Acme <One> & $Two$")


@pytest.mark.parametrize(
    "value, text",
    [(0.2800626, "0.2801"), (0.28, "0.2800"), (3.0731, "3.073"), (14007.9, "14008"), (0.0, "0"), (-0.0123, "-0.01230")],
)
def test_figures_have_four_digits_and_no_exponent(value: float, text: str) -> None:
    assert figure(value) == text


def test_an_interval_in_words() -> None:
    assert interval(Estimate(0.28006, 0.2797, 0.2804)) == "0.2801 (0.2797 to 0.2804)"
    assert interval(None) == "not reached"


def test_the_two_lines_that_programs_look_for(mono: CalibratedCamera) -> None:
    plane = mono.calibration.isos[0].planes[0]
    lines = summary_lines(mono)
    assert f"system gain {plane.gain_dn_per_electron.value:.4f} DN/e-" in lines
    assert f"dark noise {plane.dark_sigma_dn.value:.3f} DN" in lines
    assert sum("system gain" in line and line.endswith("DN/e-") for line in lines) == 1


def test_planes_stand_under_their_mean(bayer: CalibratedCamera) -> None:
    lines = summary_lines(bayer)
    mean = np.mean([p.gain_dn_per_electron.value for p in bayer.calibration.isos[0].planes])
    first = next(line for line in lines if line.startswith("system gain"))
    assert first == f"system gain {mean:.4f} DN/e-"
    assert [line.split(":")[0] for line in lines if ": system gain" in line] == ["R", "Gr", "Gb", "B"] * 2
    assert sum(line.startswith("ISO ") for line in lines) == 2


def test_what_was_left_out_is_named_with_its_reason(mono: CalibratedCamera) -> None:
    told = [line for line in summary_lines(mono) if line.startswith("left out of the fit")]
    assert any("saturated: flat 0.13 s" in line for line in told)


def test_the_page(bayer: CalibratedCamera, tmp_path: Path) -> None:
    write_report(bayer, str(tmp_path))
    page = (tmp_path / "index.html").read_text()
    assert "Acme &lt;One&gt; &amp; $Two$" in page and "bootstrap intervals of 95 %" in page
    names = {path.stem for path in tmp_path.glob("*.png")}
    each = {f"{kind}-iso{iso}" for kind in ("photon-transfer", "dark-spectra") for iso in (100, 400)}
    assert names >= each | {"gain-over-iso", "read-noise-over-iso"}
    assert page.count("data:image/png;base64,") == len(names)
    for path in tmp_path.glob("*.png"):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert image.width > 600 and len(np.unique(np.asarray(image.convert("L")))) > 10
    content = json.loads((tmp_path / "calibration.json").read_text())
    assert [one["iso"] for one in content["isos"]] == [100, 400]
    assert content["isos"][0]["planes"][0]["gain_dn_per_electron"]["value"] == pytest.approx(0.5, rel=0.05)
    assert content["versions"]["rawsynth"] and content["failed"] == []


def test_notes_stand_at_the_head_of_the_page(mono: CalibratedCamera, tmp_path: Path) -> None:
    write_report(replace(mono, left_out=("left out: flat <7> is damaged",)), str(tmp_path))
    assert "Note: left out: flat &lt;7&gt; is damaged" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("name", ["camera.toml", "camera.json"])
def test_the_profile_is_a_camera_file(bayer: CalibratedCamera, tmp_path: Path, name: str) -> None:
    write_camera(bayer, str(tmp_path / name))
    assert load_camera(str(tmp_path / name)).noise == bayer.profile.noise


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.14])
def test_shares_are_those_of_simulated_differences(shape: float) -> None:
    """A share of 2e5 draws has a standard error of at most 0.0011; four of them."""
    rng = np.random.default_rng(1)

    def draw() -> np.ndarray:
        p = rng.uniform(1e-12, 1 - 1e-12, 200_000)
        return np.log(p / (1 - p)) if shape == 0 else (p**shape - (1 - p) ** shape) / shape

    difference = np.rint(1.5 * draw()) - np.rint(1.5 * draw())
    quantiles = np.array([-6.5, -2.5, -0.5, 0.5, 3.5]) / np.sqrt(2)
    wanted = [(difference / np.sqrt(2) < quantile).mean() for quantile in quantiles]
    assert _shares(quantiles, shape, 1.5) == pytest.approx(wanted, abs=0.0045)
