"""Verdicts: the same noise passes, other noise is found and named, a scene that moves is refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.noise_comparison import GroupComparison, compare_stacks, random_halves
from rawsynth.evaluation.noise_scores import FIGURES
from rawsynth.evaluation.noise_verdict import NoiseReport, markdown
from tests.evaluation.noise_shots import as_stack, ramp, shoot

LIGHT = ramp(128, 192)


def compared(
    seed: int = 0, *, real: Any = None, synthetic: Any = None, count: int = 12, cfa: str | None = None
) -> NoiseReport:
    rng = np.random.default_rng(seed)
    stacks = [as_stack(shoot(rng, LIGHT, count, **(options or {})), cfa) for options in (real, synthetic)]
    return NoiseReport([compare_stacks(*stacks, seed=seed)])


def found(report: NoiseReport) -> set[str]:
    return {score.figure for _, score in report.differing}


@pytest.mark.parametrize("cfa", [None, "RGGB"])
@pytest.mark.parametrize("count", [4, 5, 12])
def test_the_same_noise_passes(count: int, cfa: str | None) -> None:
    noise = {"row": 0.7, "column": 0.4}
    for seed in range(3):
        report = compared(seed, real=noise, synthetic=noise, count=count, cfa=cfa)
        assert report.verdict == "PASS: no figure differs by more than its limit." and report.passed


@pytest.mark.parametrize(
    ("real", "synthetic", "figures"),
    [
        ({"gain": 0.5}, {"gain": 0.55}, {"variance_error"}),
        ({"gain": 0.55}, {"gain": 0.5}, {"variance_error"}),
        ({"read": 3.0}, {"read": 6.0}, {"variance_error", "kl_by_intensity"}),
        ({"row": 2.0}, {}, {"row_share", "row_correlation"}),
        ({}, {"row": 2.0}, {"row_share", "row_correlation"}),
        ({"column": 2.0}, {}, {"column_share", "column_correlation"}),
    ],
)
def test_other_noise_is_found(real: Any, synthetic: Any, figures: set[str]) -> None:
    report = compared(real=real, synthetic=synthetic)
    assert figures <= found(report) and report.verdict.startswith("DIFFERS: ")
    for figure in figures:
        assert FIGURES[figure].title in report.verdict
    row_noise = {"row_share", "row_correlation", "column_share", "column_correlation"}
    assert bool(found(report) & row_noise) == bool(figures & row_noise)


def test_a_gain_error_has_its_size_and_its_sign() -> None:
    (group,) = compared(real={"gain": 0.5, "read": 1.0}, synthetic={"gain": 0.55, "read": 1.0}).groups
    bright = group.of("variance_error")[-1]
    assert bright.value == pytest.approx(0.1, abs=0.03) and bright.null is not None and bright.null < 0.03
    assert "+" in NoiseReport([group]).verdict


def test_heavy_tails_are_found() -> None:
    """Student's t of five degrees of freedom with the same variance: only divergence and tails can tell."""
    rng, shape = np.random.default_rng(1), (10, 128, 192)
    real = 500 + 10 * rng.standard_t(5, shape) * math.sqrt(3 / 5)
    made = 500 + 10 * rng.standard_normal(shape)
    stacks = [as_stack(np.rint(side).clip(0, 4095).astype(np.uint16)) for side in (real, made)]
    report = NoiseReport([compare_stacks(*stacks)])
    figures = found(report)
    assert {"tail_quantile", "kl_forward", "kl_backward"} <= figures and "variance_error" not in figures


