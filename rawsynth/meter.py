"""How far a work has come, on standard error: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from rawsynth.counting import counted

# Seconds between two lines of a log: few at first, and not many of a work of days.
SHORTEST_S, LONGEST_S, SHARE = 30.0, 600.0, 0.1
_SHORT = {"image": "img"}


class Meter:
    """Progress that suits who reads it: a person at a terminal, or a log.

    A log gets a line at the start, where the total is known, and one at the end if anything was done; between them one
    every 30 seconds, later one every tenth of the time that has passed, and one every ten minutes at least. No carriage
    returns, no escape codes.

    A context manager: leaving it ends it.

    Args:
        unit: one of what is counted: ``"image"``, ``"part"``; ``"B"`` for bytes.
        total: how many there are; ``None`` if that is not known, or not yet.
        name: what a line in a log begins with.
        done: how many are done before it begins.
        words: what the work is, if not the only one.
        shown: whether to say anything at all.
        lasting: whether its end is worth a line, or a bar that stays.
        clock: seconds.
    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        name: str,
        done: int = 0,
        words: str = "",
        shown: bool = True,
        lasting: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unit, self._total, self._done, self._first = unit, total, done, done
        self._name, self._words, self._lasting, self._clock = name, words, lasting, clock
        self._figures: dict[str, Any] = {}
        self._bar: Any = None
        # There is none where it was closed.
        shown = shown and sys.stderr is not None
        self._logs = shown and not sys.stderr.isatty()
        self._began = self._said = clock()
        self._waits = shown and not self._logs
        if total is not None:
            self._show()
            if self._logs:
                self._say()

    def _show(self) -> None:
        """Draw the bar, if it is not there: work that fails before it has anything to count leaves none behind."""
        if self._waits:
            self._waits = False
            self._bar = tqdm(
                total=self._total, initial=self._first, unit=_SHORT.get(self._unit, self._unit), leave=self._lasting,
                unit_scale=self._unit == "B", desc=self._words or None, dynamic_ncols=True, mininterval=0.2,
                file=sys.stderr,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, count: int = 1) -> None:
        """Count some more as done."""
        self._done += count
        self._show()
        if self._bar is not None:
            self._bar.update(count)
        self._say_if_due()

    def move_to(self, done: int, total: int | None) -> None:
        """Say how many are done of how many; both may change at will."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
        self.advance(done - self._done)

    def begin(self, words: str, total: int | None) -> None:
        """Begin another part of the work, which counts from 0; the same words again change nothing."""
        if words == self._words:
            return
        self._words, self._total, self._done, self._first, self._began = words, total, 0, 0, self._clock()
        self._show()
        if self._bar is not None:
            self._bar.reset(total)
            self._bar.set_description(words, refresh=False)
        elif self._logs and total is not None:
            self._say()

    def note(self, **figures: Any) -> None:
        """Show figures beside the count."""
        self._figures = figures
        if self._bar is not None:
            self._bar.set_postfix(figures, refresh=False)
        self._say_if_due()

    def close(self) -> None:
        """End it, with a last line."""
        if self._bar is not None:
            self._bar.close()
        elif self._logs and self._lasting and self._done > self._first:
            self._say()
        self._bar, self._logs, self._waits = None, False, False

    def _say_if_due(self) -> None:
        now = self._clock()
        if self._logs and now - self._said >= min(LONGEST_S, max(SHORTEST_S, SHARE * (now - self._began))):
            self._say()

    def _say(self) -> None:
        self._said = self._clock()
        say(f"{self._name}: {self._line(self._said - self._began)}")

    def _line(self, seconds: float) -> str:
        new, total = self._done - self._first, self._total
        words = [f"{self._words}: " if self._words else "", self._counted(self._done, total)]
        if total and self._done:
            # Rounded down: 100% is said of what is finished only.
            words.append(f" ({100 * self._done // total}%)")
        if new > 0:
            words.append(f" in {_duration(seconds)}")
        if new > 0 and total and self._done < total:
            words.append(f", {_duration(seconds * (total - self._done) / new)} left")
        words += [f", {name} {value}" for name, value in self._figures.items()]
        return "".join(words)

    def _counted(self, done: int, total: int | None) -> str:
        if self._unit == "B":
            return f"{done / 1e6:,.1f}" + (f" of {total / 1e6:,.1f}" if total else "") + " MB"
        return (f"{done:,} of " if total else "") + counted(total or done, self._unit, grouped=True)


def say(message: str) -> None:
    """Print a line on standard error, over any bar that is there; nothing where it was closed."""
    if sys.stderr is None:
        return
    tqdm.write(message, file=sys.stderr)
    sys.stderr.flush()


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
