"""Dark frames in memory, and what their values mean: offset, scale, variance, and the bits that the converter took."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import UsageError
from rawsynth.noise.dark_frame_files import COMMON_FILE, read_dark_frames
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.frames import Frame

MEMORY_LIMIT_BYTES = 2 << 30
"""At most so many bytes of frames are kept in a process."""

# Half of the steps between a camera's ISOs, which are thirds of a stop.
_ISO_TOLERANCE = 2.0 ** (1.0 / 6.0) + 1e-6
_LARGEST_OFFSET, _MOST_AT_ZERO = 0.25, 0.05
# Below the one exp(t e) is flat for float32, which divides by t; beyond the other all lies at the step's edge.
_FLATTEST, _STEEPEST = 1e-3, 10.0


@dataclass(frozen=True, eq=False)
class DarkFrameSet:
    """Dark frames of one ISO and their statistics; planes in the reading order of the frames' CFA.

    The frames' values are whole DN: the converter rounded off what lay between, and a codec that rounds them again with
    an image would count that noise twice. So each value n is spread over [n - 1/2, n + 1/2] DN again (what Zhang et
    al., ICCV 2021, call high-bit reconstruction): n + e is drawn with a density proportional to ``exp(tilt(n) e)``,
    whose slope is that of the frames' own histogram h, ``tilt = ln(h(n + 1) / h(n - 1)) / 2``. The plain dither
    U(-1/2, 1/2), tilt 0, would add 1/12 DN squared to the frames' variance. The tilt leaves it about 1/12 below theirs,
    which is Sheppard's correction for rounding (for Gaussian noise the excess is 0.02 DN squared at a sigma of 0.5 DN,
    0.01 at 1 DN), and the codec's one rounding brings it back.

    Attributes:
        iso: ``None`` where nobody states it.
        frames: ``(H, W)`` uint16 DN each.
        names: of the frames.
        range_dn: white minus black, in DN.
        lowest: the least DN in any frame.
        mean_dn: mean a plane of what is drawn; subtracted, so that the noise has none.
        variance_dn2: variance a plane of what is drawn: all that light does not cause, rows and fixed pattern included.
        tilt: ``(4, L)`` float32 for the DN ``lowest`` to ``lowest + L - 1``.
    """

    iso: float | None
    frames: tuple[NDArray[np.uint16], ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    range_dn: float
    lowest: int
    mean_dn: tuple[float, ...]
    variance_dn2: tuple[float, ...]
    tilt: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class DarkFrameStore:
    """All dark frames that a model draws from.

    Attributes:
        url: where they come from.
        cfa: colours of the frames' first 2x2 sites.
        height, width: of the frames, in sensor pixels.
        sets: one an ISO, rising.
        digest: of the kept frames' names, values and settings; stored seeds replay with the same one only.
    """

    url: str
    cfa: str
    height: int
    width: int
    sets: tuple[DarkFrameSet, ...]
    digest: str

    def at(self, iso: float | None) -> int:
        """Return the index of the set that serves an ISO, the nearest within a sixth of a stop.

        Raises:
            UsageError: there is none, or no ISO is asked for where there are several.
        """
        isos = [s.iso for s in self.sets if s.iso is not None]
        if not isos or (iso is None and len(isos) == 1):
            return 0
        have = ", ".join(f"{value:g}" for value in isos)
        if iso is None:
            raise UsageError(f"dark frames {self.url} are of ISO {have}: say whose noise, with camera=... and iso=...")
        distances = [abs(math.log(iso / value)) for value in isos]
        nearest = int(np.argmin(distances))
        if distances[nearest] > math.log(_ISO_TOLERANCE):
            raise UsageError(
                f"dark frames {self.url} are of ISO {have}; ISO {iso:g} is more than a sixth of a stop from any. Ask "
                "for one of theirs, or take dark frames at that ISO."
            )
        return nearest


def open_dark_frames(url: str, *, limit_bytes: int = MEMORY_LIMIT_BYTES) -> DarkFrameStore:
    """Read dark frames into memory; where they exceed the limit, an even choice of each ISO's is kept, with a warning.

    Raises:
        UsageError: nothing there, unreadable, not dark, cut off at black, or of several sizes, layouts or levels.
        InputAccessError: something cannot be reached.
    """
    kept, total = _thinned(_checked(read_dark_frames(url), url), limit_bytes)
    count = sum(len(frames) for frames in kept.values())
    if count < total:
        warnings.warn(
            f"dark frames {url}: {total - count} of {total} frames left out, evenly, to stay within "
            f"{limit_bytes / 2**30:.3g} GiB of memory.",
            stacklevel=2,
        )
    if None in kept and len(kept) > 1:
        raise UsageError(
            f"dark frames {url}: some state their ISO and {len(kept[None])} do not, such as {kept[None][0].name}; "
            "state it in a JSON beside them or by a folder's name, iso800."
        )
    isos = sorted(kept, key=lambda iso: iso or 0.0)
    frames = [frame for iso in isos for frame in kept[iso]]
    sets = tuple(_summarize(iso, kept[iso], url) for iso in isos)
    height, width = frames[0].dn.shape
    return DarkFrameStore(url, check_cfa(frames[0].cfa or ""), height, width, sets, _digest(frames))


def _checked(frames: Iterable[Frame], url: str) -> Iterable[Frame]:
    first: Frame | None = None
    for frame in frames:
        where = f"dark frame {frame.name} of {url}"
        if frame.cfa is None and frame.states_cfa:
            raise UsageError(f"{where} is of a monochrome sensor, without planes to align; take a Bayer sensor's.")
        if frame.cfa is None or frame.white_level is None:
            raise UsageError(
                f"{where} does not say its {'CFA' if frame.cfa is None else 'white level'}: put what is true of them, "
                f'such as {{"cfa": "RGGB", "white_level": 16383}}, into {COMMON_FILE} beside it.'
            )
        first = first or frame
        if (frame.dn.shape, frame.cfa) != (first.dn.shape, first.cfa):
            raise UsageError(
                f"{where} is {_described(frame)}, {first.name} {_described(first)}; give frames of one sensor and size."
            )
        _check_dark(frame, where)
        yield frame


def _described(frame: Frame) -> str:
    return f"{frame.dn.shape[1]}x{frame.dn.shape[0]} {frame.cfa}"


def _check_dark(frame: Frame, where: str) -> None:
    assert frame.white_level is not None
    mean, black = float(frame.dn.mean()), frame.black_level or 0.0
    if not black < frame.white_level:
        raise UsageError(f"{where}: black level {black:g} is not below white level {frame.white_level}.")
    if mean - black > _LARGEST_OFFSET * (frame.white_level - black):
        raise UsageError(
            f"{where} is not dark: its mean is {mean:.0f} DN of {frame.white_level}. Take it in the dark, cap on."
        )
    at_zero = float((frame.dn == 0).mean())
    if at_zero > _MOST_AT_ZERO:
        raise UsageError(
            f"{where} is cut off at black: {at_zero:.0%} of its values are 0, so half of its noise is lost. Use a "
            "camera or a RAW format that keeps a black level above 0."
        )


def _thinned(frames: Iterable[Frame], limit_bytes: int) -> tuple[dict[float | None, list[Frame]], int]:
    """Keep every frame, then every second of the ISO that has the most, and so on, within the limit."""
    kept: dict[float | None, list[Frame]] = {}
    seen: dict[float | None, int] = {}
    stride: dict[float | None, int] = {}
    for frame in frames:
        group = kept.setdefault(frame.iso, [])
        if seen.setdefault(frame.iso, 0) % stride.setdefault(frame.iso, 1) == 0:
            group.append(frame)
        seen[frame.iso] += 1
        while sum(len(g) for g in kept.values()) * frame.dn.nbytes > limit_bytes:
            largest = max(kept, key=lambda iso: len(kept[iso]))
            if len(kept[largest]) < 2:
                break
            kept[largest] = kept[largest][::2]
            stride[largest] *= 2
    return kept, sum(seen.values())


def _summarize(iso: float | None, frames: Sequence[Frame], url: str) -> DarkFrameSet:
    levels = {(frame.black_level, frame.white_level) for frame in frames}
    if len(levels) > 1:
        raise UsageError(f"dark frames {url} of one ISO differ in (black, white): {', '.join(map(str, levels))}.")
    histogram = np.zeros((4, 2**16 + 2), dtype=np.int64)
    for frame in frames:
        for plane in range(4):
            sites = frame.dn[plane // 2 :: 2, plane % 2 :: 2]
            # One more on either side, so that every DN has neighbours.
            histogram[plane, 1:-1] += np.bincount(sites.ravel(), minlength=2**16)
    used = np.flatnonzero(histogram.any(axis=0))
    lowest, highest = int(used[0]) - 1, int(used[-1]) - 1
    below, counts, above = (histogram[:, lowest + k : highest + 1 + k].astype(np.float64) for k in (0, 1, 2))
    steep = np.clip(0.5 * np.log((above + 0.5) / (below + 0.5)), -_STEEPEST, _STEEPEST)
    # As float32 from here on, because that is what is drawn with.
    tilt = np.where(np.abs(steep) < _FLATTEST, _FLATTEST, steep).astype(np.float32).astype(np.float64)
    share = counts / counts.sum(axis=1, keepdims=True)
    # Mean and mean square of e under the density exp(t e) on [-1/2, 1/2].
    drift = 0.5 / np.tanh(0.5 * tilt) - 1.0 / tilt
    square = 0.25 - 2.0 * drift / tilt
    dn = np.arange(lowest, highest + 1, dtype=np.float64)
    mean = (share * (dn + drift)).sum(axis=1)
    off = dn - mean[:, None]
    variance = (share * (off**2 + 2.0 * off * drift + square)).sum(axis=1)
    black, white = next(iter(levels))
    assert white is not None
    return DarkFrameSet(
        iso=iso,
        frames=tuple(np.ascontiguousarray(frame.dn) for frame in frames),
        names=tuple(frame.name for frame in frames),
        range_dn=float(white - (mean.mean() if black is None else black)),
        lowest=lowest,
        mean_dn=tuple(mean.tolist()),
        variance_dn2=tuple(variance.tolist()),
        tilt=tilt.astype(np.float32),
    )


def _digest(frames: Sequence[Frame]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for frame in frames:
        fields = [frame.name, frame.cfa, frame.iso, frame.black_level, frame.white_level, *frame.dn.shape]
        digest.update(json.dumps(fields).encode("ascii") + np.ascontiguousarray(frame.dn, dtype="<u2").tobytes())
    return digest.hexdigest()
