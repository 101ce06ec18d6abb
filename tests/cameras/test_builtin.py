"""The cameras that ship: their figures against the sources', and what any sensor's noise has to look like."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rawsynth.cameras import CameraProfile, NoisePoint, builtin_cameras, load_camera
from rawsynth.cameras.choosing import cameras_with

SHARED = Path(__file__).parents[3] / "shared" / "data"
WITH_NOISE = pytest.mark.parametrize("name", sorted(cameras_with(noise=True)))
ELD = ("Canon EOS 5D Mark IV", "Canon EOS 700D", "Canon EOS 70D", "Nikon D850", "Sony ILCE-7SM2")
PHONES = ("Apple iPhone 7", "Google Pixel", "LG G4", "Motorola Nexus 6", "Samsung Galaxy S6 Edge")

# S and O on the unit scale as published, two digits as in facts/peers.md A4; then SIDD's list in full.
PUBLISHED = [
    ("Sony ILCE-7SM2", 800, 4.8e-5, 5.0e-8),
    ("Sony ILCE-7SM2", 1600, 9.6e-5, 1.6e-7),
    ("Sony ILCE-7SM2", 3200, 1.9e-4, 6.1e-8),
    ("Sony ILCE-7SM2", 25600, 1.5e-3, 2.7e-6),
    ("Sony IMX686", 6400, 9.1e-3, 2.2e-4),
    ("Google Pixel", 100, 2.28e-4, 2e-6),
    ("Google Pixel", 400, 8.86e-4, 5e-6),
    ("Google Pixel", 800, 1.764e-3, 1.2e-5),
    ("Google Pixel", 1600, 3.519e-3, 4.5e-5),
    ("Google Pixel", 3200, 7.029e-3, 1.79e-4),
    ("Motorola Nexus 6", 100, 4.73e-4, 3e-6),
    ("Motorola Nexus 6", 800, 3.476e-3, 5.2e-5),
    ("Motorola Nexus 6", 3200, 1.3773e-2, 8.33e-4),
    ("LG G4", 100, 7.39e-4, 2e-6),
    ("LG G4", 800, 3.356e-3, 6.3e-5),
    ("Samsung Galaxy S6 Edge", 100, 4.79e-4, 2e-6),
    ("Samsung Galaxy S6 Edge", 3200, 1.993e-2, 2e-6),
    ("Apple iPhone 7", 400, 7.35e-4, 3e-6),
]


@pytest.mark.parametrize(("name", "iso", "shot", "read"), PUBLISHED)
def test_published_s_and_o_come_back(name: str, iso: float, shot: float, read: float) -> None:
    noise = load_camera(name).sensor_noise(iso)
    # Half a unit of the second digit of the smallest mantissa.
    assert noise.shot == pytest.approx((shot,) * 4, rel=0.03)
    assert noise.read == pytest.approx((read,) * 4, rel=0.03)


@pytest.mark.parametrize(("iso", "k", "b"), [(1600, 3.513262, 11.917691), (25600, 52.032536, 1819.818657)])
def test_crvd_s_a_and_b_come_back_as_gain_and_all_of_the_dark_variance(iso: float, k: float, b: float) -> None:
    camera = load_camera("Sony IMX385")
    noise = camera.sensor_noise(iso)
    assert camera.levels.range_dn == 4095 - 240
    assert noise.shot[0] * 3855 == pytest.approx(k, rel=1e-5)
    assert noise.total_read()[0] * 3855**2 == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("shot", [1e-4, 1e-3, 1.2e-2])
def test_brooks_line_has_natural_logarithms_and_a_variance(shot: float) -> None:
    camera = load_camera("Brooks generic")
    noise = camera.sensor_noise(shot * 1e6)
    assert noise.shot[0] == pytest.approx(shot, rel=1e-5)
    assert noise.read[0] == pytest.approx(math.exp(2.18 * math.log(shot) + 1.20), rel=1e-4)
    drawn = [
        math.log(camera.sensor_noise(1000, rng=np.random.default_rng(seed)).read[0] / camera.sensor_noise(1000).read[0])
        for seed in range(400)
    ]
    # The spread of ln O is 0.26: four standard errors of a standard deviation.
    assert np.std(drawn) == pytest.approx(0.26, rel=4 / math.sqrt(2 * 400))


LAWS = [
    ("Canon EOS 5D Mark IV", 0.218190, (0.67713, 1.51219), (0.65588, 1.09269), (0.47128, -0.80790)),
    ("Canon EOS 700D", 0.447629, (0.65246, 2.07986), (0.59824, 1.53704), (0.62206, -0.77565)),
    ("Canon EOS 70D", 0.407497, (0.56812, 1.99827), (0.48681, 1.46427), (0.72922, -0.93706)),
    ("Nikon D850", 0.415039, (0.56346, 0.79941), (0.47739, -0.09044), (0.44829, -1.79771)),
]


@pytest.mark.parametrize(("name", "k_min", "gaussian", "tukey", "row"), LAWS)
def test_eld_s_laws_come_back_between_the_points_too(
    name: str, k_min: float, gaussian: tuple[float, float], tukey: tuple[float, float], row: tuple[float, float]
) -> None:
    noise = load_camera(name).noise_profile()
    assert noise.nominal_iso and noise.iso_range == (100, 6400)
    for iso in (100, 250, 6400):
        point, ln_k = noise.at(iso), math.log(k_min * iso / 100)
        assert point.gain_dn_per_electron[0] == pytest.approx(k_min * iso / 100, rel=1e-5)
        measured = (point.read_sigma_dn[0], (point.tukey_scale_dn or (0.0,))[0], point.row_sigma_dn)
        for value, (slope, bias) in zip(measured, (gaussian, tukey, row), strict=True):
            assert value == pytest.approx(math.exp(slope * ln_k + bias), rel=1e-4)


def test_at_the_same_gain_eld_and_pmn_agree_on_the_d850() -> None:
    """PMN's own law of the D850, lambda -0.26: within twice ELD's spread up to ISO 1100; it is steeper, 1.8 at 2650."""
    noise = load_camera("Nikon D850").noise_profile()
    for ln_k in (1.2, 1.5):
        point = noise.at(100 * math.exp(ln_k) / 0.415039)
        assert point.tukey_scale_dn is not None
        eld = math.log(point.tukey_scale_dn[0] * float(stats.tukeylambda.std(-0.2)))
        pmn = 0.906 * ln_k - 0.6754 + math.log(float(stats.tukeylambda.std(-0.26)))
        assert abs(eld - pmn) < 2 * noise.log_spread["tukey_scale_dn"]


@pytest.mark.parametrize("iso", [100, 800, 1600, 2000, 25600])
def test_tukey_and_gaussian_read_noise_of_the_a7s2_have_one_variance(iso: float) -> None:
    noise = load_camera("Sony ILCE-7SM2").noise_profile()
    scale, shape = noise.at(iso).tukey_scale_dn, noise.at(iso).tukey_lambda
    assert scale is not None and shape is not None
    deviation = scale[0] * float(stats.tukeylambda.std(shape))
    assert deviation == pytest.approx(noise.at(iso).read_sigma_dn[0], rel=0.012)


def electrons(point: NoisePoint) -> float:
    return point.read_sigma_dn[0] / point.gain_dn_per_electron[0]


@WITH_NOISE
def test_noise_is_that_of_a_sensor(name: str) -> None:
    camera = load_camera(name)
    noise = camera.noise_profile()
    assert any(source.startswith("noise: ") for source in camera.sources)
    assert any(source.startswith("levels: ") for source in camera.sources)
    gains = [point.gain_dn_per_electron[0] for point in noise.points if "gain_not_rising" not in point.flags]
    assert gains == sorted(set(gains))
    assert "read_floored" not in {flag for point in noise.points for flag in point.flags}
    for iso in noise.isos:
        sensor = camera.sensor_noise(iso)
        assert 1e-6 < min(sensor.shot) <= max(sensor.shot) < 0.1
        assert 1e-10 < min(sensor.read) <= max(sensor.read) < 0.01


@WITH_NOISE
def test_read_noise_in_electrons_does_not_rise_steeply_within_a_conversion_gain(name: str) -> None:
    noise = load_camera(name).noise_profile()
    for low, high in zip(noise.points, noise.points[1:], strict=False):
        switched = any(low.iso < iso <= high.iso for iso in noise.high_gain_isos)
        if not switched and "read_rounded" not in low.flags and not high.flags:
            assert electrons(high) < 1.5 * electrons(low)


@pytest.mark.parametrize(("name", "before", "after"), [("Sony ILCE-7SM2", 1600, 2000), ("Sony ILCE-7M3", 500, 640)])
def test_a_gain_switch_drops_read_noise_and_nothing_is_drawn_across(name: str, before: float, after: float) -> None:
    noise = load_camera(name).noise_profile()
    assert noise.high_gain_isos == (after,)
    assert electrons(noise.at(after)) < 0.55 * electrons(noise.at(before))
    assert electrons(noise.at(after * 0.999)) == pytest.approx(electrons(noise.at(before)), rel=0.25)


def test_what_ships() -> None:
    both, noise = cameras_with(color=True, noise=True), cameras_with(noise=True)
    assert set(ELD) <= set(both) and len(both) >= 20
    assert {*ELD, *PHONES, "Sony IMX686", "Sony IMX385", "Brooks generic"} <= set(noise)
    assert len(cameras_with(color=True)) == 330
    assert list(builtin_cameras()) == sorted(builtin_cameras())


@pytest.mark.parametrize("name", sorted(builtin_cameras()))
def test_every_profile_has_sources_and_colour_that_makes_sense(name: str) -> None:
    camera = load_camera(name)
    assert camera.name == name and camera.sources
    assert camera.nominal_levels == any("nominal" in source for source in camera.sources if "levels:" in source)
    for matrix in camera.cam_from_xyz.values():
        white = matrix @ np.array([0.95047, 1.0, 1.08883])
        assert (white > 0.1).all() and abs(np.linalg.det(matrix)) > 1e-3


def flat(camera: CameraProfile, illuminant: str) -> list[float]:
    return [float(value) for value in camera.cam_from_xyz[illuminant].ravel()]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data, which is not part of the repository")
def test_colour_is_the_table_s() -> None:
    seen: set[tuple[str, str]] = set()
    with (SHARED / "camera_matrices.tsv").open() as file:
        rows: list[Mapping[str, str]] = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        name, light = f"{row['make']} {row['model']}", row["illuminant"]
        if (name, light) in seen:
            continue
        seen.add((name, light))
        camera = load_camera(name)
        assert flat(camera, light) == [float(row[f"m{i}{j}"]) for i in range(3) for j in range(3)]
        assert camera.cfa == row["cfa"]
        if row["white"] and camera.noise is None:
            assert camera.levels.white_level == int(row["white"])
    assert len(seen) == 641 - 2
