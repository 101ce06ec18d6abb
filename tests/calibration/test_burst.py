"""A burst of one static scene gives gain and read noise; what moves is refused by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rawsynth.calibration.fitting import calibrate_set
from rawsynth.calibration.sets import CaptureSet
from rawsynth.errors import SampleError, UsageError
from tests.calibration.simulate import Sensor, shots

Y, X = np.mgrid[:240, :320]


def scene(shift: float = 0.0) -> Any:
    """Electrons: soft light and dark patches, 10 to 3000, with an edge."""
    soft = 1500 * (1 + np.sin((X + shift) / 23) * np.cos(Y / 31))
    return np.where(X + shift > 260, 10.0, np.maximum(soft, 10.0))


def sensor(**fields: Any) -> Sensor:
    return Sensor(height=240, width=320, read_sigma=4.0, **fields)


def burst(frames: list[Any], **fields: Any) -> CaptureSet:
    known: dict[str, Any] = {"iso": 800, "cfa": "RGGB", "bits": 12, "black_level": 200.0, **fields}
    return CaptureSet("burst", burst=shots(frames, "frame"), **known)


def test_gain_and_read_noise_come_back() -> None:
    camera = sensor()
    found = calibrate_set(burst([camera.frame(scene()) for _ in range(12)]))
    assert found.fit == "burst" and any("no dark frames" in text for text in found.warnings)
    for plane, gain in zip(found.planes, camera.gain, strict=True):
        # 19,200 pixels a plane, 11 degrees of freedom each: K to 0.5 %, the intercept of 16 DN^2 to about 3 %.
        assert plane.gain_dn_per_electron.value == pytest.approx(gain, rel=0.02)
        assert plane.read_sigma_dn.value == pytest.approx(4.0, rel=0.06)


def test_darks_make_the_read_noise_sharp() -> None:
    camera = sensor(row_sigma=1.0)
    captures = burst([camera.frame(scene()) for _ in range(8)], black_level=None)
    found = calibrate_set(replace(captures, dark=camera.shots(0.0, 6, "dark")))
    assert found.dark is not None and found.dark.tukey is not None
    assert found.dark.row_sigma_dn.value == pytest.approx(1.0, rel=0.1)
    for plane, gain in zip(found.planes, camera.gain, strict=True):
        assert plane.gain_dn_per_electron.value == pytest.approx(gain, rel=0.02)
        assert plane.read_sigma_dn.value == pytest.approx(4.0, rel=0.02)


def test_a_lamp_that_flickers_by_a_percent_changes_nothing() -> None:
    camera = sensor()
    light = np.random.default_rng(0).normal(1, 0.01, 12)
    found = calibrate_set(burst([camera.frame(scene() * factor) for factor in light]))
    for plane, gain in zip(found.planes, camera.gain, strict=True):
        assert plane.gain_dn_per_electron.value == pytest.approx(gain, rel=0.02)


def test_saturated_highlights_are_left_out() -> None:
    camera = sensor()
    found = calibrate_set(burst([camera.frame(scene() * 1.6) for _ in range(8)]))
    assert any("clipped" in point.excluded for point in found.planes[0].points)
    assert found.planes[0].gain_dn_per_electron.value == pytest.approx(1.1, rel=0.02)


def test_a_camera_that_moves_is_refused() -> None:
    camera = sensor()
    with pytest.raises(SampleError, match="the scene moved.*tripod"):
        calibrate_set(burst([camera.frame(scene(0.6 * k)) for k in range(8)]))


def test_a_thing_that_moves_is_refused() -> None:
    camera, frames = sensor(), []
    for k in range(8):
        lit = scene()
        lit[100:150, 20 + 8 * k : 60 + 8 * k] = 2500.0
        frames.append(camera.frame(lit))
    with pytest.raises(SampleError, match="the scene moved"):
        calibrate_set(burst(frames))


def test_long_tails_are_no_motion() -> None:
    camera = Sensor(height=240, width=320, tukey=(-0.2, 1.5), gain=(1.0,) * 4)
    found = calibrate_set(burst([camera.frame(scene()) for _ in range(8)]))
    assert found.planes[0].gain_dn_per_electron.value == pytest.approx(1.0, rel=0.02)


def test_bad_bursts_are_named() -> None:
    camera = sensor()
    frames = [camera.frame(scene()) for _ in range(4)]
    with pytest.raises(UsageError, match="3 frames; a burst needs 4"):
        calibrate_set(burst(frames[:3]))
    with pytest.raises(UsageError, match="needs dark frames or the black level"):
        calibrate_set(burst(frames, black_level=None))
    with pytest.raises(SampleError, match="identical"):
        calibrate_set(burst(frames[:1] * 4))
    with pytest.raises(SampleError, match="light differs by"):
        calibrate_set(burst([*frames, camera.frame(scene() * 1.3)]))
    with pytest.raises(SampleError, match="too little to tell shot from read"):
        calibrate_set(burst([camera.frame(np.full((240, 320), 1000.0)) for _ in range(4)]))
    with pytest.raises(SampleError, match="neither clipped nor 0 DN"):
        calibrate_set(burst([camera.frame(np.where(X < 20, 500.0, 9000.0)) for _ in range(4)]))
    with pytest.raises(UsageError, match="both"):
        calibrate_set(replace(burst(frames), levels=camera.captures([1.0, 2.0, 3.0]).levels))
