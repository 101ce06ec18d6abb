"""Every frame is looked at once before anything is measured: what it says of itself, and whether it can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rawsynth.errors import InputAccessError, SampleError
from rawsynth.raw.frames import read_frame

Progress = Callable[[str, int, int], None]
"""Is told what is going on, how many frames are done and how many there are."""


@dataclass(frozen=True)
class FrameFacts:
    """One frame without its pixels.

    Attributes:
        height, width: of the mosaic.
        max_dn: its largest value.
        others: as in :class:`rawsynth.raw.frames.Frame`.
    """

    name: str
    height: int
    width: int
    max_dn: int
    cfa: str | None
    states_cfa: bool
    black_level: float | None
    white_level: int | None
    bits: int | None
    iso: float | None
    exposure_s: float | None


class Inspection:
    """Looks at frames and keeps what was found.

    Attributes:
        facts: of each frame that could be read, by URL.
        faults: what was wrong with the others, each a sentence that names the file.
    """

    def __init__(self, total: int, progress: Progress | None = None) -> None:
        self.facts: dict[str, FrameFacts] = {}
        self.faults: list[str] = []
        self._total, self._progress = total, progress

    def look(self, url: str) -> FrameFacts | None:
        """Read a frame and return what it says, or ``None`` if it cannot be read: it costs its pair, not the run."""
        try:
            frame = read_frame(url)
        except (SampleError, InputAccessError) as error:
            self.faults.append(str(error))
            return None
        finally:
            if self._progress is not None:
                self._progress("looking at frames", len(self.facts) + len(self.faults) + 1, self._total)
        height, width = frame.dn.shape
        self.facts[url] = facts = FrameFacts(
            url, height, width, int(frame.dn.max()), frame.cfa, frame.states_cfa,
            frame.black_level, frame.white_level, frame.bits, frame.iso, frame.exposure_s,
        )  # fmt: skip
        return facts
