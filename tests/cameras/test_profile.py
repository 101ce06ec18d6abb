"""Camera files: what is read, what is refused and how, and that what is written reads back."""

import json
import math
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.cameras import (
    CameraProfile,
    NoisePoint,
    NoiseProfile,
    builtin_cameras,
    camera_from_dict,
    camera_to_dict,
    format_camera,
    load_camera,
)
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.raw.levels import Levels

TOML = """
name = "Hand Made"
cfa = "GBRG"
sources = ["by hand"]
[levels]
black_level = 64
white_level = 1064
bits = 12
[cam_from_xyz]
D65 = [[1, 0, 0], [0, 2, 0], [0, 0, 0.5]]
[noise]
iso = [400, 100, 200, 800, 1600]
gain_dn_per_electron = [4.0, 1.0, [2.0, 2.5, 3.0, 3.5], 8.0, 16.0]
read_sigma_dn = [6.0, 2.0, 4.0, 1.0, 3.0]
tukey_scale_dn = [3.0, 1.0, 2.0, 0.5, 1.5]
row_sigma_dn = [0.4, 0.1, 0.2, 0.8, 1.6]
column_sigma_dn = [0, 0, 0, 0, 0.5]
color_bias_dn = [0, 0, 0, 0, [-1, 2, 0, 0.5]]
flags = [[], [], ["odd"], [], []]
high_gain_isos = [800]
tukey_lambdas = [0.1, 0, -0.1]
nominal_iso = true
[noise.log_spread]
row_sigma_dn = 0.25
"""


@pytest.fixture
def hand_made(tmp_path: Path) -> str:
    path = tmp_path / "hand.toml"
    path.write_text(TOML)
    return str(path)


def test_a_file_is_read_field_by_field(hand_made: str) -> None:
    camera = load_camera(hand_made)
    assert (camera.name, camera.cfa, camera.sources) == ("Hand Made", "GBRG", ("by hand",))
    assert camera.levels == Levels(64, 1064, 12) and not camera.nominal_levels
    assert camera.cam_from_xyz["D65"].tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 0.5]]
    noise = camera.noise_profile()
    assert noise.isos == (100, 200, 400, 800, 1600) and noise.high_gain_isos == (800,)
    assert noise.tukey_lambdas == (0.1, 0.0, -0.1) and noise.nominal_iso
    assert noise.log_spread == {"row_sigma_dn": 0.25}
    assert noise.points[1] == NoisePoint(
        200, (2.0, 2.5, 3.0, 3.5), (4.0,) * 4, tukey_scale_dn=(2.0,) * 4, row_sigma_dn=0.2, flags=("odd",)
    )
    assert noise.points[4].color_bias_dn == (-1, 2, 0, 0.5) and noise.points[4].column_sigma_dn == 0.5


def test_toml_json_and_urls_are_one(hand_made: str, tmp_path: Path) -> None:
    camera = load_camera(hand_made)
    (tmp_path / "hand.json").write_text(json.dumps(camera_to_dict(camera)))
    with fsspec.open("memory://cameras/hand.toml", "w") as file:
        file.write(format_camera(camera))
    for again in (load_camera(str(tmp_path / "hand.json")), load_camera("memory://cameras/hand.toml")):
        assert camera_to_dict(again) == camera_to_dict(camera)


@pytest.mark.parametrize("name", ["Brooks generic", "Nikon D850", "Sony ILCE-7SM2", "Apple iPhone 7", "Canon EOS R5"])
def test_built_in_cameras_come_back_from_their_files_exactly(tmp_path: Path, name: str) -> None:
    camera = load_camera(name)
    (tmp_path / "x.toml").write_text(format_camera(camera, comment='two\nlines "quoted"'))
    assert camera_to_dict(load_camera(str(tmp_path / "x.toml"))) == camera_to_dict(camera)


positive = st.floats(1e-6, 1e6)
planes = st.tuples(positive, positive, positive, positive)


@given(text=st.text(max_size=20), gains=st.lists(planes, min_size=1, max_size=4), sigma=planes, bias=st.floats(-9, 9))
def test_anything_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, gains: list[Any], sigma: Any, bias: float
) -> None:
    points = [NoisePoint(100.0 * (k + 1), gain, sigma, color_bias_dn=(bias,) * 4) for k, gain in enumerate(gains)]
    camera = CameraProfile(text, "RGGB", Levels(1, 255, 8), noise=NoiseProfile(tuple(points)), sources=(text,))
    path = tmp_path_factory.mktemp("camera") / "x.toml"
    path.write_bytes(format_camera(camera).encode("utf-8", "surrogatepass"))
    assert load_camera(str(path)) == camera


def test_noise_reaches_the_unit_scale(hand_made: str) -> None:
    noise = load_camera(hand_made).sensor_noise(200)
    assert noise.cfa == "GBRG" and noise.shot == pytest.approx((2e-3, 2.5e-3, 3e-3, 3.5e-3))
    assert noise.read == pytest.approx((16e-6,) * 4) and noise.row_sigma == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("iso", "gain", "sigma"),
    [
        (100 * math.sqrt(2), math.sqrt(2), 2 * math.sqrt(2)),
        (400 * math.sqrt(2), 4 * math.sqrt(2), 6 * 1.5**0.5),  # beyond the last low-gain point: its slope goes on
        (800, 8.0, 1.0),
        (800 * math.sqrt(2), 8 * math.sqrt(2), math.sqrt(3)),
    ],
)
def test_log_log_between_and_nothing_across_the_gain_switch(
    hand_made: str, iso: float, gain: float, sigma: float
) -> None:
    noise = load_camera(hand_made).sensor_noise(iso)
    assert (noise.shot[0], noise.read[0]) == pytest.approx((gain / 1000, (sigma / 1000) ** 2), rel=1e-6)


