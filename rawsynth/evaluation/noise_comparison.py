"""Real frames against synthetic ones, figure by figure, each beside what two halves of the real frames differ by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.noise_bins import plan_bins
from rawsynth.evaluation.noise_histograms import TAIL_LEVELS, divergence, standard_quantiles
from rawsynth.evaluation.noise_scores import Score
from rawsynth.evaluation.noise_stack import FEWEST_FRAMES, FrameStack
from rawsynth.evaluation.noise_statistics import LAGS, PlaneMeasurement, measure, shared_share

_MOVING_LIMIT = 0.005
_FEWEST_PIXELS = 256


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """One static series: real frames and synthetic ones.

    Attributes:
        name: of the series.
        real_name, synthetic_name: where the frames come from.
        frames: how many on each side.
        real, synthetic: measurements a plane.
        halves: measurements of halves of the real frames, the two of a split together.
        scores: every figure.
    """

    name: str
    real_name: str
    synthetic_name: str
    frames: int
    real: Sequence[PlaneMeasurement]
    synthetic: Sequence[PlaneMeasurement]
    halves: Sequence[tuple[Sequence[PlaneMeasurement], Sequence[PlaneMeasurement]]] = field(repr=False)
    scores: Sequence[Score] = field(repr=False)

    def of(self, figure: str, plane: str | None = None) -> list[Score]:
        """Return the scores of one figure."""
        return [s for s in self.scores if s.figure == figure and plane in (None, s.plane)]


def compare_stacks(
    real: FrameStack, synthetic: FrameStack, *, name: str = "frames", splits: int = 4, seed: int = 0
) -> GroupComparison:
    """Compare two stacks of one static scene each, on as many frames as the shorter one has.

    The null is measured as the comparison is, between random halves of the real frames. Halves have half the frames, so
    chance moves it further: by a factor of 2 for divergences and of 1.4 for the other figures. It is not corrected.

    Args:
        real, synthetic: of one size and CFA.
        name: of the series, in messages and reports.
        splits: how many different splits, if there are as many.
        seed: decides them.

    Raises:
        SampleError: a scene that moves, or that is saturated everywhere; says what to capture instead.
        UsageError: stacks of different sizes or CFAs.
    """
    if (real.dn.shape[1:], real.cfa) != (synthetic.dn.shape[1:], synthetic.cfa):
        raise UsageError(
            f"{name}: real frames are {_kind(real)}, synthetic ones {_kind(synthetic)}; compare one sensor with itself."
        )
    bins = plan_bins(real)
    count = min(len(real.dn), len(synthetic.dn))
    measured = measure(real, bins, range(count))
    _check_static(measured, real.name)
    made = measure(synthetic, bins, range(count))
    _check_static(made, synthetic.name)
    halves = [(measure(real, bins, a), measure(real, bins, b)) for a, b in random_halves(count, splits, seed)]
    values = dict(_differences(measured, made))
    nulls = [dict(_differences(a, b)) for a, b in halves]
    spreads = _spreads(nulls)
    scores = [Score(*key, value, _widest(key, nulls), spreads.get(_family(key))) for key, value in values.items()]
    return GroupComparison(name, real.name, synthetic.name, count, measured, made, halves, scores)


def random_halves(count: int, splits: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Split ``count`` frames into two halves in different ways; of an odd number one is left out.

    Raises:
        UsageError: fewer than four frames.

    >>> random_halves(4, 9, 0)
    [([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2])]
    """
    if count < FEWEST_FRAMES:
        raise UsageError(f"halves of {count} frames tell nothing; {FEWEST_FRAMES} are the least.")
    half = count // 2
    if count <= 7:
        firsts = [(0, *rest) for rest in combinations(range(1, 2 * half), half - 1)][:splits]
        return [([*first], [k for k in range(2 * half) if k not in first]) for first in firsts]
    rng, found = np.random.default_rng(seed), dict[tuple[int, ...], tuple[list[int], list[int]]]()
    while len(found) < splits:
        order = [int(k) for k in rng.permutation(count)]
        pair = sorted((sorted(order[:half]), sorted(order[half : 2 * half])))
        found[tuple(pair[0] + pair[1])] = (pair[0], pair[1])
    return list(found.values())


Key = tuple[str, str, str]


