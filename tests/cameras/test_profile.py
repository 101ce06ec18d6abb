"""Camera profiles: colour against hand-computed numbers, noise by ISO against the table and its slopes."""

import math
from pathlib import Path

import numpy as np
import pytest

from rawsynth.cameras import builtin_cameras, load_camera
from rawsynth.errors import UnknownNameError, UsageError

SONY = "Sony ILCE-7SM2"
ALL = pytest.mark.parametrize("name", sorted(builtin_cameras()))
D65_XYZ = (0.95047, 1.0, 1.08883)

# By hand from a matrix of round numbers: what linear sRGB white gives in XYZ is (0.9504700, 1.0000001, 1.0888300).
TOML = """
name = "Hand Made"
cfa = "GBRG"
[levels]
black_level = 64
white_level = 1064
bits = 12
[cam_from_xyz]
D65 = [[1, 0, 0], [0, 2, 0], [0, 0, 0.5]]
[noise]
table = [[400, 4.0, 6.0], [100, 1.0, 2.0], [200, 2.0, 4.0], [800, 8.0, 1.0], [1600, 16.0, 3.0]]
high_gain_iso = 800
"""


@pytest.fixture
def hand_made(tmp_path: Path) -> str:
    path = tmp_path / "hand.toml"
    path.write_text(TOML)
    return str(path)


def test_a_file_is_read_field_by_field(hand_made: str) -> None:
    camera = load_camera(hand_made)
    assert (camera.name, camera.cfa, camera.high_gain_iso) == ("Hand Made", "GBRG", 800)
    assert (camera.levels.black_level, camera.levels.white_level, camera.levels.bits) == (64, 1064, 12)
    assert not camera.nominal_levels
    assert [point.iso for point in camera.noise] == [100, 200, 400, 800, 1600]


def test_daylight_colour_by_hand(hand_made: str) -> None:
    matrix, gains = load_camera(hand_made).daylight_color()
    expected = [
        [0.4124564 / 0.9504700, 0.3575761 / 0.9504700, 0.1804375 / 0.9504700],
        [0.2126729 / 1.0000001, 0.7151522 / 1.0000001, 0.0721750 / 1.0000001],
        [0.0193339 / 1.0888300, 0.1191920 / 1.0888300, 0.9503041 / 1.0888300],
    ]
    assert np.abs(matrix - expected).max() < 1e-12
    assert gains == pytest.approx((2.0000002 / 0.95047, 2.0000002 / 0.544415), rel=1e-12)


def test_daylight_colour_of_a_real_camera() -> None:
    """Sony A7S2, worked out in rational numbers outside the package from Adobe's D65 matrix."""
    matrix, gains = load_camera(SONY).daylight_color()
    expected = [
        [0.54506536, 0.26890228, 0.18603237],
        [0.09788552, 0.67870964, 0.22340484],
        [0.02733742, 0.23700111, 0.73566147],
    ]
    assert np.abs(matrix - expected).max() < 1e-8
    assert gains == pytest.approx((2.766625157530176, 1.4271681144017836), rel=1e-12)


@ALL
def test_gains_make_daylight_neutral(name: str) -> None:
    camera = load_camera(name)
    red, blue = camera.daylight_color()[1]
    response = camera.cam_from_xyz["D65"] @ np.array(D65_XYZ)
    assert response * [red, 1.0, blue] == pytest.approx([response[1]] * 3, rel=1e-5)
    assert 1.0 < red < 3.5
    assert 1.0 < blue < 3.5


@ALL
def test_white_stays_white(name: str) -> None:
    matrix, _ = load_camera(name).daylight_color()
    assert matrix.dtype == np.float64
    assert np.abs(matrix.sum(axis=1) - 1.0).max() < 1e-12
    assert (np.diag(matrix) > 0.4).all()


@ALL
def test_every_camera_has_what_the_package_needs(name: str) -> None:
    camera = load_camera(name)
    assert camera.name == name
    assert camera.sources
    assert {"D65"} <= set(camera.cam_from_xyz)
    assert [p.iso for p in camera.noise] == sorted({p.iso for p in camera.noise})
    for point in camera.noise:
        shot, read = camera.shot_read(point.iso)
        assert 1e-6 < shot < 0.1
        assert 1e-10 < read < 0.01


@pytest.mark.parametrize(
    ("iso", "gain", "sigma"),
    [
        (100, 0.09563, 1.0067),
        (800, 0.76504, 3.5476),
        (1600, 1.53008, 6.2993),
        (2000, 1.9126, 2.6539),
        (3200, 3.06016, 3.9194),
        (12800, 12.2406, 14.2459),
        (25600, 24.4813, 25.853),
    ],
)
def test_the_table_s_points_are_met(iso: float, gain: float, sigma: float) -> None:
    """PMN's per-ISO table of the Sony A7S2 (facts/peers.md, C1), in DN over 16383 - 512."""
    assert load_camera(SONY).shot_read(iso) == pytest.approx((gain / 15871, (sigma / 15871) ** 2), rel=1e-9)


