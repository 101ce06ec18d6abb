"""How a bench goes on, for a terminal: a bar for each pass over a set, and lines between."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from rawsynth.cli.printable import printable
from rawsynth.evaluation.bench.run import BenchObserver


class BenchBar(BenchObserver):
    """Bars on standard error.

    Args:
        shown: whether anyone looks.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, words: str, total: int) -> None:
        """Begin a bar."""
        self._close()
        if self._shown:
            self._bar = tqdm(total=total, unit="pair", desc=printable(words), file=sys.stderr, leave=False)

    def advance(self, done: int) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.update(done)

    def tell(self, message: str) -> None:
        """Print a line over the bar."""
        if self._shown:
            tqdm.write(printable(message), file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
