"""Batches of equal size and type under a pixel budget, composed by the order of the inputs and by nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rawsynth.pipeline.source_sample import LostSample
from rawsynth.pipeline.views import SkippedSample, View

# How many budgets of pixels may wait in batches that are not full, while images of many sizes come in.
_PENDING_BUDGETS = 4


@dataclass
class Batch:
    """Views of one shape and dtype, with what was lost or left out since the batch before.

    ``ready`` is the ``time.perf_counter()`` at which it was complete.
    """

    views: list[View] = field(default_factory=list)
    lost: list[LostSample] = field(default_factory=list)
    skipped: list[SkippedSample] = field(default_factory=list)
    sources: int = 0
    ready: float = 0.0


def batch_size(height: int, width: int, budget: int) -> int:
    """How many images of a size fit a budget of pixels; at least one."""
    return max(1, budget // (height * width))


def batch_views(
    results: Iterable[list[View] | LostSample | SkippedSample], budget: int
) -> Iterator[Batch]:
    """Group views into batches; a batch goes out when it is full, the oldest when too much waits, all at the end."""
    groups: dict[tuple[object, ...], list[View]] = {}
    news = Batch()

    def send(views: list[View]) -> Batch:
        nonlocal news
        batch, news = news, Batch()
        batch.views, batch.ready = views, time.perf_counter()
        return batch

    for result in results:
        news.sources += 1
        if isinstance(result, LostSample):
            news.lost.append(result)
            continue
        if isinstance(result, SkippedSample):
            news.skipped.append(result)
            continue
        for view in result:
            # Pictures have three planes and camera RAW has four, so they never share a batch.
            shape = (view.image.dtype, *view.image.shape)
            group = groups.setdefault(shape, [])
            group.append(view)
            if len(group) == batch_size(view.pixels, 1, budget):
                yield send(groups.pop(shape))
            elif sum(len(g) * g[0].pixels for g in groups.values()) > _PENDING_BUDGETS * budget:
                yield send(groups.pop(next(iter(groups))))
    for group in groups.values():
        yield send(group)
    if news.sources:
        yield send([])