def _differences(
    first: Sequence[PlaneMeasurement], second: Sequence[PlaneMeasurement]
) -> Iterator[tuple[Key, float | None]]:
    for a, b in zip(first, second, strict=True):
        plane = a.bins.plane.name
        yield from ((key if len(key) == 3 else (*key, ""), value) for key, value in _plane_differences(plane, a, b))
    if len(first) == 4:
        for figure, pairs in (("shared_rows", ((0, 1), (2, 3))), ("shared_columns", ((0, 2), (1, 3)))):
            for k, m in pairs:
                ours, theirs = (_shared(side[k], side[m], figure) for side in (first, second))
                yield (figure, f"{first[k].bins.plane.name}+{first[m].bins.plane.name}", ""), theirs - ours


def _plane_differences(plane: str, a: PlaneMeasurement, b: PlaneMeasurement) -> Iterator[tuple[Any, float | None]]:
    pooled = divergence(
        a.histograms.sum(axis=0), b.histograms.sum(axis=0), cell_dn=a.bins.cell_dn, sigma_dn=a.sigma_dn
    )
    yield ("kl_forward", plane), pooled.forward
    yield ("kl_backward", plane), pooled.backward
    yield ("kl_symmetric", plane), pooled.symmetric
    errors: list[tuple[float, int]] = []
    for index, detail in enumerate(a.bins.names()):
        enough = min(a.pixels[index], b.pixels[index]) >= _FEWEST_PIXELS
        sides = [one.histograms[index] for one in (a, b)]
        found = divergence(*sides, cell_dn=a.bins.cell_dn, sigma_dn=float(a.bins.sigma_dn[index]))
        yield ("kl_by_intensity", plane, detail), found.symmetric if enough else None
        lit = enough and a.variance_dn2[index] > 0
        error = float(b.variance_dn2[index] / a.variance_dn2[index] - 1.0) if lit else None
        yield ("variance_error", plane, detail), error
        if error is not None:
            errors.append((error, int(a.pixels[index])))
    # One intensity alone may hold too few pixels to tell a small error of the gain; all of them together do not.
    yield ("variance_overall", plane), _weighted(errors)
    for figure in ("row_correlation", "column_correlation"):
        for lag, ours, theirs in zip(LAGS, getattr(a, figure), getattr(b, figure), strict=True):
            yield (figure, plane, f"lag {lag}"), float(theirs - ours)
    for figure in ("row_share", "column_share", "frame_share"):
        yield (figure, plane), getattr(b, figure) - getattr(a, figure)
    quantiles = [standard_quantiles(one.histograms, one.variance_dn2, cell_dn=one.bins.cell_dn) for one in (a, b)]
    for level, ours, theirs in zip(TAIL_LEVELS, *quantiles, strict=True):
        missing = ours is None or theirs is None
        yield ("tail_quantile", plane, f"{level:g}"), None if missing else theirs - ours
    yield ("mean_level", plane), (b.mean_dn - a.mean_dn) / max(a.sigma_dn, 1e-9)


def _weighted(errors: Sequence[tuple[float, int]]) -> float | None:
    pixels = sum(count for _, count in errors)
    return sum(error * count for error, count in errors) / pixels if pixels else None


def _shared(first: PlaneMeasurement, second: PlaneMeasurement, figure: str) -> float:
    if figure == "shared_rows":
        return shared_share(first.row_means, second.row_means)
    return shared_share(first.column_means, second.column_means)


def _widest(key: Key, nulls: Sequence[dict[Key, float | None]]) -> float | None:
    found = [abs(value) for null in nulls if (value := null.get(key)) is not None]
    return max(found, default=None)


def _family(key: Key) -> tuple[str, str]:
    """Which figures chance moves equally far: quantiles have each their own spread."""
    figure, _, detail = key
    return figure, detail if figure == "tail_quantile" else ""


def _spreads(nulls: Sequence[dict[Key, float | None]]) -> dict[tuple[str, str], float]:
    squares: dict[tuple[str, str], list[float]] = {}
    for null in nulls:
        for key, value in null.items():
            if value is not None:
                squares.setdefault(_family(key), []).append(value**2)
    return {family: float(np.mean(values)) ** 0.5 for family, values in squares.items()}


def _check_static(measured: Sequence[PlaneMeasurement], name: str) -> None:
    for one in measured:
        if one.moving_share > _MOVING_LIMIT:
            raise SampleError(
                f"{name}: the scene moves or the light flickers: in {one.moving_share:.1%} of plane "
                f"{one.bins.plane.name}'s blocks the mean varies over ten times as much as noise would. Capture a "
                "static scene: tripod, manual exposure, steady (DC) light, no autofocus or stabiliser."
            )


def _kind(stack: FrameStack) -> str:
    height, width = stack.dn.shape[1:]
    return f"{width}x{height} {stack.cfa or 'mono'}"
