"""Frames of one static scene at one setting, checked, and kept on disk so that any part of all of them can be read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.raw.cfa import check_cfa, plane_names
from rawsynth.raw.frames import FRAME_SUFFIXES, Frame, read_frame

_WILDCARDS = "*?["
FEWEST_FRAMES = 4
"""Two halves of two frames each are the least that a real/real null can be made of."""

_SMALLEST_SIDE = 32
_BAND_VALUES = 1 << 22


@dataclass(frozen=True)
class Plane:
    """One plane of a stack: every pixel of a monochrome sensor, or the sites of one of the four CFA positions."""

    name: str
    row: int
    column: int
    step: int


@dataclass(frozen=True, eq=False)
class FrameStack:
    """Frames of one static scene at one setting.

    Attributes:
        name: what messages and reports call it.
        frames: the files' names.
        dn: ``(n, H, W)`` uint16 DN, a memory map of a temporary file that goes with this object; H and W are even.
        cfa: colours of the first 2x2 sites, or ``None`` for a monochrome sensor.
        black_level, white_level: in DN, where the files say.
        iso: where the files say.
    """

    name: str
    frames: tuple[str, ...]
    dn: NDArray[np.uint16] = field(repr=False)
    cfa: str | None = None
    black_level: float | None = None
    white_level: int | None = None
    iso: float | None = None

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes in reading order."""
        if self.cfa is None:
            return (Plane("mono", 0, 0, 1),)
        return tuple(Plane(name, k // 2, k % 2, 2) for k, name in enumerate(plane_names(self.cfa)))

    def plane_values(self, plane: Plane) -> NDArray[np.uint16]:
        """Return a view ``(n, h, w)`` of one plane in DN."""
        return self.dn[:, plane.row :: plane.step, plane.column :: plane.step]

    def bands(self, plane: Plane, every: int = 1) -> Iterable[slice]:
        """Cut a plane's rows, or every so many of them, into bands whose frames together fit into memory easily."""
        height, width = self.plane_values(plane)[:, ::every].shape[1:]
        rows = max(_SMALLEST_SIDE // 2, _BAND_VALUES // (len(self.dn) * width))
        return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def read_stack(
    source: str, *, cfa: str | None = None, white_level: int | None = None, limit: int | None = None
) -> FrameStack:
    """Read frames of one static scene at one setting.

    Args:
        source: folder, or pattern with ``*``, ``?`` or ``[...]``, or URL of either.
        cfa: layout of files that do not say; without it they are taken for a monochrome sensor's.
        white_level: DN at which pixels saturate, where the files do not say or are wrong.
        limit: take this many frames at most, the first ones by name.

    Raises:
        SampleError: too few frames, or frames that are not of one scene at one setting; says what to capture instead.
        InputAccessError: they are not there, or cannot be reached.
    """
    urls = frame_urls(source)[:limit]
    if len(urls) < FEWEST_FRAMES:
        raise SampleError(
            f"{source}: {len(urls)} frames; at least {FEWEST_FRAMES} are needed, 16 or more tell much more. Capture a "
            "burst of one static scene at one setting: tripod, manual exposure, steady (DC) light."
        )
    return stack_frames(source, (read_frame(url) for url in urls), len(urls), cfa=cfa, white_level=white_level)


def frame_urls(source: str) -> list[str]:
    """List the frames of a folder (hidden files and subfolders aside) or those that match a pattern, by name.

    Raises:
        InputAccessError: there is nothing of that name, or it cannot be reached.
    """
    if any(sign in source for sign in _WILDCARDS):
        urls = storage.glob(source)
    elif storage.is_folder(source):
        urls = [storage.join(source, name) for name, _ in storage.walk_files(source) if "/" not in name]
    elif storage.exists(source):
        urls = [source]
    else:
        raise InputAccessError(f"cannot read {source}: no such file or folder. Give the folder of a burst of frames.")
    names = [(url.rpartition("/")[2], url) for url in urls]
    return [url for name, url in names if name.lower().endswith(FRAME_SUFFIXES) and not name.startswith(".")]


def stack_frames(
    name: str, frames: Iterable[Frame], count: int, *, cfa: str | None = None, white_level: int | None = None
) -> FrameStack:
    """Put frames on disk as one stack; an odd last row or column is cut off.

    Args:
        name: what messages call the stack.
        frames: as many as ``count``, one at a time in memory.
        count: how many.
        cfa, white_level: see :func:`read_stack`.

    Raises:
        SampleError: sizes, CFAs, ISOs or exposures are mixed, or two frames are identical.
    """
    names: list[str] = []
    seen: dict[bytes, str] = {}
    first: Frame | None = None
    layout = None if cfa is None else check_cfa(cfa)
    stacked: NDArray[np.uint16] = np.empty((0, 0, 0), np.uint16)
    for index, frame in enumerate(frames):
        if first is None:
            first = frame
            layout = _layout(frame, layout)
            stacked = _on_disk(count, frame)
        _check_same(first, frame)
        height, width = stacked.shape[1:]
        stacked[index] = frame.dn[:height, :width]
        digest = hashlib.sha256(stacked[index].tobytes()).digest()
        if digest in seen:
            raise SampleError(_identical(seen[digest], frame.name))
        seen[digest] = frame.name
        names.append(frame.name)
    if first is None or len(names) != count:
        raise UsageError(f"{name}: {count} frames were announced, {len(names)} came.")
    white = first.white_level if white_level is None else white_level
    return FrameStack(name, tuple(names), stacked, layout, first.black_level, white, first.iso)


def _layout(frame: Frame, cfa: str | None) -> str | None:
    if frame.states_cfa and cfa is not None and frame.cfa != cfa:
        raise UsageError(f"{frame.name} says it is {frame.cfa or 'monochrome'}; leave out --cfa {cfa}.")
    return cfa or frame.cfa


def _on_disk(count: int, frame: Frame) -> NDArray[np.uint16]:
    height, width = (side - side % 2 for side in frame.dn.shape)
    if min(height, width) < _SMALLEST_SIDE:
        raise SampleError(
            f"{frame.name} has {frame.dn.shape[1]}x{frame.dn.shape[0]} pixels; {_SMALLEST_SIDE} a side are the least "
            "that noise can be measured on. Give whole frames."
        )
    with tempfile.TemporaryFile(prefix="rawsynth-frames-") as file:
        return np.memmap(file, np.uint16, "w+", shape=(count, height, width))


def _check_same(first: Frame, frame: Frame) -> None:
    settings = (("size", "dn"), ("CFA", "cfa"), ("ISO", "iso"), ("exposure time", "exposure_s"))
    for words, attribute in settings:
        pair: Sequence[object] = [getattr(one, attribute) for one in (first, frame)]
        if attribute == "dn":
            pair = [f"{one.dn.shape[1]}x{one.dn.shape[0]}" for one in (first, frame)]
        if pair[0] != pair[1]:
            raise SampleError(
                f"mixed {words}: {first.name} has {pair[0]}, {frame.name} has {pair[1]}. One series is one static "
                "scene at one setting; put series of other settings into folders of their own."
            )


def _identical(first: str, second: str) -> str:
    return (
        f"{second} is identical to {first}: a copy, or saturated or clipped to one value everywhere, so there is no "
        "noise to measure. Give separate exposures between the black and the white level."
    )
