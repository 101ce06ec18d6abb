"""darktable's table as noise of the RAW: what its measure does is done again here, with LibRaw's demosaicing."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawsynth.cameras import NoisePoint, builtin_cameras, load_camera
from rawsynth.cameras.importers import import_darktable
from rawsynth.cameras.importers.darktable import GREEN_VARIANCE_RATIO, gain_switches
from rawsynth.errors import InputAccessError, UnknownNameError, UsageError
from tests import dng

TABLE = Path(__file__).parents[3] / "shared" / "data" / "noise_profiles" / "darktable_noiseprofiles.json"
needs_table = pytest.mark.skipif(not TABLE.exists(), reason="needs ../shared/data, which is not part of the repository")


def setting(iso: float, a: float, b: float) -> dict[str, Any]:
    return {"name": f"x iso {iso}", "iso": iso, "a": [2.3 * a, a, 1.7 * a], "b": [b, b, b]}


def write(folder: Path, settings: list[dict[str, Any]], *, maker: str = "Acme", model: str = "One") -> str:
    path = folder / "noiseprofiles.json"
    models = [{"model": model, "comment": "by hand", "profiles": settings}]
    path.write_text(json.dumps({"version": 0, "noiseprofiles": [{"maker": maker, "models": models}]}))
    return str(path)


def test_a_and_b_become_gain_and_read_noise_by_hand(tmp_path: Path) -> None:
    camera = import_darktable(write(tmp_path, [setting(100, 4e-6, 1e-8), setting(200, 8e-6, 3e-8)]), "acme one")
    assert (camera.name, camera.nominal_levels, camera.levels.range_dn) == ("Acme One", True, 15871)
    assert camera.noise is not None and camera.noise.isos == (100, 200)
    noise = camera.sensor_noise(100)
    assert noise.shot == pytest.approx((4e-6 / 0.08,) * 4)
    assert noise.read == pytest.approx(((1e-8 - 4e-6 / 600) / 0.08,) * 4)
    assert any("set those of your camera" in source for source in camera.sources)


def test_as_printed_a_and_b_are_shot_and_read_of_each_colour(tmp_path: Path) -> None:
    url = write(tmp_path, [setting(100, 4e-6, 1e-8), setting(200, 8e-6, -1e-8)])
    camera = import_darktable(url, "Acme One", as_printed=True)
    noise, floored = camera.sensor_noise(100), camera.noise_profile().points[1]
    assert noise.shot == pytest.approx((2.3 * 4e-6, 4e-6, 4e-6, 1.7 * 4e-6))
    assert noise.read == pytest.approx((1e-8,) * 4)
    assert floored.flags == ("read_floored",) and floored.read_sigma_dn == pytest.approx((12**-0.5,) * 4)
    assert "as printed" in camera.sources[0]


def test_what_is_left_below_rounding_is_floored_and_flagged(tmp_path: Path) -> None:
    url = write(tmp_path, [setting(100, 4e-6, -1e-8), setting(200, 8e-6, 1.3e-8), setting(400, 16e-6, 1e-7)])
    points = import_darktable(url, "Acme One").noise_profile().points
    assert [point.flags for point in points] == [("read_floored",), ("read_floored",), ()]
    assert points[0].read_sigma_dn == points[1].read_sigma_dn == pytest.approx((12**-0.5,) * 4)


def test_a_gain_off_the_trend_is_flagged(tmp_path: Path) -> None:
    settings = [setting(iso, 4e-8 * iso * (2 if iso == 100 else 1), 1e-6) for iso in (100, 200, 400, 800)]
    points = import_darktable(write(tmp_path, settings), "Acme One").noise_profile().points
    assert [point.flags for point in points] == [("gain_off_trend",), (), (), ()]


def test_of_several_measurements_the_middle_one_by_a_is_taken(tmp_path: Path) -> None:
    settings = [setting(100, a, 1e-7) for a in (9e-6, 4e-6, 1e-6)]
    point = import_darktable(write(tmp_path, settings), "Acme One").noise_profile().points[0]
    assert point.gain_dn_per_electron[0] == pytest.approx(4e-6 / 0.08 * 15871)


def points_of(isos: list[float], sigmas: list[float]) -> list[NoisePoint]:
    return [NoisePoint(iso, (iso / 1000,) * 4, (sigma,) * 4) for iso, sigma in zip(isos, sigmas, strict=True)]


@pytest.mark.parametrize(
    ("isos", "sigmas", "switches"),
    [
        ([100, 125, 160, 200, 250, 320, 400], [1, 1.2, 1.5, 1.9, 0.6, 0.8, 1.0], (250,)),
        ([100, 125, 160, 200, 250, 320, 400], [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], ()),
        ([100, 200, 400, 800], [4, 4, 4, 4.1], ()),  # noise behind the amplifier: falls in electrons, not in DN
        ([100, 125, 160, 200, 250, 320, 400], [2, 2.5, 1.0, 2.0, 2.5, 1.1, 2.1], ()),  # ISOs made by scaling
        ([100, 125, 160, 200, 250, 320, 400], [2, 2.2, 2.4, 2.6, 2.8, 1.0, 3.4], ()),  # one bad measurement
    ],
)
def test_gain_switches(isos: list[float], sigmas: list[float], switches: tuple[float, ...]) -> None:
    assert gain_switches(points_of(isos, sigmas)) == switches


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no noiseprofiles.json"),
        ('{"noiseprofiles": [{}]}', "no noiseprofiles.json"),
        ("[]", "no noiseprofiles.json"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        import_darktable(str(tmp_path / "x.json"), "Acme One")
    with pytest.raises(InputAccessError):
        import_darktable(str(tmp_path / "none.json"), "Acme One")


def test_wrong_settings_and_cameras_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no camera 'Acme On'; near: Acme One"):
        import_darktable(write(tmp_path, [setting(100, 4e-6, 1e-8)]), "Acme On")
    with pytest.raises(UsageError, match="Acme One: a of green is -4e-06 at ISO 100"):
        import_darktable(write(tmp_path, [setting(100, -4e-6, 1e-8)]), "Acme One")
    with pytest.raises(UsageError, match="needs iso and three a and b"):
        import_darktable(write(tmp_path, [{"iso": 100, "a": [1]}]), "Acme One")


def haar_line(green: np.ndarray) -> tuple[float, float]:
    """What darktable's noiseprofile.c and its fit give of a plane on the unit scale, written from their description."""
    p00, p01, p10, p11 = green[::2, ::2], green[::2, 1::2], green[1::2, ::2], green[1::2, 1::2]
    bins = (((p00 + p01 + p10 + p11) / 4) * 300).clip(0, 299).astype(int).ravel()
    detail = np.abs((p00 - p01 - p10 + p11) / 4).ravel()
    found = [(k / 300, detail[bins == k]) for k in range(240) if (bins == k).any()]
    x, count = np.array([edge for edge, _ in found]), np.array([len(values) for _, values in found])
    sigma = np.array([np.median(values) / 0.6745 for _, values in found])
    a, b = np.polyfit(x, sigma**2, 1, w=count)
    return float(a), float(b)


