"""How a bench goes on: a meter for each pass over a set, and lines between."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rawsynth.cli.printable import printable
from rawsynth.evaluation.bench.run import BenchObserver
from rawsynth.meter import Meter, say


class BenchBar(BenchObserver):
    """Meters on standard error.

    Args:
        shown: whether to say anything.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._meter: Meter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, words: str, total: int) -> None:
        """Begin a pass."""
        self._close()
        if self._shown:
            self._meter = Meter("pair", total, name="rawsynth bench", words=printable(words), lasting=False)

    def advance(self, done: int) -> None:
        """Move it."""
        if self._meter is not None:
            self._meter.advance(done)

    def tell(self, message: str) -> None:
        """Print a line over the bar."""
        if self._shown:
            say(printable(message))

    def _close(self) -> None:
        if self._meter is not None:
            self._meter.close()
        self._meter = None
