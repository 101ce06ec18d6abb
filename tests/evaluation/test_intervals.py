"""Intervals over scenes: Student's, and images of one scene are no news."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rawsynth.errors import UsageError
from rawsynth.evaluation.intervals import Mean, mean_over_scenes, student_quantile

VALUES = st.lists(st.lists(st.floats(0, 60), min_size=1, max_size=4), min_size=2, max_size=8)


def flatten(scenes: list[list[float]]) -> tuple[list[float], list[str]]:
    return [v for scene in scenes for v in scene], [f"s{i}" for i, scene in enumerate(scenes) for _ in scene]


@pytest.mark.parametrize("freedom", [*range(1, 12), 29, 30, 99, 100, 101, 102, 1000, 10**6])
def test_quantiles_are_those_of_scipy(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-7)


@given(st.lists(st.floats(0, 60), min_size=2, max_size=12), st.integers(1, 4))
def test_with_equal_scenes_it_is_the_t_interval_of_their_means(means: list[float], size: int) -> None:
    offsets = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    values, scenes = flatten([[m + o for o in offsets] for m in means])
    got = mean_over_scenes(values, scenes)
    margin = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means))
    assert got.low is not None and got.high is not None
    assert got.value == pytest.approx(np.mean(means), abs=1e-9)
    assert (got.low, got.high) == pytest.approx((got.value - margin, got.value + margin), abs=1e-6)


@given(VALUES, st.integers(2, 5))
def test_repeating_every_image_narrows_nothing(scenes: list[list[float]], times: int) -> None:
    once, many = (mean_over_scenes(*flatten([scene * n for scene in scenes])) for n in (1, times))
    assert (many.value, many.low, many.high) == pytest.approx((once.value, once.low, once.high), abs=1e-9)


@given(VALUES, st.randoms())
def test_order_does_not_matter(scenes: list[list[float]], random: object) -> None:
    rows = list(zip(*flatten(scenes), strict=True))
    before = mean_over_scenes(*map(list, zip(*rows, strict=True)))  # type: ignore[arg-type]
    random.shuffle(rows)  # type: ignore[attr-defined]
    after = mean_over_scenes(*map(list, zip(*rows, strict=True)))  # type: ignore[arg-type]
    assert (after.value, after.low, after.high) == pytest.approx((before.value, before.low, before.high), abs=1e-9)


def test_95_of_100_intervals_hold_the_truth() -> None:
    """Scenes of 1 to 6 images with a spread of their own; the truth is the mean over all images there could be."""
    rng, held, rounds = np.random.default_rng(0), 0, 1000
    for _ in range(rounds):
        scenes = [(rng.normal(30, 3) + rng.normal(0, 1, rng.integers(1, 7))).tolist() for _ in range(20)]
        got = mean_over_scenes(*flatten(scenes))
        assert got.low is not None and got.high is not None
        held += got.low <= 30 <= got.high
    assert 0.92 < held / rounds < 0.975


def test_one_scene_tells_nothing_of_others() -> None:
    assert mean_over_scenes([1.0, 2.0], ["a", "a"]) == Mean(1.5, None, None)


def test_equal_values_have_no_spread() -> None:
    assert mean_over_scenes([999.0] * 3, ["a", "b", "c"]) == Mean(999.0, 999.0, 999.0)


@pytest.mark.parametrize(("values", "scenes"), [([], []), ([1.0], []), ([1.0], ["a", "b"])])
def test_nothing_has_no_mean(values: list[float], scenes: list[str]) -> None:
    with pytest.raises(UsageError):
        mean_over_scenes(values, scenes)
