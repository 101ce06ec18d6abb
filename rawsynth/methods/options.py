"""Options of networks: numbers of things, refused in one way."""

from __future__ import annotations

from rawsynth.errors import UsageError


def check_counts(method: str, **counts: int) -> None:
    """Raise UsageError unless every option of a method's network is a positive integer."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{method}: {name} is a positive integer; got {count!r}.")
