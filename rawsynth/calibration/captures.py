"""Captures on disk as sets to calibrate: one set an ISO, every frame looked at once, pixels read when needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rawsynth import storage
from rawsynth.calibration.assembly import Loader, Stated, capture_set
from rawsynth.calibration.descriptor import read_descriptor
from rawsynth.calibration.folder import list_folder
from rawsynth.calibration.inspection import FrameFacts, Inspection, Progress
from rawsynth.calibration.listing import Listing, Shots
from rawsynth.calibration.sets import CaptureSet
from rawsynth.errors import SampleError, UsageError
from rawsynth.raw.frames import FRAME_SUFFIXES


@dataclass(frozen=True)
class Captures:
    """What a source holds.

    Attributes:
        sets: to calibrate, by rising ISO.
        warnings: what was left out, each a sentence.
        frames: how many frames the sets refer to.
    """

    sets: tuple[CaptureSet, ...]
    warnings: tuple[str, ...]
    frames: int


def open_captures(
    source: str, stated: Stated | None = None, *, burst: bool = False, progress: Progress | None = None
) -> Captures:
    """Find the captures of a folder (see :mod:`.folder`) or of an EMVA 1288 descriptor (see :mod:`.descriptor`).

    Every frame is decoded once, so that one that is damaged or missing costs its pair, is named, and not the run.

    Args:
        source: folder or descriptor, path or URL.
        stated: what the frames do not say themselves.
        burst: the frames show one static scene.
        progress: is told of each frame, here and whenever one is read later.

    Raises:
        UsageError: no captures, flats without a partner, frames of one ISO that differ in size or colour filter, or
            values that the stated bits do not hold.
        SampleError: nothing can be read.
        InputAccessError: the source cannot be reached.
    """
    stated = stated or Stated()
    if storage.is_folder(source):
        listing, facts = list_folder(source, burst=burst, progress=progress)
    else:
        listing, facts = _look_through(_descriptor(source, burst), progress)
    shots, warnings = _readable(listing, facts)
    shots = _with_iso(shots, stated.iso)
    sets: list[CaptureSet] = []
    own = {url: facts[url] for each in shots for url in each.urls}
    loader = Loader(len(own), progress)
    for iso in sorted({each.iso for each in shots}, key=lambda value: value or 0.0):
        mine = [each for each in shots if each.iso == iso]
        name = source if iso is None else f"{source}, ISO {iso:g}"
        if all(each.dark for each in mine):
            warnings.append(f"{name}: darks without flats, left out; take flats at this setting too.")
            continue
        sets.append(capture_set(name, mine, own, stated, loader, burst=burst, bits=listing.bits))
    if not sets:
        causes = " ".join((*listing.warnings, *warnings)[:3])
        raise UsageError(f"{source}: nothing to calibrate from. {causes}".strip())
    _check_bits(sets, own)
    return Captures(tuple(sets), (*listing.warnings, *warnings), len(own))


def _descriptor(source: str, burst: bool) -> Listing:
    suffix = source.rpartition(".")[2].lower()
    if suffix in FRAME_SUFFIXES:
        raise UsageError(f"{source} is one frame; noise shows in what two differ in. Give the folder that holds them.")
    listing = read_descriptor(source)
    if burst:
        raise UsageError(f"{source}: a burst is a folder of frames; an EMVA 1288 descriptor lists flat fields.")
    return listing


def _look_through(listing: Listing, progress: Progress | None) -> tuple[Listing, dict[str, FrameFacts]]:
    urls = list(dict.fromkeys(url for each in listing.shots for url in each.urls))
    inspection = Inspection(len(urls), progress)
    for url in urls:
        facts = inspection.look(url)
        if facts is not None and listing.width and (facts.width, facts.height) != (listing.width, listing.height):
            raise UsageError(
                f"{url} is {facts.width}x{facts.height}; its descriptor says {listing.width}x{listing.height}. "
                "Correct the line 'n BITS WIDTH HEIGHT', or leave out the image."
            )
    if not inspection.facts:
        raise SampleError(f"none of {len(urls)} images can be read; the first: {(inspection.faults or ['none'])[0]}")
    return replace(listing, warnings=tuple(f"left out: {fault}" for fault in inspection.faults)), inspection.facts


def _readable(listing: Listing, facts: Mapping[str, FrameFacts]) -> tuple[list[Shots], list[str]]:
    """Keep shots that have two frames left to subtract."""
    kept, warnings = [], []
    for each in listing.shots:
        urls = tuple(url for url in each.urls if url in facts)
        if len(urls) >= 2:
            kept.append(replace(each, urls=urls))
        else:
            names = ", ".join(urls) or "no frame that can be read"
            warnings.append(f"{each.label} left out: a pair is needed, there is {names}; take two or more alike.")
    return kept, warnings


def _with_iso(shots: Iterable[Shots], stated: float | None) -> list[Shots]:
    """Give frames that state no ISO the one that is stated, or the only one that the others have.

    Raises:
        UsageError: frames state another ISO than the person.
    """
    shots = list(shots)
    own = {each.iso for each in shots if each.iso is not None}
    if stated is not None and own - {stated}:
        other = next(each for each in shots if each.iso not in (None, stated))
        raise UsageError(
            f"{other.urls[0]} says ISO {other.iso:g}, not {stated:g}: leave out --iso, which is for frames that state "
            "none, or calibrate a folder of that ISO alone."
        )
    common = stated if stated is not None else next(iter(own)) if len(own) == 1 else None
    return [each if each.iso is not None else replace(each, iso=common) for each in shots]


def _check_bits(sets: Sequence[CaptureSet], facts: Mapping[str, FrameFacts]) -> None:
    highest = max(facts.values(), key=lambda one: one.max_dn)
    for each in sets:
        if each.bits is not None and highest.max_dn >= 1 << each.bits:
            raise UsageError(
                f"{highest.name} has the value {highest.max_dn}, which {each.bits} bits do not hold. State the bits of "
                "the file's values (--bits 16): they may have been scaled up on saving."
            )
