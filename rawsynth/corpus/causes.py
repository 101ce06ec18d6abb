"""Why images were lost or left out: thousands of them as a few causes, each with its number and an example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# What differs from image to image in causes that are one: numbers, quoted bytes and names, paths.
_VARYING = re.compile(r"""b?'[^']*'|b?"[^"]*"|\S*/\S*|\d+(?:\.\d+)?""")
# Damage can take any form; beyond so many kinds they are only counted.
_MOST_KINDS = 100


@dataclass
class Cause:
    """One kind of cause: how many images it took, the key of the first of them, and its cause in words."""

    count: int
    cause: str
    key: str


@dataclass
class Causes:
    """Causes by kind; ``others`` counts what came when there were too many kinds.

    >>> causes = Causes()
    >>> causes.add([{"key": "a", "cause": "empty: 0 bytes"}, {"key": "b", "cause": "empty: 7 bytes"}])
    >>> causes.ranked()
    [Cause(count=2, cause='empty: 0 bytes', key='a')]
    """

    kinds: dict[str, Cause] = field(default_factory=dict)
    others: int = 0

    def add(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Count rows of a record: ``errors``, which have a ``cause``, or ``skips``, which have a ``reason``."""
        for row in rows:
            self._count(Cause(1, row.get("cause") or row.get("reason") or "unknown", row.get("key", "?")))

    def merge(self, other: Causes) -> None:
        """Count what another has counted."""
        for cause in other.kinds.values():
            self._count(cause)
        self.others += other.others

    def _count(self, cause: Cause) -> None:
        kind = kind_of(cause.cause)
        known = self.kinds.get(kind)
        if known is not None:
            known.count += cause.count
        elif len(self.kinds) < _MOST_KINDS:
            self.kinds[kind] = Cause(**vars(cause))
        else:
            self.others += cause.count

    def ranked(self) -> list[Cause]:
        """Return the kinds, the most frequent first."""
        return sorted(self.kinds.values(), key=lambda cause: -cause.count)

    def to_json(self) -> list[dict[str, Any]]:
        """Return ``{count, cause, key}`` of each kind, the most frequent first."""
        return [asdict(cause) for cause in self.ranked()]


def causes_of(rows: Iterable[Mapping[str, str]]) -> Causes:
    """Count the rows of one record."""
    causes = Causes()
    causes.add(rows)
    return causes


def kind_of(cause: str) -> str:
    """Return a cause without what differs from image to image."""
    return _VARYING.sub("#", cause)
