"""What a method costs: memory that it holds during a call is seen, and freed memory of another is not."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rawsynth.evaluation.bench.cost import describe_device, measure_costs
from rawsynth.evaluation.bench.entries import Conditions, Entry, build_entries
from rawsynth.evaluation.running import MethodRunner
from rawsynth.methods.srgb_linear import SrgbLinear
from rawsynth.pairs import Pair
from rawsynth.transforms import ReverseISP

HELD_MB = 160


class Hungry(SrgbLinear):
    """Holds much memory while it runs."""

    name = "hungry"
    calls = 0

    def forward(self, srgb: Any, tensors: Any) -> Any:
        self.calls += 1
        held = torch.ones(HELD_MB * 250_000)
        return super().forward(srgb, tensors) * held[0]


def hungry_entry() -> tuple[Hungry, Entry]:
    method = Hungry()
    to_raw = ReverseISP(method, seed=0)
    runner = MethodRunner(to_raw, device=torch.device("cpu"), dtype=torch.float32, known_color=True)
    return method, Entry("hungry", runner, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process held at its peak")
def test_memory_is_that_of_the_call(make_pair: Callable[..., Pair]) -> None:
    method, hungry = hungry_entry()
    (modest,), _ = build_entries(["srgb_linear"], Conditions())
    costs = measure_costs([hungry, modest], make_pair(0), rounds=3)
    if costs["hungry"].memory_mb is None:
        pytest.skip("the peak of this process cannot be counted anew")
    assert 0.9 * HELD_MB < costs["hungry"].memory_mb < 2 * HELD_MB
    assert costs["srgb_linear"].memory_mb < 0.5 * HELD_MB
    assert method.calls == 1 + 1 + 3


def test_the_oracle_is_not_timed(make_pair: Callable[..., Pair]) -> None:
    entries, _ = build_entries(["oracle", "unprocess"], Conditions())
    assert set(measure_costs(entries, make_pair(0), rounds=1)) == {"unprocess"}
    assert measure_costs([], make_pair(0), rounds=1) == {}


def test_the_device_is_named() -> None:
    said = describe_device(torch.device("cpu"))
    assert said["device"] == "cpu" and said["device_name"] and said["threads"] == torch.get_num_threads()