@pytest.mark.parametrize(("k", "sigma"), [(4.0, 0.0), (40.0, 400.0)])
def test_the_measure_leaves_a_twelfth_of_green_s_variance(k: float, sigma: float) -> None:
    """A simulated RAW with known K and read noise, through LibRaw's PPG and darktable's measure."""
    import rawpy

    rng = np.random.default_rng(3)
    black, white = 1024, 61024
    light = np.tile(np.linspace(0, 0.9, 1200), (800, 1)) * (white - black)
    light *= np.tile([[0.5, 1.0], [1.0, 0.65]], (400, 600))
    dn = rng.poisson(light / k) * k + rng.normal(0, 1, light.shape) * sigma + black
    file = dng.dng(np.rint(dn).clip(0, 65535).astype(np.uint16), black=(black,) * 4, white=white, gains=(1, 1))
    with rawpy.imread(io.BytesIO(file)) as raw:
        rgb = raw.postprocess(
            demosaic_algorithm=rawpy.DemosaicAlgorithm.PPG, user_wb=[1, 1, 1, 1], output_bps=16, gamma=(1, 1),
            output_color=rawpy.ColorSpace.raw, no_auto_bright=True, adjust_maximum_thr=0.0, user_flip=0,
        )  # fmt: skip
    a, b = haar_line(rgb[..., 1] / 65535)
    shot, read = k / (white - black), (sigma / (white - black)) ** 2
    assert a / GREEN_VARIANCE_RATIO == pytest.approx(shot, rel=0.1)
    if sigma:
        assert (b - a / 600) / GREEN_VARIANCE_RATIO == pytest.approx(read, rel=0.25)