@pytest.mark.parametrize(
    ("iso", "gain", "sigma"),
    [
        (100 * math.sqrt(2), math.sqrt(2), 2 * math.sqrt(2)),
        (300, 3.0, 4.0 * 1.5 ** math.log2(6 / 4)),
        (400 * math.sqrt(2), 4 * math.sqrt(2), 6 * 1.5**0.5),  # beyond the last low-gain point: its slope goes on
        (799.999, 8.0, 9.0),
        (800, 8.0, 1.0),
        (800 * math.sqrt(2), 8 * math.sqrt(2), math.sqrt(3)),
    ],
)
def test_log_log_between_and_nothing_across_the_gain_switch(
    hand_made: str, iso: float, gain: float, sigma: float
) -> None:
    shot, read = load_camera(hand_made).shot_read(iso)
    assert (shot, read) == pytest.approx((gain / 1000, (sigma / 1000) ** 2), rel=1e-4)


def test_iso_1700_of_a_dual_gain_camera_continues_the_low_gain_slope() -> None:
    camera = load_camera(SONY)
    slope = math.log(6.2993 / 3.5476) / math.log(1600 / 800)
    sigma = 6.2993 * (1700 / 1600) ** slope
    shot, read = camera.shot_read(1700)
    assert math.sqrt(read) * 15871 == pytest.approx(sigma, rel=1e-9)
    assert shot * 15871 == pytest.approx(1.53008 * 1700 / 1600, rel=1e-4)
    assert read > camera.shot_read(1600)[1] > camera.shot_read(2000)[1]


@pytest.mark.parametrize("iso", [99.9, 25601, 0, -100, float("nan"), float("inf")])
def test_isos_outside_the_table_are_refused(iso: float) -> None:
    with pytest.raises(UsageError, match="outside 'Sony ILCE-7SM2''s table, 100 to 25600"):
        load_camera(SONY).shot_read(iso)


def test_a_camera_without_noise_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="'Nikon D850' has no noise by ISO; give shot and read"):
        load_camera("Nikon D850").shot_read(100)


def test_unknown_cameras_are_answered_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'Nikon D850'") as caught:
        load_camera("Nikon D85")
    assert all(name in str(caught.value) for name in builtin_cameras())


def fails(old: str, new: str, message: str) -> object:
    return pytest.param(old, new, message, id=new.replace("\n", " ")[:30] or f"without {old[:20]}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        fails('name = "Hand Made"', "", "'name'"),
        fails('cfa = "GBRG"', "", "'cfa'"),
        fails("[levels]", "[level]", "'levels'"),
        fails("bits = 12", "", "'bits'"),
        fails("[cam_from_xyz]", "[cam]", "'cam_from_xyz'"),
        fails('"GBRG"', '"RGBG"', "unknown CFA layout 'RGBG'"),
        fails("white_level = 1064", "white_level = 64", "black < white"),
        fails("D65 = ", "A = ", "one named D65"),
        fails("[0, 0, 0.5]]", "[0, 0]]", "camera file"),
        fails(", [0, 0, 0.5]]", "]", "3x3"),
        fails("[100, 1.0, 2.0]", "[100, 1.0]", "camera file"),
        fails("[100, 1.0, 2.0]", '[100, 1.0, "x"]', "camera file"),
        fails("name =", "name", "hand.toml"),
        fails("[100, 1.0, 2.0]", "[100, 1.0, 0.0]", "camera file"),
        fails("[100, 1.0, 2.0]", "[200, 1.0, 2.0]", "camera file"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "hand.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load_camera(str(path))


@pytest.mark.parametrize(
    ("section", "line"), [("[noise]", "noise = [[100, 1.0, 2.0]]"), ("[cam_from_xyz]", "cam_from_xyz = [[1, 0, 0]]")]
)
def test_a_section_that_is_none_is_refused_by_name(tmp_path: Path, section: str, line: str) -> None:
    path = tmp_path / "hand.toml"
    path.write_text(f"{line}\n{TOML.partition(section)[0]}")
    with pytest.raises(UsageError, match="hand.toml"):
        load_camera(str(path))


def test_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    for path in (tmp_path / "missing.toml", tmp_path / "latin.toml"):
        with pytest.raises(UsageError, match=path.name):
            load_camera(str(path))
