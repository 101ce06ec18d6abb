"""One camera RAW file with its sRGB image laid on it, pixel on site."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.align import MIN_SCORE, Alignment, align, coarse_shift, mosaic_luma, srgb_luma
from rawsynth.pairs.correlation import Luma
from rawsynth.pairs.renditions import SRGB_SOURCES, Rendition, SrgbSource, choose_rendition, fits
from rawsynth.pairs.sources import RawSource
from rawsynth.raw.files import RawFile, read_raw
from rawsynth.raw.levels import Levels
from rawsynth.raw.orientation import ORIENTATIONS, upright
from rawsynth.registry import pick

# A score that no other orientation reaches, not even of a facade that is its own mirror image.
_SURE_SCORE = 0.5
_BITS = 16


@dataclass(frozen=True)
class PairOptions:
    """What pairs are made of, and which are left out.

    Attributes:
        srgb: the sRGB: ``jpeg`` beside the RAW, ``preview`` in it, ``libraw``, or ``auto``, the first that there is.
        crop: side of a crop in pixels, even.
        max_shift: farthest shift between sRGB and RAW to look for, in pixels.
        max_residual: farthest that a part of a crop may lie from the image's whole-pixel shift, in pixels. Half a pixel
            is where another whole-pixel shift would be nearer, and a quarter of a packed RAW pixel.
        max_saturated: largest share of saturated pixels in a crop.

    Raises:
        UsageError: a value out of range.
    """

    srgb: SrgbSource = "auto"
    crop: int = 512
    max_shift: int = 64
    max_residual: float = 0.5
    max_saturated: float = 0.2

    def __post_init__(self) -> None:
        pick({kind: kind for kind in SRGB_SOURCES}, self.srgb, "sRGB source")
        if self.crop < 16 or self.crop % 2:
            raise UsageError(f"crop is an even number of pixels from 16 up; got {self.crop}.")
        if not 0 <= self.max_shift <= 1024:
            raise UsageError(f"max_shift is 0 to 1024 pixels; got {self.max_shift}.")
        if not 0 < self.max_residual <= 8:
            raise UsageError(f"max_residual is more than 0 and at most 8 pixels; got {self.max_residual}.")
        if not 0 <= self.max_saturated <= 1:
            raise UsageError(f"max_saturated is a share, 0 to 1; got {self.max_saturated}.")

    def to_json(self) -> dict[str, Any]:
        """Return the options as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Fault:
    """Why a file gives no pairs: a kind to count by, and the reason in words."""

    kind: str
    reason: str


@dataclass(frozen=True, eq=False)
class Match:
    """A RAW file and its sRGB image.

    Attributes:
        source: where they come from.
        raw: the RAW file.
        levels: of its DN once all sites are brought to one black level.
        rendition: the sRGB image as stored, ``None`` where there is none.
        turn: orientation that turned it to the sensor's.
        srgb: ``(3, H, W)`` uint8, turned.
        alignment: how it lies on ``raw.mosaic``; ``None`` where that was not to be found.
        lumas: of the sRGB image and the RAW, by which it was found.
        fault: why no pairs can be made, ``None`` where they can.
        passed_over: why sRGB images that would have been preferred were not taken.
    """

    source: RawSource
    raw: RawFile = field(repr=False)
    levels: Levels
    rendition: Rendition | None = None
    turn: int = 1
    srgb: NDArray[np.uint8] | None = field(default=None, repr=False)
    alignment: Alignment | None = None
    lumas: tuple[Luma, Luma] | None = field(default=None, repr=False)
    fault: Fault | None = None
    passed_over: tuple[str, ...] = ()


def match(source: RawSource, options: PairOptions) -> Match:
    """Read a RAW file, choose its sRGB image, and lay the one on the other.

    Raises:
        SampleError: the RAW file cannot be used.
        InputAccessError: it or its JPEG cannot be reached.
    """
    raw = read_raw(source.url)
    levels = common_levels(raw)
    choice = choose_rendition(raw, source.jpegs, options.srgb)
    rendition = choice.rendition
    if choice.fault is not None or rendition is None:
        fault = Fault("no full-size sRGB", choice.fault or "no sRGB image")
        srgb = None if rendition is None else upright(rendition.srgb, rendition.turn)
        turn = 1 if rendition is None else rendition.turn
        return Match(source, raw, levels, rendition, turn, srgb, fault=fault)
    raw_luma = mosaic_luma(raw.mosaic, raw.cfa, black=raw.black, white=raw.white, white_balance=raw.white_balance)
    stored_luma = srgb_luma(rendition.srgb)
    laid = _lay(stored_luma, raw_luma, rendition.turn, options.max_shift)
    srgb, luma = (np.ascontiguousarray(upright(image, laid.turn)) for image in (rendition.srgb, stored_luma))
    lumas = luma, raw_luma
    return Match(source, raw, levels, rendition, laid.turn, srgb, laid.alignment, lumas, laid.fault, choice.passed_over)


def common_levels(raw: RawFile) -> Levels:
    """Return levels that hold for all sites once each is raised to the highest black level of the four.

    Raises:
        SampleError: the file's levels make no sense.
    """
    try:
        return Levels(max(raw.black), raw.white, _BITS)
    except UsageError as error:
        raise SampleError(f"{raw.url}: black levels {raw.black} and white level {raw.white}: {error}") from error


@dataclass(frozen=True)
class _Laid:
    turn: int
    alignment: Alignment | None
    fault: Fault | None


def _lay(stored: Luma, raw: Luma, tagged: int, max_shift: int) -> _Laid:
    """Find turn and shift; tags may be missing or wrong, so in doubt the other turns are tried."""
    turns = [turn for turn in ORIENTATIONS if fits(upright(stored, turn).shape, raw.shape)]

    def lay(turn: int) -> Alignment:
        return align(np.ascontiguousarray(upright(stored, turn)), raw, max_shift=max_shift)

    try:
        turn, found = tagged, lay(tagged) if tagged in turns else None
        if found is None or found.score < _SURE_SCORE:
            scores = {turn: coarse_shift(upright(stored, turn), raw, max_shift=max_shift)[2] for turn in turns}
            other = max(scores, key=lambda turn: scores[turn])
            rival = lay(other)
            if found is None or rival.score > found.score:
                turn, found = other, rival
    except SampleError as error:
        return _Laid(tagged, None, Fault("too flat to align", str(error)))
    if found.score < MIN_SCORE:
        reason = f"sRGB and RAW do not show the same: score {found.score:.2f} at best, wanted {MIN_SCORE:.2f}."
        return _Laid(turn, found, Fault("not alike", reason))
    return _Laid(turn, found, None)
