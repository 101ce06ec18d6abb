"""Gain and read noise of simulated sensors come back, with intervals that hold the truth; bad levels are named."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rawsynth.calibration.fitting import calibrate_set, calibrate_sets
from rawsynth.calibration.result import IsoCalibration, PlaneCalibration
from rawsynth.calibration.sets import CaptureSet, Level, Shot
from rawsynth.cameras import load_camera
from rawsynth.errors import SampleError, UsageError
from tests.calibration.simulate import Sensor, shots


def plane_of(found: IsoCalibration, name: str) -> PlaneCalibration:
    return next(plane for plane in found.planes if plane.plane == name)


# One camera of each kind of source: a compact table, a phone with BGGR, a Tukey-lambda sensor, a low read noise.
@pytest.mark.parametrize(
    ("camera", "iso"),
    [("Sony ILCE-7SM2", 1600), ("Google Pixel", 400), ("Nikon D850", 400), ("Nikon D3300", 400)],
)
def test_built_in_cameras_come_back_within_two_percent(camera: str, iso: float) -> None:
    profile = load_camera(camera)
    point = profile.noise_profile().at(iso)
    truth, sigmas = point.gain_dn_per_electron, point.read_sigma_dn
    sensor = Sensor(
        gain=truth,
        read_sigma=sigmas[0],
        black=profile.levels.black_level,
        white=profile.levels.white_level,
        cfa=profile.cfa,
        height=400,
        width=400,
    )
    found = calibrate_set(sensor.captures(dark=4, bits=profile.levels.bits))
    # 40,000 pixels a plane: a level's variance is known to 0.7 %, nine of them give K to 0.25 %.
    for plane, gain in zip(found.planes, truth, strict=True):
        assert plane.gain_dn_per_electron.value == pytest.approx(gain, rel=0.02)
        assert plane.read_sigma_dn.value == pytest.approx(sigmas[0], rel=0.02)
        assert plane.dark_offset_dn == pytest.approx(profile.levels.black_level, abs=0.1)


@pytest.mark.slow
def test_95_of_100_intervals_hold_the_truth() -> None:
    """120 sensors of a plane each: the counts are binomial, 114 with a standard deviation of 2.4."""
    held = dict.fromkeys(("gain", "read", "row", "shape", "scale"), 0)
    for seed in range(120):
        sensor = Sensor(
            cfa=None, gain=(0.8,), row_sigma=0.6, tukey=(-0.1, 1.5), height=96, width=160, seed=seed
        )
        found = calibrate_set(sensor.captures(np.geomspace(40, 2000, 6).tolist(), dark=4), seed=seed)
        (plane,), dark = found.planes, found.dark
        assert dark is not None and dark.tukey is not None
        read_sigma = 1.5 * float(stats.tukeylambda(-0.1).std())
        for name, estimate, truth in (
            ("gain", plane.gain_dn_per_electron, 0.8),
            ("read", plane.read_sigma_dn, read_sigma),
            ("row", dark.row_sigma_dn, 0.6),
            ("shape", dark.tukey.shape, -0.1),
            ("scale", dark.tukey.scale_dn[0], 1.5),
        ):
            held[name] += estimate.low <= truth <= estimate.high
    assert all(106 <= count <= 119 for count in held.values()), held


def test_texture_flicker_and_fixed_pattern_cancel() -> None:
    """A checked wall under a lamp that changes by 2 % between frames tells the same gain as a flat."""
    sensor = Sensor(cfa=None, gain=(0.5,), read_sigma=2.0, height=240, width=240)
    wall = 1 + 0.8 * (np.indices((240, 240)).sum(axis=0) // 16 % 2)
    levels = []
    for k, electrons in enumerate((100.0, 200.0, 400.0, 800.0, 1600.0)):
        frames = [sensor.frame(wall * electrons), sensor.frame(wall * electrons * 1.02)]
        levels.append(Level(str(k), shots(frames, f"level{k} ")))
    captures = CaptureSet("wall", tuple(levels), sensor.shots(0.0, 4, "dark"), bits=12)
    (plane,) = calibrate_set(captures).planes
    assert not any(point.excluded for point in plane.points)
    # 57,600 pixels, five levels to 0.6 % each.
    assert plane.gain_dn_per_electron.value == pytest.approx(0.5, rel=0.01)


def test_saturated_and_nonlinear_levels_are_left_out_by_name() -> None:
    sensor = Sensor(cfa=None, gain=(1.0,))
    captures = sensor.captures([50.0, 200.0, 600.0, 1000.0, 1500.0, 2000.0, 4400.0, 6000.0])
    smooth = sensor.shots(800.0, 8, "smooth")
    mean = np.mean([shot.load() for shot in smooth[:4]], axis=0), np.mean([shot.load() for shot in smooth[4:]], axis=0)
    denoised = Level("denoised", shots([np.rint(m).astype(np.uint16) for m in mean], "denoised"), exposure_s=800.0)
    found = calibrate_set(replace(captures, levels=(*captures.levels, denoised)))
    (plane,) = found.planes
    reasons = {point.level: point.excluded for point in plane.points}
    assert reasons["denoised"].startswith("not linear: variance -")
    assert "clipped" in reasons["4400 e"] and "clipped" in reasons["6000 e"]
    assert not any(reasons[name] for name in ("50 e", "200 e", "600 e", "1000 e", "1500 e", "2000 e"))
    assert plane.gain_dn_per_electron.value == pytest.approx(1.0, rel=0.02)
    assert any("denoised (not linear" in text for text in found.warnings)
    full_well = plane.full_well_electrons
    assert full_well is not None and full_well.value == pytest.approx(4095 - 200, rel=0.02)


def test_a_level_out_of_proportion_to_its_exposure_is_named() -> None:
    captures = Sensor().captures()
    levels = list(captures.levels)
    assert levels[6].exposure_s is not None
    levels[6] = replace(levels[6], exposure_s=levels[6].exposure_s * 1.3)
    plane = calibrate_set(replace(captures, levels=tuple(levels))).planes[0]
    assert {p.level for p in plane.points if p.excluded.startswith("response -23 %")} == {levels[6].name}


def test_a_level_whose_lamp_changed_is_named() -> None:
    sensor = Sensor()
    captures = sensor.captures()
    lamp = Level("lamp", shots([sensor.frame(500.0), sensor.frame(600.0)], "lamp"), exposure_s=550.0)
    plane = calibrate_set(replace(captures, levels=(*captures.levels, lamp))).planes[0]
    assert [p.level for p in plane.points if "the light changed" in p.excluded] == ["lamp"]


def test_without_darks_the_line_tells_the_read_noise() -> None:
    sensor = Sensor(cfa=None, gain=(0.5,), read_sigma=6.0, height=300, width=300)
    captures = sensor.captures(np.geomspace(10, 2000, 10).tolist(), dark=0, black_level=200.0)
    (plane,) = calibrate_set(captures).planes
    assert plane.gain_dn_per_electron.value == pytest.approx(0.5, rel=0.02)
    assert plane.read_sigma_dn.low <= 6.0 <= plane.read_sigma_dn.high
    assert plane.read_sigma_dn.value == pytest.approx(6.0, rel=0.02)


def test_dark_current_is_no_read_noise() -> None:
    """Darks of each exposure time: read noise is what remains at none."""
    sensor = Sensor(cfa=None, gain=(1.0,), read_sigma=3.0, height=200, width=200)
    levels = []
    for seconds in (1.0, 2.0, 4.0, 8.0, 16.0):
        bright, dark = sensor.shots(101.0 * seconds, 2, f"b{seconds} "), sensor.shots(1.0 * seconds, 2, f"d{seconds} ")
        levels.append(Level(f"{seconds} s", bright, dark, exposure_s=seconds))
    (plane,) = calibrate_set(CaptureSet("long", tuple(levels), bits=12)).planes
    assert plane.gain_dn_per_electron.value == pytest.approx(1.0, rel=0.02)
    # The standard error of the variance at no time is 0.1 of 9 DN^2; at 1 s it would be 10.
    assert plane.read_sigma_dn.value == pytest.approx(3.0, rel=0.03)


def same(shot: Shot) -> tuple[Shot, Shot]:
    return shot, Shot(shot.name + " again", shot.load)


def small(**fields: object) -> tuple[Sensor, CaptureSet]:
    sensor = Sensor(height=64, width=64)
    return sensor, replace(sensor.captures([20.0, 200.0, 800.0, 1500.0], dark=2), **fields)  # type: ignore[arg-type]


def test_bad_captures_are_named() -> None:
    sensor, good = small()
    levels = good.levels

    def refused(kind: type[Exception], match: str, **fields: object) -> None:
        with pytest.raises(kind, match=match):
            calibrate_set(replace(good, **fields))  # type: ignore[arg-type]

    refused(UsageError, "1 light levels; .* at several exposures", levels=levels[:1])
    refused(SampleError, "2 usable light levels .* needs 3", levels=levels[:2])
    lit = [Level(str(e), sensor.shots(e, 2, str(e))) for e in (6000.0, 8000.0, 9000.0)]
    refused(SampleError, "every flat is saturated; capture shorter", levels=lit)
    refused(SampleError, "dark frames are brighter .* swapped", dark=sensor.shots(3000.0, 2, "lit"))
    refused(SampleError, "identical", dark=same(good.dark[0]))
    refused(SampleError, "identical", levels=(replace(levels[0], bright=same(levels[0].bright[0])), *levels[1:]))
    refused(UsageError, "two or more", levels=(replace(levels[0], bright=levels[0].bright[:1]), *levels[1:]))
    big = Sensor(height=66, width=64).shots(0.0, 2, "big")
    refused(SampleError, "big0 is 66x64 and dark 0 is 64x64", static_dark=big)
    refused(UsageError, "neither dark frames nor a black level", dark=())
    refused(SampleError, "too small", dark=shots([np.zeros((8, 8), np.uint16)] * 2, "tiny"))
    refused(SampleError, "uint8 or uint16", dark=shots([np.zeros((64, 64))] * 2, "float"))
    with pytest.raises(UsageError, match="no dark frames for level"):
        calibrate_set(replace(good, dark=(), levels=(replace(levels[0], dark=good.dark), *levels[1:])))


def test_two_sets_of_one_iso_are_refused_and_so_is_nothing() -> None:
    _, good = small()
    with pytest.raises(UsageError, match="both ISO 800"):
        calibrate_sets([good, good])
    with pytest.raises(UsageError, match="nothing to calibrate"):
        calibrate_sets([])
    with pytest.raises(UsageError, match="unknown fit"):
        calibrate_sets([good], fit="linear")


def test_warnings_say_what_not_to_trust() -> None:
    quiet = Sensor(cfa=None, gain=(0.1,), read_sigma=0.1, height=64, width=64)
    found = calibrate_set(quiet.captures([50.0, 100.0, 400.0, 1000.0, 2000.0]))
    assert any("quantisation hides" in text for text in found.warnings)
    assert any("brightest level used is at" in text for text in found.warnings)
    cut = Sensor(cfa=None, gain=(1.0,), black=2.0, height=64, width=64).captures()
    assert any("are 0 DN" in text for text in calibrate_set(cut).warnings)
    unknown = replace(small()[1], white_level=None, bits=None)
    assert any("nothing states the white level" in text for text in calibrate_set(unknown).warnings)


def test_the_same_seed_gives_the_same_interval() -> None:
    captures = small()[1]
    first, again, other = (calibrate_set(captures, seed=seed) for seed in (1, 1, 2))
    assert first.to_json() == again.to_json() != other.to_json()
    assert plane_of(first, "Gr").gain_dn_per_electron.value == plane_of(other, "Gr").gain_dn_per_electron.value