def test_rows_that_planes_do_not_share_are_found() -> None:
    """Row noise drawn anew for every packed plane: each plane for itself looks right."""
    rng = np.random.default_rng(2)
    real = shoot(rng, LIGHT, 12, row=2.0)
    made = np.empty_like(real)
    for k in range(4):
        sites = (slice(None), slice(k // 2, None, 2), slice(k % 2, None, 2))
        made[sites] = shoot(rng, LIGHT[sites[1:]], 12, row=2.0)
    report = NoiseReport([compare_stacks(as_stack(real, "RGGB"), as_stack(made, "RGGB"))])
    assert found(report) == {"shared_rows"}


def test_the_null_stands_beside_every_figure() -> None:
    (group,) = compared().groups
    assert isinstance(group, GroupComparison) and len(group.halves) == 4
    assert {score.figure for score in group.scores} == set(FIGURES) - {"shared_rows", "shared_columns"}
    without = {score.figure for score in group.scores if score.null is None}
    # Halves hold too few residuals beyond the 1e-4 quantiles; what has no null is not judged.
    assert without == {"tail_quantile"} and all(score.limit is None for score in group.scores if score.spread is None)
    for name in ("variance_error", "row_correlation"):
        spread = np.sqrt(np.mean([a**2 for a in _between_halves(group, name)]))
        assert [score.spread for score in group.of(name)] == pytest.approx([spread] * len(group.of(name)))
    for score in group.of("kl_symmetric"):
        assert score.null is not None and score.null < 0.001 and not score.blunt


def _between_halves(group: GroupComparison, name: str) -> list[float]:
    found: list[float] = []
    for (first,), (second,) in group.halves:
        if name == "variance_error":
            found.extend(second.variance_dn2 / first.variance_dn2 - 1)
        else:
            found.extend(second.row_correlation - first.row_correlation)
    return found


def test_few_pixels_make_a_blunt_report_that_says_so() -> None:
    rng = np.random.default_rng(3)
    stacks = [as_stack(shoot(rng, ramp(32, 32), 4, row=4.0)) for _ in range(2)]
    report = NoiseReport([compare_stacks(*stacks, name="tiny")])
    assert any("tiny" in note and "Capture more frames" in note for note in report.notes)


def test_the_shorter_series_decides() -> None:
    rng = np.random.default_rng(4)
    long, short = (as_stack(shoot(rng, LIGHT, count)) for count in (10, 6))
    assert compare_stacks(long, short).frames == compare_stacks(short, long).frames == 6


def test_another_scene_is_noticed() -> None:
    rng = np.random.default_rng(5)
    stacks = [as_stack(shoot(rng, light, 6)) for light in (LIGHT, LIGHT / 4)]
    report = NoiseReport([compare_stacks(*stacks, name="shots")])
    assert "mean_level" in found(report)
    assert any("too few pixels" in note and "the same scene" in note for note in report.notes)


@pytest.mark.parametrize("moves", ["scene", "light"])
def test_a_scene_that_moves_is_refused(moves: str) -> None:
    rng = np.random.default_rng(6)
    lights = [np.roll(LIGHT, 8 * k, axis=1) if moves == "scene" else LIGHT * (1 + 0.1 * k) for k in range(6)]
    frames = np.concatenate([shoot(rng, light, 1) for light in lights])
    still = as_stack(shoot(rng, LIGHT, 6))
    for pair in ((as_stack(frames, name="shots"), still), (still, as_stack(frames, name="shots"))):
        with pytest.raises(SampleError, match=r"shots.*moves or the light flickers.*tripod"):
            compare_stacks(*pair)


def test_strong_banding_is_no_motion() -> None:
    assert compared(real={"row": 3.0}, synthetic={"row": 3.0}).groups


def test_a_plane_that_saturates_everywhere_is_refused() -> None:
    frames = shoot(np.random.default_rng(7), LIGHT + 5000, 4)
    frames[:, 1::2] = shoot(np.random.default_rng(8), LIGHT, 4)[:, 1::2]
    stack = as_stack(frames, "RGGB", name="flats")
    with pytest.raises(SampleError, match="flats: every pixel of plane R .*less light"):
        compare_stacks(stack, stack)


def test_other_sensors_are_refused() -> None:
    frames = shoot(np.random.default_rng(9), LIGHT, 4)
    for other in (as_stack(frames, "RGGB"), as_stack(frames[:, :, :64])):
        with pytest.raises(UsageError, match="192x128 mono"):
            compare_stacks(as_stack(frames), other)


def test_the_table_has_every_figure_and_ends_with_the_verdict() -> None:
    report = compared()
    text = markdown(report)
    kinds = [kind.title for name, kind in FIGURES.items() if not name.startswith("shared")]
    assert all(f"| {title} |" in text for title in kinds) and text.endswith(report.verdict)
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


@given(st.integers(4, 30), st.integers(1, 6), st.integers(0, 99))
def test_halves(count: int, splits: int, seed: int) -> None:
    halves = random_halves(count, splits, seed)
    assert len(halves) == min(splits, 3 if count < 6 else 10)
    assert len({(*a, *b) for a, b in halves}) == len(halves)
    for first, second in halves:
        assert len(first) == len(second) == count // 2 and set(first) | set(second) <= set(range(count))
        assert not set(first) & set(second)
    assert halves == random_halves(count, splits, seed)


def test_three_frames_have_no_halves() -> None:
    with pytest.raises(UsageError, match="3 frames"):
        random_halves(3, 1, 0)
