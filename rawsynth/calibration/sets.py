"""What a calibration is made from: frames of flat fields, darks or a burst of a static scene, at one ISO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import SampleError, UsageError
from rawsynth.raw.cfa import check_cfa, plane_names

MONO = "mono"
"""Name of the one plane of a sensor without a colour filter."""

_LEAST_SIDE = 32


@dataclass(frozen=True)
class Shot:
    """One frame, which is read when it is needed.

    Attributes:
        name: what messages call it: its URL.
        load: returns the frame, ``(H, W)`` uint8 or uint16 DN, whole sensor rows in sensor orientation.
    """

    name: str
    load: Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Level:
    """One light level of a set of flat fields.

    Attributes:
        name: what messages call it, e.g. ``"1/60 s"``.
        bright: two or more frames of it, with nothing changed between them; successive ones are subtracted.
        dark: two or more frames of the same exposure time without light; empty where the set's ``dark`` serve.
        exposure_s: exposure time.
        photons: mean photons a pixel, or any number in proportion to the light, where it was measured.
    """

    name: str
    bright: tuple[Shot, ...]
    dark: tuple[Shot, ...] = ()
    exposure_s: float | None = None
    photons: float | None = None


@dataclass(frozen=True)
class CaptureSet:
    """All frames of one sensor at one ISO.

    Attributes:
        name: what messages call it: its folder or descriptor.
        levels: flat fields; empty for a burst.
        dark: dark frames of one (short) exposure time; many of them measure rows, columns and the tails.
        static_bright, static_dark: series of one bright and one dark level; ``static_dark`` are used as ``dark`` are.
        burst: frames of one static scene, instead of levels.
        iso: the setting; ``None`` where nothing says so.
        cfa: Bayer layout of the first 2x2 sites, ``None`` for a sensor without a colour filter.
        black_level: DN, where it is known; only a burst or flats without darks need it.
        white_level: DN at which values are clipped; from ``bits`` where it is not known.
        bits: of a stored value.

    Raises:
        UsageError: no layout of that name.
    """

    name: str
    levels: tuple[Level, ...] = ()
    dark: tuple[Shot, ...] = ()
    static_bright: tuple[Shot, ...] = ()
    static_dark: tuple[Shot, ...] = ()
    burst: tuple[Shot, ...] = ()
    iso: float | None = None
    cfa: str | None = None
    black_level: float | None = None
    white_level: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.cfa is not None:
            check_cfa(self.cfa)

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes in reading order; one, ``"mono"``, without a colour filter."""
        return (MONO,) if self.cfa is None else plane_names(self.cfa)

    @property
    def clip_dn(self) -> int | None:
        """The value that a saturated pixel has, where levels or bits say so."""
        return self.white_level if self.white_level is not None or self.bits is None else (1 << self.bits) - 1

    def plane_views(self, frame: NDArray[Any]) -> list[NDArray[Any]]:
        """Split ``(H, W)`` into its planes; views, nothing is copied."""
        if self.cfa is None:
            return [frame]
        return [frame[k // 2 :: 2, k % 2 :: 2] for k in range(4)]


class FrameReader:
    """Reads the frames of one set, and sees that all of them are alike.

    Raises:
        SampleError: on reading a frame that is not ``(H, W)`` of whole numbers, that is tiny, or of another size than
            the first one.
    """

    def __init__(self, captures: CaptureSet) -> None:
        self._captures = captures
        self._first: tuple[str, tuple[int, ...]] | None = None

    def read(self, shot: Shot) -> NDArray[Any]:
        """Return one frame, ``(H, W)`` unsigned DN."""
        frame = np.asarray(shot.load())
        if frame.ndim != 2 or frame.dtype not in (np.uint8, np.uint16):
            raise SampleError(
                f"{shot.name}: a frame is (height, width) of uint8 or uint16; got {frame.shape} of {frame.dtype}. "
                "Give the sensor's own values, not a developed picture."
            )
        if self._captures.cfa is not None:
            # Whole 2x2 tiles only; a sensor's last odd row or column measures nothing that the others do not.
            frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
        if min(frame.shape) < _LEAST_SIDE:
            raise SampleError(
                f"{shot.name}: {frame.shape[0]}x{frame.shape[1]} is too small to measure noise on; "
                f"give frames of {_LEAST_SIDE}x{_LEAST_SIDE} or more."
            )
        name, shape = self._first = self._first or (shot.name, frame.shape)
        if frame.shape != shape:
            raise SampleError(
                f"{shot.name} is {frame.shape[0]}x{frame.shape[1]} and {name} is {shape[0]}x{shape[1]}: one set has "
                "frames of one size. Capture all with the same crop mode, or calibrate them apart."
            )
        return frame

    def pairs(self, shots: tuple[Shot, ...], what: str) -> Iterator[tuple[Shot, Shot, NDArray[Any], NDArray[Any]]]:
        """Yield each two successive frames; two frames are in memory at a time.

        Raises:
            UsageError: fewer than two.
        """
        if len(shots) < 2:
            raise UsageError(f"{what}: noise is what two frames differ in, so it takes two or more; got {len(shots)}.")
        before = self.read(shots[0])
        for first, second in zip(shots, shots[1:], strict=False):
            after = self.read(second)
            yield first, second, before, after
            before = after
