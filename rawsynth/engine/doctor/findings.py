"""What an examination says: one finding a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it belongs to: ``versions``, ``codecs``, ``machine``, ``extras``, ``write test``, ``speed``.
        name: the thing itself.
        shown: what was found, in words.
        state: ``broken`` if something does not work, ``note`` if something could be better, else ``ok``.
        advice: what to install or to set; ``None`` if there is nothing to do.
        figures: the same as numbers and names, JSON-ready.
    """

    topic: str
    name: str
    shown: str
    state: State = "ok"
    advice: str | None = None
    figures: Any = None


@dataclass(frozen=True)
class Examination:
    """All findings, in the order in which they are told."""

    findings: tuple[Finding, ...]

    @property
    def broken(self) -> Sequence[Finding]:
        """What does not work."""
        return [finding for finding in self.findings if finding.state == "broken"]

    @property
    def exit_code(self) -> int:
        """0 if nothing is broken, else 1."""
        return int(bool(self.broken))

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {
            "fine": not self.broken,
            "findings": [asdict(finding) for finding in self.findings],
        }
