"""The standard's fit against its reference implementation: a real sensor, and simulated ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rawsynth.calibration.fitting import calibrate_set
from rawsynth.calibration.emva1288 import saturation_index
from rawsynth.calibration.result import PlaneCalibration
from rawsynth.calibration.sets import CaptureSet, Level, Shot
from rawsynth.errors import SampleError, UsageError
from tests.calibration.emva_sensors import SENSORS
from tests.calibration.simulate import Sensor

CCD12 = Path(__file__).parents[3] / "shared" / "data" / "emva1288_ccd12"

# What the package emva1288 1.0.2, the standard's reference implementation, says of exactly these frames, written as PNG
# with a descriptor: K, dark noise in DN and electrons, saturation capacity, largest signal to noise, dynamic range.
REFERENCE = {
    "8-bit CMOS": (
        0.022001867739319274, 0.720844512619316, 30.020977822015293, 8120.732876764075, 39.09595225050525,
        47.75270799393341,
    ),
    "8-bit CMOS, noise under half a DN": (
        0.022175014456422615, 0.4898979485566356, 17.849431560872056, 8516.305824154524, 39.30251248745377,
        51.52580084842541,
    ),
    "10-bit CMOS, light varied": (
        0.10076935941526943, 0.9509311504571984, 8.991379803422177, 8495.465277758129, 39.291871692002864,
        58.63889169696201,
    ),
    "12-bit CCD, high gain": (
        2.0406313562298015, 15.997724333680218, 7.838319025966492, 1772.5024886956164, 32.48586853630007,
        46.54883737867583,
    ),
}  # fmt: skip


def figures(plane: PlaneCalibration) -> tuple[float | None, ...]:
    return (
        plane.gain_dn_per_electron.value,
        plane.dark_sigma_dn.value,
        plane.read_sigma_electrons,
        None if plane.full_well_electrons is None else plane.full_well_electrons.value,
        plane.snr_max_db,
        plane.dynamic_range_db,
    )


@pytest.mark.parametrize("name", SENSORS)
def test_simulated_sensors_are_measured_as_the_reference_does(name: str) -> None:
    (plane,) = calibrate_set(SENSORS[name].captures(), fit="emva1288").planes
    assert figures(plane) == pytest.approx(REFERENCE[name], rel=1e-6)


def test_the_real_ccd_is_measured_as_the_reference_does() -> None:
    if not CCD12.exists():
        pytest.skip("the reference frames are in ../shared, which is not here")
    expected = json.loads((CCD12 / "expected.json").read_text("utf-8"))
    (plane,) = calibrate_set(ccd12_captures(), fit="emva1288").planes
    names = ("system_gain_dn_per_electron", "temporal_dark_noise_dn", "temporal_dark_noise_electrons",
             "saturation_capacity_electrons", "snr_max_db", "dynamic_range_db")  # fmt: skip
    assert figures(plane) == pytest.approx([expected[name] for name in names], rel=1e-6)


def ccd12_captures() -> CaptureSet:
    groups: list[tuple[float, float, list[Shot]]] = []
    for line in (CCD12 / "EMVA1288_Data.txt").read_text("utf-8").splitlines():
        kind, *rest = line.split() or ["#"]
        if kind in "bd":
            groups.append((float(rest[0]), float(rest[1]) if kind == "b" else 0.0, []))
        elif kind == "i":
            path = CCD12 / rest[0]
            groups[-1][2].append(Shot(rest[0], lambda path=path: np.asarray(Image.open(path)).astype(np.uint16)))
    pairs = [group for group in groups if len(group[2]) == 2]
    dark = {time: tuple(frames) for time, light, frames in pairs if not light}
    levels = [Level(f"{t:g} ns", tuple(f), dark[t], exposure_s=t * 1e-9, photons=p) for t, p, f in pairs if p]
    return CaptureSet("ccd12", tuple(levels), bits=12)


@pytest.mark.parametrize(
    ("variance", "expected"),
    [
        ([1, 2, 3, 4, 5], 4),  # never saturates
        ([1, 3, 6, 7, 4, 0], 3),
        ([1, 3, 6, 5.9, 6.5, 2, 0], 4),  # one noisy level below the largest does not end the search
        ([1, 9, 2, 2, 7, 0], 4),  # two do: a freak far below the maximum counts for nothing
    ],
)
def test_saturation_is_the_largest_variance_from_above(variance: list[float], expected: int) -> None:
    assert saturation_index(np.array(variance, dtype=float)) == expected


def test_row_noise_is_part_of_the_standards_dark_noise_and_not_of_single_pixels() -> None:
    captures = Sensor(cfa=None, gain=(1.0,), read_sigma=2.0, row_sigma=1.5, seed=5).captures(dark=12)
    (standard,) = calibrate_set(captures, fit="emva1288").planes
    (single,) = calibrate_set(captures).planes
    # 1,760 differences of rows: the row variance's standard error is a quarter of a percent of sigma.
    assert standard.read_sigma_dn.value == pytest.approx(2.5, rel=0.03)
    assert single.read_sigma_dn.value == pytest.approx(2.0, rel=0.01)


def test_without_darks_there_is_no_standard() -> None:
    captures = Sensor().captures(dark=0, black_level=200.0)
    with pytest.raises(UsageError, match="two dark frames a level"):
        calibrate_set(captures, fit="emva1288")


def test_levels_all_above_70_percent_are_named() -> None:
    captures = Sensor().captures([3000.0, 3050.0, 3100.0, 3150.0])
    with pytest.raises(SampleError, match="70 % of saturation.*shorter exposures"):
        calibrate_set(captures, fit="emva1288")
