"""Cameras from DNG tags: files made by hand with tifffile, and a real one."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from rawsynth.cameras.importers import import_dng
from rawsynth.errors import InputAccessError, SampleError, UsageError

GOPRO = Path(__file__).parents[3] / "shared" / "data" / "raw" / "gopro_hero6.dng"
MATRIX = [[1.0, -0.25, -0.125], [-0.5, 1.5, 0.25], [-0.125, 0.25, 0.75]]
NOISE = (1e-3, 1e-6, 2e-3, 4e-6, 3e-3, 9e-6)


def rationals(values: Any) -> tuple[int, ...]:
    return tuple(number for value in np.ravel(values) for number in (round(float(value) * 1000), 1000))


def write(
    path: Path, *, cfa: str = "RGGB", drop: tuple[int, ...] = (), photometric: int = 32803, **changed: Any
) -> str:
    """A DNG of 12 bits, black 100 and white 4095, at ISO 400 with NOISE; ``t50778=(...)`` replaces a tag."""
    tags: dict[int, tuple[str, int, Any]] = {
        33421: ("H", 2, (2, 2)),
        33422: ("B", 4, bytes("RGB".index(c) if c in "RGB" else 5 for c in cfa)),
        50706: ("B", 4, bytes([1, 4, 0, 0])),
        50708: ("s", 0, "Acme One"),
        50713: ("H", 2, (2, 2)),
        50714: ("H", 4, (100,) * 4),
        50717: ("H", 1, 4095),
        50721: ("2i", 9, rationals(MATRIX)),
        50722: ("2i", 9, rationals(np.eye(3))),
        50778: ("H", 1, 21),
        50779: ("H", 1, 17),
        34855: ("H", 1, 400),
        51041: ("d", 6, NOISE),
    }
    tags |= {int(name[1:]): value for name, value in changed.items()}
    extra = [(code, *field, True) for code, field in sorted(tags.items()) if code not in drop]
    data = np.zeros((16, 16, 3) if photometric == 34892 else (16, 16), np.uint16)
    tifffile.imwrite(path, data, photometric=photometric, extratags=extra, metadata=None)
    return str(path)


def test_tags_become_a_camera(tmp_path: Path) -> None:
    camera = import_dng([write(tmp_path / "a.dng", cfa="GBRG")])
    assert (camera.name, camera.cfa, camera.nominal_levels) == ("Acme One", "GBRG", False)
    assert camera.levels.to_json() == {"black_level": 100, "white_level": 4095, "bits": 12}
    assert camera.cam_from_xyz["D65"].tolist() == MATRIX and camera.cam_from_xyz["A"].tolist() == np.eye(3).tolist()
    noise = camera.sensor_noise(400)
    assert noise.shot == pytest.approx((2e-3, 3e-3, 1e-3, 2e-3))
    assert noise.read == pytest.approx((4e-6, 9e-6, 1e-6, 4e-6))
    assert camera.noise_profile().points[0].gain_dn_per_electron[2] == pytest.approx(1e-3 * 3995)


def test_files_of_several_isos_are_one_profile(tmp_path: Path) -> None:
    names = [
        write(tmp_path / f"{iso}.dng", t34855=("H", 1, iso), t51041=("d", 2, (iso * 1e-6, 1e-7))) for iso in (800, 100)
    ]
    camera = import_dng([*names, names[0]], "My Camera")
    assert camera.name == "My Camera" and camera.noise_profile().isos == (100, 800)
    assert camera.sensor_noise(800).shot == pytest.approx((8e-4,) * 4)


def test_matrices_hold_the_body_s_own_calibration(tmp_path: Path) -> None:
    balance, own = (2.0, 1.0, 0.5), [[1.5, 0, 0], [0, 1, 0], [0, 0.25, 1]]
    extra = {"t50727": ("2I", 3, rationals(balance)), "t50723": ("2i", 9, rationals(own))}
    camera = import_dng([write(tmp_path / "a.dng", **extra)])
    assert np.allclose(camera.cam_from_xyz["D65"], np.diag(balance) @ own @ np.array(MATRIX))
    assert camera.cam_from_xyz["A"].tolist() == np.diag(balance).tolist()


def test_other_illuminants_are_left_out_and_said(tmp_path: Path) -> None:
    camera = import_dng([write(tmp_path / "a.dng", t50778=("H", 1, 2), t50779=("H", 1, 3))])
    assert set(camera.cam_from_xyz) == {"A"}
    assert "colour: a matrix under fluorescent was left out" in camera.sources


def test_what_is_absent_is_absent(tmp_path: Path) -> None:
    camera = import_dng([write(tmp_path / "a.dng", drop=(51041, 50721, 50722, 50714, 50717, 50708))])
    assert camera.noise is None and not camera.cam_from_xyz and camera.name == "unnamed"
    assert camera.levels.to_json() == {"black_level": 0, "white_level": 65535, "bits": 16}


def test_differing_black_levels_are_averaged_and_said(tmp_path: Path) -> None:
    camera = import_dng([write(tmp_path / "a.dng", t50714=("H", 4, (100, 101, 103, 104)))])
    assert camera.levels.black_level == 102 and any("differs by site" in source for source in camera.sources)


def test_no_read_noise_is_floored_at_rounding(tmp_path: Path) -> None:
    point = import_dng([write(tmp_path / "a.dng", t51041=("d", 2, (1e-4, 0.0)))]).noise_profile().points[0]
    assert point.flags == ("read_floored",) and point.read_sigma_dn == pytest.approx((12**-0.5,) * 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photometric": 34892}, "demosaiced already"),
        ({"photometric": 1}, "no image of a colour filter array"),
        ({"cfa": "RGGX"}, r"CFAPattern RGG\?"),
        ({"drop": (33422,)}, "CFAPattern is missing"),
        ({"drop": (34855,)}, "a NoiseProfile but no ISO"),
        ({"t51041": ("d", 4, (1e-4, 1e-6, 1e-4, 1e-6))}, "2 or 6 numbers"),
        ({"t51041": ("d", 2, (-1e-4, 1e-6))}, "S > 0"),
        ({"t50717": ("H", 1, 90)}, "levels"),
        ({"t50721": ("2i", 4, rationals(np.eye(2)))}, "damaged"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    url = write(tmp_path / "bad.dng", **changes)
    with pytest.raises(SampleError, match=message) as caught:
        import_dng([url])
    assert "bad.dng" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no tiff", struct.pack("<2sHI", b"II", 42, 9999)])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.dng").write_bytes(content)
    with pytest.raises(SampleError, match="bad.dng"):
        import_dng([str(tmp_path / "bad.dng")])


def test_files_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    first, other = write(tmp_path / "a.dng"), write(tmp_path / "b.dng", cfa="BGGR")
    with pytest.raises(UsageError, match="b.dng has cfa BGGR"):
        import_dng([first, other])
    with pytest.raises(UsageError, match="c.dng: another file has ISO 400"):
        import_dng([first, write(tmp_path / "c.dng", t51041=("d", 2, (1e-4, 1e-6)))])
    with pytest.raises(UsageError, match="one file or more"):
        import_dng([])
    with pytest.raises(InputAccessError):
        import_dng([str(tmp_path / "none.dng")])


@pytest.mark.skipif(not GOPRO.exists(), reason="needs ../shared/data, which is not part of the repository")
def test_a_real_dng() -> None:
    camera = import_dng([str(GOPRO)])
    with tifffile.TiffFile(io.BytesIO(GOPRO.read_bytes())) as tiff:
        shot, read = tiff.pages[0].tags[51041].value
    assert (camera.name, camera.cfa, camera.levels.white_level) == ("GoPro HERO6 Black", "RGGB", 16383)
    assert camera.sensor_noise(100).shot == pytest.approx((shot,) * 4)
    assert camera.sensor_noise(100).read == pytest.approx((read,) * 4)
    assert set(camera.cam_from_xyz) == {"A", "D50"}  # tungsten counts as A
    assert camera.color(4000)[1][0] > 0
