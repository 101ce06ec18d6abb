"""stages: every second counts once, from any thread; a GPU's laps are read only after its results are back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rawsynth.pipeline import stages
from rawsynth.pipeline.stages import STAGES, GpuLaps, MakerWaits, StageClock, device_laps


class HandClock:
    """``time.perf_counter`` that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr(stages, "time", clock)
    return clock


def spent(clock: StageClock) -> dict[str, float]:
    return {stage: seconds for stage, seconds in clock.seconds().items() if seconds}


def test_a_clock_knows_every_stage_from_the_start() -> None:
    assert StageClock().seconds() == dict.fromkeys(STAGES, 0.0)


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(KeyError):
        StageClock().add("lunch", 1.0)


def test_threads_add_to_one_clock() -> None:
    clock = StageClock()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: clock.add("decode", 0.5), range(400)))
    assert spent(clock) == {"decode": 200.0}


def test_a_body_that_raises_took_its_time_too(hand: HandClock) -> None:
    clock = StageClock()
    with pytest.raises(ValueError), clock.measure("read"):
        hand.now += 2
        raise ValueError
    assert spent(clock) == {"read": 2.0}


def test_getting_items_counts_and_using_them_does_not(hand: HandClock) -> None:
    clock = StageClock()

    def items() -> object:
        for value in range(3):
            hand.now += 1
            yield value
        hand.now += 4

    got = []
    for item in clock.measure_items("read", items()):  # type: ignore[arg-type, var-annotated]
        got.append(item)
        hand.now += 50
    assert got == [0, 1, 2] and spent(clock) == {"read": 7.0}


def test_laps_of_a_cpu(hand: HandClock) -> None:
    clock = StageClock()
    laps = device_laps(torch.device("cpu"), clock)
    for stage, seconds in (("to_device", 1), ("method", 2), ("noise", 3), ("from_device", 4)):
        hand.now += seconds
        laps.lap(stage)
    laps.finish()
    assert spent(clock) == {"to_device": 1, "method": 2, "noise": 3, "from_device": 4}


class Event:
    """What a GPU's queue passes; its time is known only once it was waited for."""

    passed = 0.0
    log: list[str] = []

    def __init__(self) -> None:
        self.at = Event.passed
        Event.log.append("mark")

    def synchronize(self) -> None:
        Event.log.append("wait")

    def elapsed_time(self, end: "Event") -> float:
        Event.log.append("read")
        return 1000 * (end.at - self.at)


def test_laps_of_a_gpu_wait_for_nothing_until_the_end() -> None:
    clock, Event.passed, Event.log = StageClock(), 0.0, []
    laps = GpuLaps(clock, Event)
    for stage, seconds in (("to_device", 1), ("method", 2), ("noise", 3), ("from_device", 4)):
        Event.passed += seconds
        laps.lap(stage)
    assert Event.log == ["mark"] * 5 and not spent(clock)
    laps.finish()
    assert Event.log[5:] == ["wait"] + ["read"] * 4
    assert spent(clock) == {"to_device": 1, "method": 2, "noise": 3, "from_device": 4}


@pytest.mark.parametrize(
    ("ready", "begun", "starved", "blocked"),
    [
        (107, 107, 7, 0),  # the batch came late, and was taken at once
        (95, 106, 0, 6),  # it was there before this thread was free
        (104, 109, 4, 5),  # late, and then left lying
        (100, 100, 0, 0),
    ],
)
def test_what_a_making_thread_waited_for(
    hand: HandClock, ready: float, begun: float, starved: float, blocked: float
) -> None:
    clock = StageClock()
    waits = MakerWaits(clock)
    hand.now = begun
    with waits.working(ready):
        hand.now += 1000
    wanted = {"wait_input": starved, "wait_output": blocked}
    assert spent(clock) == {name: seconds for name, seconds in wanted.items() if seconds}
    with waits.working(ready):
        # It comes straight from its work.
        pass
    assert spent(clock) == {name: seconds for name, seconds in wanted.items() if seconds}


def test_each_making_thread_waits_for_itself(hand: HandClock) -> None:
    clock = StageClock()
    waits = MakerWaits(clock)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        def work(ready: float) -> None:
            with waits.working(ready):
                hand.now += 10

        one.submit(work, 100).result()
        other.submit(work, 100).result()
        one.submit(work, 120).result()
    # The second had its batch at 100 and began at 110; the first was free at 110, the next batch came at 120.
    assert spent(clock) == {"wait_output": 10, "wait_input": 10}
