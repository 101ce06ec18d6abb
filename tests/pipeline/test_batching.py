"""batching: every view once, in order, in batches of one shape within the budget, whatever the timing."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.pipeline.batching import Batch, batch_size, batch_views
from rawsynth.pipeline.source_sample import LostSample
from rawsynth.pipeline.views import SkippedSample, View

Result = list[View] | LostSample | SkippedSample

SHAPES = st.tuples(st.sampled_from([2, 4, 6, 20]), st.sampled_from([2, 4, 30]))
KINDS = st.sampled_from([np.uint8, np.float32])
IMAGES = st.tuples(KINDS, SHAPES, st.integers(1, 3))
EVENTS = st.lists(st.one_of(IMAGES, st.sampled_from(["lost", "skipped"])), max_size=40)
BUDGETS = st.integers(1, 200)


def results(events: list[object]) -> list[Result]:
    """One result an event: an image's views, or a loss, or something left out; keys tell them all apart."""
    out: list[Result] = []
    for index, event in enumerate(events):
        if event == "lost":
            out.append(LostSample(f"k{index}", "decode", "broken"))
        elif event == "skipped":
            out.append(SkippedSample(f"k{index}", "too small"))
        else:
            dtype, (height, width), count = event  # type: ignore[misc]
            image = np.zeros((3, height, width), dtype)
            out.append([View(f"k{index}c{c}", image, image, {}, {}, None) for c in range(count)])
    return out


def views_in(items: list[Result]) -> list[View]:
    return [view for item in items if isinstance(item, list) for view in item]


def pixels(view: View) -> int:
    return int(view.image.shape[1] * view.image.shape[2])


@given(events=EVENTS, budget=BUDGETS)
def test_everything_comes_out_once_and_in_order(events: list[object], budget: int) -> None:
    items = results(events)
    batches = list(batch_views(items, budget))
    wanted: dict[object, list[str]] = {}
    for view in views_in(items):
        wanted.setdefault((view.image.dtype, view.image.shape), []).append(view.key)
    came: dict[object, list[str]] = {}
    for batch in batches:
        for view in batch.views:
            came.setdefault((view.image.dtype, view.image.shape), []).append(view.key)
    assert came == wanted
    assert [lost for batch in batches for lost in batch.lost] == [i for i in items if isinstance(i, LostSample)]
    assert [s for batch in batches for s in batch.skipped] == [i for i in items if isinstance(i, SkippedSample)]
    assert sum(batch.sources for batch in batches) == len(items)


@given(events=EVENTS, budget=BUDGETS)
def test_a_batch_has_one_shape_and_keeps_the_budget(events: list[object], budget: int) -> None:
    for batch in batch_views(results(events), budget):
        assert len({(view.image.dtype, view.image.shape) for view in batch.views}) <= 1
        assert len(batch.views) <= 1 or sum(map(pixels, batch.views)) <= budget


@given(events=EVENTS, budget=BUDGETS)
def test_no_batch_is_smaller_than_need_be(events: list[object], budget: int) -> None:
    """A shape's batches are full but for the last, unless too much else was waiting."""
    items = results(events)
    if sum(map(pixels, views_in(items))) > 4 * budget:
        return
    by_shape: dict[object, list[Batch]] = {}
    for batch in batch_views(items, budget):
        if batch.views:
            by_shape.setdefault((batch.views[0].image.dtype, batch.views[0].image.shape), []).append(batch)
    for batches in by_shape.values():
        height, width = batches[0].views[0].image.shape[1:]
        assert all(len(batch.views) == batch_size(height, width, budget) for batch in batches[:-1])


@given(events=EVENTS, budget=st.integers(1200, 3000))
def test_what_waits_is_bounded(events: list[object], budget: int) -> None:
    """However many sizes come in; the largest image here is 600 pixels."""
    taken = given_out = most = 0

    def watched() -> Iterator[Result]:
        nonlocal taken, most
        for item in results(events * 5):
            taken += sum(map(pixels, views_in([item])))
            most = max(most, taken - given_out)
            yield item

    for batch in batch_views(watched(), budget):
        given_out += sum(map(pixels, batch.views))
    assert most <= 5 * budget + 3 * 600
    assert given_out == taken


@given(events=EVENTS, budget=BUDGETS)
def test_batches_depend_on_the_results_only(events: list[object], budget: int) -> None:
    first, second = ([[v.key for v in b.views] for b in batch_views(results(events), budget)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("height", "width", "budget", "size"),
    [(10, 10, 1000, 10), (10, 10, 999, 9), (10, 10, 100, 1), (10, 10, 99, 1), (504, 504, 4_000_000, 15)],
)
def test_batch_size(height: int, width: int, budget: int, size: int) -> None:
    assert batch_size(height, width, budget) == size


def test_losses_without_any_view_are_reported() -> None:
    (batch,) = batch_views(results(["lost", "skipped", "lost"]), 100)
    assert (len(batch.views), len(batch.lost), len(batch.skipped), batch.sources) == (0, 2, 1, 3)


def test_nothing_makes_no_batch() -> None:
    assert list(batch_views([], 100)) == []
