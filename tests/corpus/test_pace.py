"""pace: rates over what was finished last, by any number of workers."""

import random

import pytest

from rawsynth.corpus.pace import Span, covered, measure_pace


def workers(count: int, shards: int, *, seconds: float = 100.0, start: float = 0.0) -> list[Span]:
    """Workers that begin one after the other and make shards of ten samples without a pause."""
    spans = []
    for worker in range(count):
        begin = start + worker * seconds / count
        spans += [Span(begin + k * seconds, seconds, samples=10, bytes=1000, work=1.0) for k in range(shards)]
    random.Random(0).shuffle(spans)
    return spans


@pytest.mark.parametrize("count", [1, 2, 8, 100])
def test_workers_add_up(count: int) -> None:
    pace = measure_pace(workers(count, 40))
    assert pace is not None
    assert pace.samples_per_second == pytest.approx(count * 10 / 100, rel=0.1)
    assert pace.bytes_per_second == pytest.approx(100 * pace.samples_per_second)
    assert pace.work_per_second == pytest.approx(pace.samples_per_second / 10)


@pytest.mark.parametrize("seconds", [10.0, 800.0, 990.0, 7200.0])
def test_workers_that_began_together_finish_together(seconds: float) -> None:
    pace = measure_pace([Span(k * seconds, seconds, samples=10) for k in range(30) for _ in range(50)])
    assert pace is not None and pace.samples_per_second == pytest.approx(50 * 10 / seconds, rel=0.34)


def test_a_night_between_two_runs_does_not_count() -> None:
    pace = measure_pace(workers(1, 15) + workers(1, 5, start=50_000))
    assert pace is not None and pace.samples_per_second == pytest.approx(0.1)
    assert (pace.shards, pace.seconds, pace.last) == (20, 2000, 50_500)


def test_only_the_last_shards_count() -> None:
    slow = [Span(k * 1000.0, 1000.0, samples=10) for k in range(30)]
    fast = [Span(30_000 + k * 10.0, 10.0, samples=10) for k in range(200)]
    pace = measure_pace(slow + fast)
    assert pace is not None and pace.samples_per_second == pytest.approx(1.0)


def test_long_shards_are_taken_twenty_at_a_time() -> None:
    pace = measure_pace([Span(k * 7200.0, 7200.0, samples=72) for k in range(50)])
    assert pace is not None and (pace.shards, pace.samples_per_second) == (20, pytest.approx(0.01))


@pytest.mark.parametrize("spans", [[], [Span(5.0, 0.0, samples=3)]])
def test_nothing_to_measure(spans: list[Span]) -> None:
    assert measure_pace(spans) is None


def test_idle_is_relative_to_the_longest_shard() -> None:
    pace = measure_pace([Span(0.0, 1000.0, samples=1)])
    assert pace is not None
    assert not pace.is_idle(3900) and pace.is_idle(4100)


def test_short_gaps_are_covered_and_long_ones_are_not() -> None:
    assert covered([(0, 10), (30, 40)]) == 40
    assert covered([(0, 10), (100, 110)]) == 20
    assert covered([(0, 100), (10, 20), (30, 40)]) == 100
    assert covered([]) == 0
