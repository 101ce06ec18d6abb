"""What methods are scored on: pairs as they are stored, RAW files developed here, synthetic pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs import PairSet, open_pairs
from rawsynth.pairs.photographs import read_photographs
from rawsynth.pairs.rendered import CAMERA
from rawsynth.pairs.rendered_set import available, render_sources
from rawsynth.pairs.sources import find_sources
from rawsynth.pairs.synthetic import SyntheticPairs, packaged_photographs
from rawsynth.raw.files import RAW_SUFFIXES

SYNTHETIC = "synthetic"
"""Stands for the synthetic set, where the name of a set is wanted."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class BenchSet:
    """One set of pairs.

    Attributes:
        name: in the tables.
        words: what it is: real, developed here or synthetic, and of what.
        pairs: what is scored.
        left_out: files that could not be used, and why.
    """

    name: str
    words: str
    pairs: PairSet
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SetOptions:
    """How sets are opened.

    Attributes:
        layout: of stored pairs, see :func:`rawsynth.pairs.open_pairs`.
        software: what develops RAW files; all that is there if not given.
        work: local folder that keeps developed pairs.
        photographs: folder of the synthetic set's; scikit-image's if not given.
        crop, renditions, seed: of the synthetic set.
        limit: most pairs of a set, spread evenly over it.
    """

    layout: str = "auto"
    software: Sequence[str] | None = None
    work: str = "renderings"
    photographs: str | None = None
    crop: int = 256
    renditions: int = 4
    seed: int = 0
    limit: int | None = None


def open_sets(places: Sequence[str], options: SetOptions, *, tell: Tell = lambda text: None) -> list[BenchSet]:
    """Open what is named: ``"synthetic"``, pairs, or RAW files, which give a set for each software.

    RAW files that are named one by one, as a shell does of a pattern, are one set.

    Raises:
        UsageError: a place twice or with nothing in it, or options that fit nothing.
        CorpusError, InputAccessError: pairs are damaged or out of reach.
    """
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise UsageError(f"a set is named once; {twice[0]} is there {places.count(twice[0])} times.")
    found = []
    files = [place for place in places if place != SYNTHETIC and _is_raw_file(place)]
    for place in places:
        if place == SYNTHETIC:
            found.append(_synthetic(options, tell))
        elif place in files:
            together = files[0] if len(files) == 1 else f"{len(files)} RAW files"
            found += _developed(together, files, options, tell) if place == files[0] else []
        elif _has_raw_files(place):
            found += _developed(place, [place], options, tell)
        else:
            pairs = open_pairs(place, layout=options.layout)
            found.append(BenchSet(place, f"pairs as stored in {place}", pairs))
    return [_limited(each, options.limit) for each in found]


def fingerprint(pairs: PairSet, progress: Callable[[int], object] = lambda done: None) -> str:
    """Return the sha256 of all pairs as they are read: keys, scenes, pixels, metadata, scales.

    What cannot be read counts by its error.
    """
    digest = hashlib.sha256()
    for index, (key, scene) in enumerate(zip(pairs.keys, pairs.scenes, strict=True)):
        digest.update(json.dumps([key, scene]).encode())
        try:
            pair = pairs[index]
            digest.update(json.dumps([dict(pair.meta), vars(pair.scoring)], sort_keys=True, default=str).encode())
            for image in (pair.srgb, pair.raw, *([] if pair.frame is None else [pair.frame])):
                digest.update(f"{image.dtype} {tuple(image.shape)}".encode())
                digest.update(image.contiguous().numpy().data)
        except (SampleError, InputAccessError) as error:
            digest.update(str(error).encode("utf-8", "surrogatepass"))
        progress(1)
    return digest.hexdigest()


def _is_raw_file(place: str) -> bool:
    """Whether it is a RAW file by its name, or a pattern of them."""
    _, dot, suffix = place.rpartition(".")
    return bool(dot) and suffix.lower() in RAW_SUFFIXES


def _has_raw_files(place: str) -> bool:
    if not storage.exists(place) or not storage.is_folder(place):
        return False
    suffixes = {path.rpartition(".")[2].lower() for path, _ in storage.walk_files(place)}
    return bool(suffixes & set(RAW_SUFFIXES)) and "tar" not in suffixes


def _developed(name: str, places: Sequence[str], options: SetOptions, tell: Tell) -> list[BenchSet]:
    sources = [source for place in places for source in find_sources(place)]
    if not storage.is_local(options.work):
        raise UsageError(f"developed pairs are kept in a local folder; got {options.work}. Name one: --work FOLDER.")
    found: list[BenchSet] = []
    nothing_of: dict[str, str] = {}
    for software in available(options.software):
        left_out: dict[str, str] = {}

        def observe(file: str, problem: str | None, left_out: dict[str, str] = left_out) -> None:
            if problem is not None:
                left_out[file] = problem
            tell(f"{file}: {'developed' if problem is None else f'left out: {problem}'}")

        pairs = render_sources(sources, software, Path(storage.absolute(options.work)), observe=observe)
        if not len(pairs):
            nothing_of |= left_out
            continue
        count, of = len(set(pairs.scenes)), "" if len(places) > 1 else f" of {name}"
        by = "the cameras' own JPEGs" if software == CAMERA.software else f"developed by {software}"
        words = f"{count} real RAW files{of}, {by}, windows of at most 512x512"
        found.append(BenchSet(f"{name} [{software}]", words, pairs, left_out))
    if not found:
        reason = next(iter(nothing_of.values()))
        raise UsageError(f"{name}: none of {len(sources)} RAW files could be developed; the first: {reason}")
    # Of a software that could develop nothing there is no set to say so.
    found[0] = replace(found[0], left_out={**found[0].left_out, **nothing_of})
    return found


def _synthetic(options: SetOptions, tell: Tell) -> BenchSet:
    photographs = (
        packaged_photographs() if options.photographs is None else read_photographs(options.photographs, observe=tell)
    )
    pairs = SyntheticPairs(photographs, seed=options.seed, renditions=options.renditions, crop=options.crop)
    of = "scikit-image's" if options.photographs is None else options.photographs
    words = (
        f"synthetic: {options.renditions} random cameras, lights and ISPs for each of "
        f"{counted(len(photographs), 'photograph')} ({of}), seed {options.seed}"
    )
    return BenchSet(SYNTHETIC, words, pairs)


def _limited(found: BenchSet, limit: int | None) -> BenchSet:
    count = len(found.pairs)
    if limit is None or limit >= count:
        return found
    chosen = found.pairs.subset([k * count // limit for k in range(limit)])
    return BenchSet(found.name, f"{found.words}; {limit} of its {counted(count, 'pair')}", chosen, found.left_out)
