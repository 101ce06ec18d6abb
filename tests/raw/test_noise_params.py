"""Noise in S and O, in DN and in a record: against published calibrations and against counting electrons."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.raw.noise_params import (
    NoiseRecord,
    four_planes,
    gain_from_shot,
    read_from_sigma,
    shot_from_gain,
    sigma_from_read,
)

POSITIVE = st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("gain", "sigma", "range_dn", "shot", "read"),
    [  # PMN's Sony A7S2 in 14-bit DN over black 512; SonyA7S2 ISO 800, 1600, 3200, 25600 of facts/peers.md, A4
        (0.76504, 3.5476, 15871, 4.8e-5, 5.0e-8),
        (1.53008, 6.2993, 15871, 9.6e-5, 1.6e-7),
        (3.06016, 3.9194, 15871, 1.9e-4, 6.1e-8),
        (24.4813, 25.8530, 15871, 1.5e-3, 2.7e-6),
        (8.7425, 12.89, 959, 9.1e-3, 1.8e-4),  # IMX686 ISO 6400, 10 bits over black 64
    ],
)
def test_published_calibrations(gain: float, sigma: float, range_dn: float, shot: float, read: float) -> None:
    assert shot_from_gain(gain, range_dn) == pytest.approx(shot, rel=0.04)
    assert read_from_sigma(sigma, range_dn) == pytest.approx(read, rel=0.04)


@given(POSITIVE, POSITIVE)
def test_conversions_invert_each_other(value: float, range_dn: float) -> None:
    assert gain_from_shot(shot_from_gain(value, range_dn), range_dn) == pytest.approx(value)
    assert sigma_from_read(read_from_sigma(value, range_dn), range_dn) == pytest.approx(value)


def test_counted_electrons_have_that_variance() -> None:
    """A sensor in its own units: electrons, gain K in DN per electron, read noise in DN; then on the unit scale."""
    gain, sigma, range_dn, unit = 2.5, 6.0, 4000.0, 0.3
    rng = np.random.default_rng(1)
    dn = gain * rng.poisson(unit * range_dn / gain, 1_000_000) + rng.normal(0.0, sigma, 1_000_000)
    measured = (dn / range_dn).var()
    expected = shot_from_gain(gain, range_dn) * unit + read_from_sigma(sigma, range_dn)
    assert measured == pytest.approx(expected, rel=4.5 * np.sqrt(2e-6))


@pytest.mark.parametrize(
    ("value", "planes"),
    [
        (0.5, (0.5, 0.5, 0.5, 0.5)),
        (0, (0.0, 0.0, 0.0, 0.0)),
        ([1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)),
        ((0.1, 0.0, 0.3, 0.0), (0.1, 0.0, 0.3, 0.0)),
        (np.array([0.5, 0.25, 0.125, 1.0]), (0.5, 0.25, 0.125, 1.0)),
        (np.float64(0.5), (0.5, 0.5, 0.5, 0.5)),
        (np.float32(0.5), (0.5,) * 4),
    ],
)
def test_one_number_or_four(value: object, planes: tuple[float, ...]) -> None:
    assert four_planes(value, "shot") == planes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        -1e-9,
        float("nan"),
        float("inf"),
        [],
        [0.1, 0.1, 0.1],
        [0.1] * 5,
        [0.1, 0.1, 0.1, -0.1],
        [0.1, 0.1, 0.1, float("nan")],
        "0.1",
        [[0.1] * 4],
        None,
    ],
    ids=str,
)
def test_wrong_levels_are_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match="shot is one number >= 0, or four"):
        four_planes(value, "shot")  # type: ignore[arg-type]


PLANES = st.tuples(*[st.floats(0, 1e3)] * 4)


@given(PLANES, PLANES, st.integers(0, 2**63 - 1))
def test_a_record_survives_json(shot: tuple, read: tuple, seed: int) -> None:
    params = {"shot": list(shot), "read": list(read)}
    record = NoiseRecord("poisson_gaussian", params, seed, "rng/1", shot, read)
    assert NoiseRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