def test_a_camera_without_colour_or_noise_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="'Google Pixel' has no colour matrix; choose one that has"):
        load_camera("Google Pixel").color(5000)
    with pytest.raises(UsageError, match="'Nikon Z 6' has no noise by ISO; choose one that has .* calibrate it"):
        load_camera("Nikon Z 6").sensor_noise(100)
    with pytest.raises(UsageError, match="ISO 12800 is outside"):
        load_camera("Nikon D850").sensor_noise(12800)


def test_unknown_cameras_are_answered_with_what_is_near() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'Nikon D85") as caught:
        load_camera("Nikon D8500")
    assert f"all {len(builtin_cameras())}" in str(caught.value)


def fails(old: str, new: str, message: str) -> object:
    return pytest.param(old, new, message, id=new.replace("\n", " ")[:30] or f"without {old[:20]}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        fails('name = "Hand Made"', "", "'name'"),
        fails('cfa = "GBRG"', "", "'cfa'"),
        fails("[levels]", "[level]", "unknown field level"),
        fails("bits = 12", "", "'bits'"),
        fails("bits = 12", "bits = 12\nbit = 12", "unknown field levels.bit"),
        fails("[cam_from_xyz]", "[cam]", "unknown field cam"),
        fails('"GBRG"', '"RGBG"', "unknown CFA layout 'RGBG'"),
        fails("white_level = 1064", "white_level = 64", "black < white"),
        fails("D65 = ", "D6 = ", "unknown field cam_from_xyz.D6"),
        fails("[0, 0, 0.5]]", "[0, 0]]", "camera file"),
        fails(", [0, 0, 0.5]]", "]", "3x3"),
        fails("0, 0.5]]", "0, 0]]", "can be inverted"),
        fails("iso = [400, ", "iso = [", "noise.color_bias_dn is a list of 4 entries"),
        fails("read_sigma_dn = [6.0", 'read_sigma_dn = ["x"', "camera file"),
        fails("read_sigma_dn = [6.0", "read_sigma_dn = [0", "read_sigma_dn is positive in all four planes"),
        fails("[2.0, 2.5, 3.0, 3.5]", "[2.0, 2.5, 3.0]", "four in the CFA"),
        fails("iso = [400, 100", "iso = [400, 400", "an ISO stands twice"),
        fails("read_sigma_dn = [6.0, 2.0, 4.0, 1.0, 3.0]", "", "noise.read_sigma_dn is missing"),
        fails("tukey_lambdas = [0.1, 0, -0.1]", "", "tukey_scale_dn at every ISO, and tukey_lambda"),
        fails("tukey_lambdas = [0.1, 0, -0.1]", "tukey_lambdas = [-0.5]", "above -0.5"),
        fails("high_gain_isos", "high_gain_iso", "unknown field noise.high_gain_iso"),
        fails("row_sigma_dn = 0.25", "rows = 0.25", "log_spread"),
        fails("name =", "name", "hand.toml"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "hand.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1))
    with pytest.raises(UsageError, match=message) as caught:
        load_camera(str(path))
    assert "hand.toml" in str(caught.value)


@pytest.mark.parametrize("content", [[], "camera", None, {"name": "x", "cfa": "RGGB", "levels": [], "noise": 3}])
def test_content_that_is_no_camera_is_refused(content: Any) -> None:
    with pytest.raises(UsageError, match="camera file here"):
        camera_from_dict(content, "here")


def test_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    (tmp_path / "cut.json").write_bytes(b'{"name":')
    for name in ("latin.toml", "cut.json"):
        with pytest.raises(UsageError, match=name):
            load_camera(str(tmp_path / name))
    with pytest.raises(UsageError, match="missing.toml"):
        load_camera(str(tmp_path / "missing.toml"))


def test_colour_of_a_real_camera_under_daylight() -> None:
    """Sony A7S2, worked out in rational numbers outside the package from Adobe's D65 matrix, without adaptation."""
    matrix, gains = load_camera("Sony ILCE-7SM2").color(6504)
    expected = [
        [0.54506536, 0.26890228, 0.18603237],
        [0.09788552, 0.67870964, 0.22340484],
        [0.02733742, 0.23700111, 0.73566147],
    ]
    # D65 as daylight of 6504 K and as sRGB's white differ in the fourth digit.
    assert np.abs(matrix - expected).max() < 2e-3
    assert gains == pytest.approx((2.766625157530176, 1.4271681144017836), rel=2e-3)


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text()
    (tmp_path / "example.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    camera = load_camera(str(tmp_path / "example.toml"))
    assert set(camera.cam_from_xyz) == {"A", "D65"} and camera.noise_profile().high_gain_isos == (800,)
    fields = {**camera_to_dict(camera), **camera_to_dict(camera)["noise"]}
    assert {"column_sigma_dn", "color_bias_dn", "tukey_lambdas", "log_spread"} <= set(fields)
    assert camera.sensor_noise(3200).shot[1] == pytest.approx(13.2 / 15008)
