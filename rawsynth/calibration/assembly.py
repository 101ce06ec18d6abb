"""One set of captures at one ISO, put together from shots that were looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.inspection import FrameFacts, Progress
from rawsynth.calibration.listing import Shots
from rawsynth.calibration.sets import CaptureSet, Level, Shot
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.frames import read_frame

_SAME_EXPOSURE = 1e-3


@dataclass(frozen=True)
class Stated:
    """What the person at the keyboard says of frames that do not say it themselves.

    Attributes:
        iso: ISO speed.
        cfa: Bayer layout of the first 2x2 sites; ``None``: what files say, else monochrome.
        black_level, white_level: DN.
        bits: that a stored value may take.

    Raises:
        UsageError: no such layout, or numbers that cannot be.
    """

    iso: float | None = None
    cfa: str | None = None
    black_level: float | None = None
    white_level: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.cfa is not None:
            check_cfa(self.cfa)
        if self.iso is not None and not 0 < self.iso < float("inf"):
            raise UsageError(f"an ISO is a positive number; got {self.iso!r}.")
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UsageError(f"bits are 8 to 16; got {self.bits!r}.")
        black, white = self.black_level or 0, 65535 if self.white_level is None else self.white_level
        if not 0 <= black < white <= 65535:
            raise UsageError(f"levels need 0 <= black < white <= 65535; got black {black:g}, white {white}.")


class Loader:
    """Makes the frames of shots loadable, the same object for the same file, and tells of each that is read."""

    def __init__(self, total: int, progress: Progress | None = None) -> None:
        self._total, self._progress, self._done = total, progress, 0
        self._shots: dict[tuple[str, bool], Shot] = {}

    def frames(self, each: Shots, *, even: bool) -> tuple[Shot, ...]:
        """Return the frames of ``each``; ``even`` leaves out an odd last row or column.

        Such a row has sites of two of the four planes only.
        """
        return tuple(self._shots.setdefault((url, even), Shot(url, self._load(url, even))) for url in each.urls)

    def _load(self, url: str, even: bool) -> Callable[[], NDArray[np.uint16]]:
        def load() -> NDArray[np.uint16]:
            dn = read_frame(url).dn
            self._done = min(self._done + 1, self._total)
            if self._progress is not None:
                self._progress("measuring", self._done, self._total)
            return dn[: dn.shape[0] // 2 * 2, : dn.shape[1] // 2 * 2] if even else dn

        return load


def capture_set(
    name: str,
    shots: Sequence[Shots],
    facts: Mapping[str, FrameFacts],
    stated: Stated,
    loader: Loader,
    *,
    burst: bool = False,
    bits: int | None = None,
) -> CaptureSet:
    """Put a set together: flats beside the darks of their exposure time, series apart.

    Args:
        name: what messages call the set.
        shots: all of one ISO.
        facts: of their frames, by URL.
        stated: what the frames do not say themselves.
        loader: reads the frames when they are needed.
        burst: shots with light show one static scene.
        bits: that the source states.

    Raises:
        UsageError: the frames differ in size or colour filter, or contradict what was stated.
    """
    frames = [facts[url] for each in shots for url in each.urls]
    cfa = _common_cfa(frames, stated.cfa)
    _check_sizes(name, frames)
    bright = [each for each in shots if not each.dark and not each.static]
    dark = [each for each in shots if each.dark and not each.static]
    series = [each for each in shots if each.static]

    def frames_of(each: Shots | None) -> tuple[Shot, ...]:
        return () if each is None else loader.frames(each, even=cfa is not None)

    lit, unlit = (_largest([each for each in series if each.dark is dark_one]) for dark_one in (False, True))
    levels = tuple(
        Level(each.label, frames_of(each), frames_of(_dark_of(each, dark)), each.exposure_s, each.photons)
        for each in bright
    )
    # Where each level has darks of its own and none is a series, all of them together tell more than any one.
    own_darks = all(level.dark for level in levels) and len(dark) > 1 and len({len(each.urls) for each in dark}) == 1
    return CaptureSet(
        name,
        levels=levels,
        dark=() if levels and own_darks else frames_of(_largest(dark)),
        static_bright=() if burst else frames_of(lit),
        static_dark=frames_of(unlit),
        burst=frames_of(lit) if burst else (),
        iso=shots[0].iso,
        cfa=cfa,
        black_level=_black_level(frames, stated),
        white_level=stated.white_level or min((f.white_level for f in frames if f.white_level), default=None),
        bits=stated.bits or bits or max((f.bits for f in frames if f.bits), default=None),
    )


def _largest(candidates: Sequence[Shots]) -> Shots | None:
    """Return the series with the most frames, the shortest exposure among equals."""
    return min(candidates, key=lambda each: (-len(each.urls), each.exposure_s or 0.0), default=None)


def _dark_of(bright: Shots, darks: Sequence[Shots]) -> Shots | None:
    """Return the darks of the same exposure time."""
    wanted = bright.exposure_s
    for each in darks:
        if wanted is not None and each.exposure_s is not None:
            if abs(each.exposure_s - wanted) <= _SAME_EXPOSURE * wanted:
                return each
    return None


def _common_cfa(frames: Sequence[FrameFacts], stated: str | None) -> str | None:
    saying = [one for one in frames if one.states_cfa]
    for one in saying:
        if one.cfa != saying[0].cfa:
            raise UsageError(
                f"{one.name} is {one.cfa or 'monochrome'} and {saying[0].name} is {saying[0].cfa or 'monochrome'}: one "
                "set comes from one sensor in one crop mode; calibrate them apart."
            )
    if saying and stated is not None and stated != saying[0].cfa:
        raise UsageError(
            f"{saying[0].name} says that it is {saying[0].cfa or 'monochrome'}, not {stated}: leave out --cfa, which "
            "is for files that cannot say."
        )
    return saying[0].cfa if saying else stated


def _check_sizes(name: str, frames: Sequence[FrameFacts]) -> None:
    first = frames[0]
    for one in frames:
        if (one.height, one.width) != (first.height, first.width):
            raise UsageError(
                f"{name}: {one.name} is {one.width}x{one.height} and {first.name} is {first.width}x{first.height}; one "
                "set has frames of one size. Take all in one crop mode, or calibrate them apart."
            )


def _black_level(frames: Sequence[FrameFacts], stated: Stated) -> float | None:
    levels = [one.black_level for one in frames if one.black_level is not None]
    if stated.black_level is not None or not levels:
        return stated.black_level
    return float(np.mean(levels))