@needs_table
def test_settings_without_read_noise_are_counted() -> None:
    table = json.loads(TABLE.read_text())
    settings = [s for maker in table["noiseprofiles"] for model in maker["models"] for s in model["profiles"]]
    assert len(settings) == 7045
    assert sum(min(s["b"]) <= 0 for s in settings) == 1225
    assert sum(s["a"][1] <= 0 for s in settings) == 1


@needs_table
@pytest.mark.parametrize(("name", "switch"), [("Sony ILCE-7M3", 640), ("Nikon Z 9", 500), ("Nikon D780", 800)])
def test_known_dual_gain_cameras_show_their_switch(name: str, switch: float) -> None:
    assert import_darktable(str(TABLE), name).noise_profile().high_gain_isos == (switch,)


@needs_table
@pytest.mark.parametrize("name", ["Nikon D7200", "Canon EOS 7D Mark II", "Sony ILCE-6000"])
def test_known_single_gain_cameras_show_none(name: str) -> None:
    assert import_darktable(str(TABLE), name).noise_profile().high_gain_isos == ()


@needs_table
@pytest.mark.parametrize(
    ("table_name", "measured_name", "isos", "within"),
    [
        ("Nikon D850", "Nikon D850", (200, 400, 800, 1600, 3200, 6400), 0.10),
        ("Sony ILCE-7S", "Sony ILCE-7SM2", (100, 200, 400, 800, 1600, 6400, 12800, 25600), 0.10),
        ("Canon EOS 700D", "Canon EOS 700D", (200, 400, 800, 1600, 3200, 6400), 0.25),
        ("Canon EOS 5D Mark IV", "Canon EOS 5D Mark IV", (1600, 3200, 6400), 0.25),
    ],
)
def test_shot_noise_agrees_with_what_others_measured_on_the_raw(
    table_name: str, measured_name: str, isos: tuple[float, ...], within: float
) -> None:
    imported, measured = import_darktable(str(TABLE), table_name), load_camera(measured_name)
    for iso in isos:
        assert imported.sensor_noise(iso).shot[0] == pytest.approx(measured.sensor_noise(iso).shot[0], rel=within)


@needs_table
def test_what_ships_of_the_table_is_what_the_importer_gives() -> None:
    shipped = [camera for camera in builtin_cameras().values() if any("darktable" in s for s in camera.sources)]
    assert len(shipped) >= 14
    for camera in shipped:
        imported = import_darktable(str(TABLE), camera.name)
        for point in camera.noise_profile().points:
            same = imported.noise_profile().at(point.iso)
            assert point.gain_dn_per_electron == pytest.approx(same.gain_dn_per_electron, rel=1e-5)
            assert point.read_sigma_dn == pytest.approx(same.read_sigma_dn, rel=1e-5)
            assert same.flags == point.flags == ()
