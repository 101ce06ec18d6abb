"""The examination as a whole: look, try, and say."""

from __future__ import annotations

from collections.abc import Iterator

from rawsynth.engine.doctor.findings import Examination, Finding
from rawsynth.engine.doctor.gpus import usable_device
from rawsynth.engine.doctor.machine import machine
from rawsynth.engine.doctor.software import codecs, extras, versions
from rawsynth.engine.doctor.trials import speeds, write_test


def examine(*, write_to: str | None = None, seconds: float = 1.0) -> Examination:
    """Examine this installation and this machine.

    Args:
        write_to: folder or URL that a corpus shall go to; a small file is written there, read and removed.
        seconds: how long each method is timed; 0: no method is.
    """
    return Examination(tuple(_findings(write_to, seconds)))


def _findings(write_to: str | None, seconds: float) -> Iterator[Finding]:
    yield from versions()
    yield from codecs()
    found = list(machine())
    yield from found
    yield from extras()
    if write_to is not None:
        yield from write_test(write_to)
    if seconds:
        yield from speeds(seconds, device=usable_device(found))
