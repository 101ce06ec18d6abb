"""How fast a corpus grows, from when its recent shards were worked on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WINDOW_S = 900.0
_WINDOW_SHARDS = 20
_WINDOW_LONGEST = 3
# Starting workers and loading a network leave short gaps between shards; longer ones are nights between runs.
_GAP_S = 60.0
_IDLE_S = 600.0
_IDLE_SHARDS = 3


@dataclass(frozen=True, slots=True)
class Span:
    """A finished shard: when it was worked on, in seconds since 1970, and what came of it.

    Attributes:
        started, seconds: as its host's clock said.
        samples, bytes: written.
        work: how much there was to do, in the unit of what is left.
    """

    started: float
    seconds: float
    samples: int = 0
    bytes: int = 0
    work: float = 0.0

    @property
    def ended(self) -> float:
        """When it was done."""
        return self.started + self.seconds


@dataclass(frozen=True)
class Pace:
    """Rates over the shards that were finished last, however many workers made them.

    Attributes:
        samples_per_second, bytes_per_second: written.
        work_per_second: see :class:`Span`.
        shards: that the rates are taken over.
        seconds: in which some worker was at work on them.
        longest: seconds that one of them took at most.
        last: when the last one was finished.
    """

    samples_per_second: float
    bytes_per_second: float
    work_per_second: float
    shards: int
    seconds: float
    longest: float
    last: float

    def is_idle(self, now: float) -> bool:
        """Whether nothing was finished for so long that no run seems to be going on."""
        return now - self.last > max(_IDLE_S, _IDLE_SHARDS * self.longest)


def measure_pace(spans: Sequence[Span]) -> Pace | None:
    """Measure the pace of the time before the last shard: the longest of a quarter of an hour, what the last 20 shards
    took, and thrice the longest of them, since workers that began together finish together.

    What was finished in a window is divided by the time in it during which anybody was at work, so that workers and
    hosts that overlap add up, and a night between two runs does not count. What is under way is not recorded yet; in
    its place, shards count that were begun before the window and finished in it.

    Returns:
        ``None`` where nothing is finished, or took no time that could be measured.
    """
    ordered = sorted(spans, key=lambda span: span.ended)
    if not ordered:
        return None
    last = ordered[-1].ended
    enough = ordered[-_WINDOW_SHARDS - 1].ended if len(ordered) > _WINDOW_SHARDS else ordered[0].started
    longest = max(span.seconds for span in ordered[-_WINDOW_SHARDS:])
    since = min(last - _WINDOW_S, last - _WINDOW_LONGEST * longest, enough)
    recent = [span for span in ordered if span.ended > since]
    seconds = covered((max(span.started, since), span.ended) for span in recent)
    if not seconds > 0:
        return None
    return Pace(
        samples_per_second=sum(span.samples for span in recent) / seconds,
        bytes_per_second=sum(span.bytes for span in recent) / seconds,
        work_per_second=sum(span.work for span in recent) / seconds,
        shards=len(recent),
        seconds=seconds,
        longest=longest,
        last=last,
    )


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the time that intervals cover together; gaps of up to a minute between them count too.

    >>> covered([(0, 100), (50, 150), (1000, 1100)])
    250.0
    """
    total, end = 0.0, None
    for start, stop in sorted(intervals):
        if end is None or start - end > _GAP_S:
            total += stop - start
            end = stop
        elif stop > end:
            total += stop - end
            end = stop
    return total
