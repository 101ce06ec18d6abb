"""Sets for the bench."""

from collections.abc import Callable
from typing import Any

import pytest

from rawsynth.evaluation.bench.sets import BenchSet
from rawsynth.pairs import Pair


@pytest.fixture
def bench_set(make_pair: Callable[..., Pair], pair_set: Callable[..., Any]) -> Callable[..., BenchSet]:
    """``bench_set(extra...)``: six pairs of three scenes, of rising difficulty; exceptions are pairs that are lost."""

    def make(*extra: Exception, name: str = "memory", factor: float = 0.1) -> BenchSet:
        made = [make_pair(i, change=lambda raw, i=i: raw * (1 - factor * i)) for i in range(6)]
        return BenchSet(name, "pairs made in memory", pair_set([*made, *extra]))

    return make
