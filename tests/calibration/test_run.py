"""From files to a camera: known sensors are simulated, written as captures, and come back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawsynth.calibration.run import CalibratedCamera, calibrate
from rawsynth.cameras import camera_from_dict, camera_to_dict
from rawsynth.errors import SampleError, UsageError
from tests.calibration.simulated_captures import Sensor, write_captures, write_frame

EMVA = Path(__file__).parents[2] / ".." / "shared" / "data" / "emva1288_ccd12"
MONO = Sensor([0.8], [4.0], row_dn=0.6, black=100)
BAYER = Sensor([0.5, 0.52, 0.51, 0.48], [3.0, 3.1, 3.2, 2.9])


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> CalibratedCamera:
    folder = write_captures(
        tmp_path_factory.mktemp("mono"), MONO, iso=None, size=(256, 256), suffix=".npy", levels=9, seed=3
    )
    return calibrate(str(folder), bits=12)


@pytest.fixture(scope="module")
def bayer(tmp_path_factory: pytest.TempPathFactory) -> CalibratedCamera:
    folder = tmp_path_factory.mktemp("bayer")
    write_captures(folder / "iso100", BAYER, iso=100, size=(256, 256), seed=4)
    high = Sensor([4 * gain for gain in BAYER.gain], [1.9, 1.9, 1.9, 1.9])
    write_captures(folder / "iso400", high, iso=400, size=(256, 256), seed=5)
    return calibrate(str(folder), "Acme One", color_of="Sony ILCE-7SM2")


def test_a_monochrome_sensor(mono: CalibratedCamera) -> None:
    """About 7 levels of 65536 pixels leave a standard error of sqrt(2 / 65536 / 7), 0.2 %, in the gain."""
    one = mono.calibration.isos[0]
    plane = one.planes[0]
    assert (one.iso, one.cfa, plane.plane, one.white_level) == (None, None, "mono", 4095)
    assert plane.gain_dn_per_electron.value == pytest.approx(0.8, rel=0.01)
    assert plane.read_sigma_dn.value == pytest.approx(4.0, rel=0.01)
    assert plane.dark_sigma_dn.value**2 - plane.read_sigma_dn.value**2 == pytest.approx(1 / 12, rel=1e-6)
    assert plane.dark_offset_dn == pytest.approx(100, abs=0.3)
    assert one.dark is not None and one.dark.row_sigma_dn.value == pytest.approx(0.6, rel=0.1)
    assert any(point.excluded.startswith("saturated") for point in plane.points)


def test_the_profile_of_a_sensor_without_iso_is_nominal_and_says_so(mono: CalibratedCamera) -> None:
    noise = mono.profile.noise
    assert noise is not None and noise.nominal_iso and noise.isos == (100.0,)
    assert not mono.profile.nominal_levels and mono.profile.levels.white_level == 4095
    assert any("nothing states the ISO" in note for note in mono.notes)
    assert mono.profile.name.startswith("mono")


def test_a_bayer_sensor_at_two_isos(bayer: CalibratedCamera) -> None:
    """16384 pixels a plane: 0.4 % in the gain, 0.2 % in the read noise of 8 darks."""
    for one, factor, sigmas in zip(bayer.calibration.isos, (1, 4), (BAYER.read_dn, [1.9] * 4), strict=True):
        assert [plane.plane for plane in one.planes] == ["R", "Gr", "Gb", "B"]
        for plane, gain, sigma in zip(one.planes, BAYER.gain, sigmas, strict=True):
            assert plane.gain_dn_per_electron.value == pytest.approx(factor * gain, rel=0.02)
            assert plane.read_sigma_dn.value == pytest.approx(sigma, rel=0.02)


def test_the_profile_loads_and_knows_the_dual_gain(bayer: CalibratedCamera) -> None:
    profile = camera_from_dict(camera_to_dict(bayer.profile), "calibrated")
    assert profile.name == "Acme One" and profile.cfa == "RGGB" and set(profile.cam_from_xyz) == {"A", "D65"}
    assert profile.noise is not None and profile.noise.high_gain_isos == (400.0,)
    assert profile.sensor_noise(100).shot[0] == pytest.approx(0.5 / (4095 - 512), rel=0.03)
    assert any("colour of Sony ILCE-7SM2" in source for source in profile.sources)


def test_the_same_captures_give_the_same_figures(tmp_path: Path) -> None:
    folder = str(write_captures(tmp_path, MONO, size=(64, 64), suffix=".npy", levels=6, darks=4))
    first, second = (calibrate(folder, bits=12, seed=1).to_json() for _ in range(2))
    assert first == second
    assert first["camera"] == tmp_path.name and first["isos"][0]["iso"] == 100


def test_a_damaged_frame_costs_its_pair_and_is_named(tmp_path: Path) -> None:
    folder = write_captures(tmp_path, MONO, size=(96, 96), suffix=".npy", levels=7, darks=4)
    victim = sorted((folder / "flat").iterdir())[4]
    victim.write_bytes(victim.read_bytes()[:1000])
    found = calibrate(str(folder), bits=12)
    assert len(found.calibration.isos[0].planes[0].points) == 6
    assert any(victim.name in note and "cut short" in note for note in found.left_out)
    assert any("a pair is needed" in note for note in found.left_out)


def test_an_iso_that_cannot_be_calibrated_costs_itself(tmp_path: Path) -> None:
    write_captures(tmp_path / "good", MONO, iso=100, size=(96, 96), suffix=".npy", levels=7, darks=4)
    write_captures(tmp_path / "few", MONO, iso=200, size=(96, 96), suffix=".npy", levels=1, darks=2)
    found = calibrate(str(tmp_path), bits=12)
    assert [one.iso for one in found.calibration.isos] == [100]
    assert len(found.failed) == 1 and "ISO 200" in found.failed[0] and "light levels" in found.failed[0]


def identical(folder: Path) -> None:
    write_captures(folder, MONO, size=(96, 96), suffix=".npy", levels=6, darks=2)
    for path in sorted((folder / "flat").iterdir())[1::2]:
        path.write_bytes((path.parent / path.name.replace("_b.", "_a.")).read_bytes())


def swapped(folder: Path) -> None:
    write_captures(folder, MONO, size=(96, 96), suffix=".npy", levels=6, darks=2)
    for path in (folder / "flat").iterdir():
        write_frame(path, np.random.default_rng(ord(path.stem[-1])).integers(5, 20, (96, 96)).astype(np.uint16))


def saturated(folder: Path) -> None:
    write_captures(folder, Sensor([0.8], [4.0], black=4000), size=(96, 96), suffix=".npy", levels=2, darks=2)
    for path in (folder / "flat").iterdir():
        write_frame(path, np.full((96, 96), 4095, np.uint16))


BAD: dict[str, tuple[Any, str]] = {
    "identical frames": (identical, "identical"),
    "darks brighter than flats": (swapped, "(?i)dark"),
    "saturated flats": (saturated, "saturated"),
}


@pytest.mark.parametrize("make, words", BAD.values(), ids=BAD)
def test_captures_that_show_no_noise_say_what_to_take_instead(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path)
    with pytest.raises((SampleError, UsageError), match=words) as caught:
        calibrate(str(tmp_path), bits=12)
    assert "apture" in str(caught.value) or "give" in str(caught.value)


def test_a_burst_of_a_static_scene(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    scene = np.kron(rng.uniform(20, 4000, (12, 12)), np.ones((16, 16)))
    for k in range(12):
        dn = rng.poisson(scene) * 0.8 + 4.0 * rng.standard_normal(scene.shape) + 100
        write_frame(tmp_path / f"frame{k:02d}.npy", np.rint(dn).clip(0, 4095).astype(np.uint16))
    found = calibrate(str(tmp_path), burst=True, bits=12, black_level=100, iso=100)
    assert found.calibration.isos[0].fit == "burst"
    assert found.calibration.isos[0].planes[0].gain_dn_per_electron.value == pytest.approx(0.8, rel=0.03)


@pytest.mark.skipif(not EMVA.exists(), reason="needs ../shared/data/emva1288_ccd12")
def test_the_standards_reference_set() -> None:
    """Figures of the standard's reference implementation, emva1288 1.0.2, stated with the set."""
    found = calibrate(str(EMVA / "EMVA1288_Data.txt"), fit="emva1288")
    plane = found.calibration.isos[0].planes[0]
    assert plane.gain_dn_per_electron.value == pytest.approx(0.2800626484911438, rel=0.005)
    assert plane.dark_sigma_dn.value == pytest.approx(3.0731043140450693, rel=0.01)
    assert plane.read_sigma_electrons == pytest.approx(10.924397786720915, rel=0.01)
    assert plane.full_well_electrons is not None
    assert plane.full_well_electrons.value == pytest.approx(14007.884917549689, rel=0.01)


@pytest.mark.parametrize(
    "options, words",
    [({"fit": "cubic"}, "unknown fit"), ({"color_of": "no camera"}, "unknown camera"), ({"cfa": "RGBW"}, "CFA")],
)
def test_wrong_options_are_told_before_a_frame_is_read(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        calibrate("nowhere/", **options)


def test_progress_reaches_every_frame_twice(tmp_path: Path) -> None:
    folder = write_captures(tmp_path, MONO, size=(64, 64), suffix=".npy", levels=6, darks=4)
    told: list[tuple[str, int, int]] = []
    calibrate(str(folder), bits=12, progress=lambda *row: told.append(row))
    assert {(row[0], row[2]) for row in told} == {("looking at frames", 16), ("measuring", 16)}
    assert max(row[1] for row in told if row[0] == "measuring") == 16
