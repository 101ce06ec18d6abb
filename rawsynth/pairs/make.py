"""Training pairs from one's own camera RAW files: find them, lay their sRGB on them, cut, check and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.camera import Fault, Match, PairOptions, match
from rawsynth.pairs.crops import Crop, crop_members, cut_crops, overlap_size, rounded
from rawsynth.pairs.output import PairFolder
from rawsynth.pairs.rejected import draw_rejected
from rawsynth.pairs.sources import RawSource, find_sources
from rawsynth.raw.codecs import Members
from rawsynth.versions import package_versions

FORMAT = 1
UNREACHABLE = "cannot be reached"
_PACKAGES = ("rawsynth", "numpy", "pillow", "rawpy", "torch")


@dataclass(frozen=True)
class FileOutcome:
    """What came of one RAW file.

    Attributes:
        path: relative to the input.
        pairs: how many it gave.
        fault: why it gave none.
        picture: of the rejected file, relative to the output.
        srgb: source and path of the sRGB image, its turn and what was preferred but passed over.
        alignment: of the whole image.
        local_residual_px: median and largest residual of the crops that could be measured.
        left_out: crops that were left out, by reason.
    """

    path: str
    pairs: int = 0
    fault: Fault | None = None
    picture: str | None = None
    srgb: dict[str, Any] | None = None
    alignment: dict[str, Any] | None = None
    local_residual_px: dict[str, float] | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as a JSON object."""
        row = asdict(self)
        row["rejected"] = row.pop("fault")
        return row


@dataclass(frozen=True)
class PairsSummary:
    """What came of a run.

    Attributes:
        output: folder of the pairs.
        files: what came of each RAW file, in the order of their paths.
    """

    output: str
    files: tuple[FileOutcome, ...]

    @property
    def pairs(self) -> int:
        """How many pairs were written."""
        return sum(outcome.pairs for outcome in self.files)

    @property
    def exit_code(self) -> int:
        """0 if there are pairs and every file could be reached, else 1."""
        lost = any(outcome.fault is not None and outcome.fault.kind == UNREACHABLE for outcome in self.files)
        return int(lost or not self.pairs)


Observer = Callable[[Sequence[FileOutcome], int], None]
"""Is told what came of the files so far, and how many there are: before the first and after each."""


def make_pairs(
    location: str,
    output: str,
    *,
    options: PairOptions = PairOptions(),
    limit: int | None = None,
    overwrite: bool = False,
    part_size: int = 1_000_000_000,
    observe: Observer | None = None,
) -> PairsSummary:
    """Make pairs from the camera RAW files of a folder.

    Each file is one scene. The output has tars of pairs, as :class:`rawsynth.pairs.ShardPairs` reads them, and last
    ``pairs.json`` with what came of each file. Equal inputs make equal bytes.

    Args:
        location: folder, pattern or one RAW file.
        output: folder to write to.
        options: what pairs are made of, and which are left out.
        limit: only the first so many RAW files.
        overwrite: replace the pairs that are in ``output``.
        part_size: bytes from which on another tar is begun.
        observe: is told how far the run is.

    Raises:
        UsageError: wrong options, no RAW file in the input, or an output that holds something.
        InputAccessError: the input cannot be listed.
        OutputError: the output cannot be written.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is a number of files from 1 up; got {limit}.")
    if part_size < 1:
        raise UsageError(f"part_size is a number of bytes from 1 up; got {part_size}.")
    sources = find_sources(location)[:limit]
    folder = PairFolder(output, part_size=part_size, overwrite=overwrite)
    tell = observe or (lambda outcomes, files: None)
    outcomes: list[FileOutcome] = []
    try:
        tell(outcomes, len(sources))
        for source in sources:
            outcomes.append(_write_file(source, options, folder))
            tell(outcomes, len(sources))
        summary = PairsSummary(output, tuple(outcomes))
        folder.finish(
            {
                "format": FORMAT,
                "input": location,
                "settings": {**options.to_json(), "limit": limit, "part_size": part_size},
                "environment": _environment(),
                "pairs": summary.pairs,
                "files": [outcome.to_json() for outcome in outcomes],
            }
        )
    except BaseException:
        folder.abort()
        raise
    return summary


@dataclass(frozen=True)
class _Made:
    """A file's outcome with what is to be written for it."""

    outcome: FileOutcome
    pairs: tuple[tuple[str, Members], ...] = ()
    picture: bytes | None = None


def _write_file(source: RawSource, options: PairOptions, folder: PairFolder) -> FileOutcome:
    try:
        made = _make_file(source, options)
    except SampleError as error:
        return FileOutcome(source.path, fault=Fault("unusable RAW", str(error)))
    except InputAccessError as error:
        return FileOutcome(source.path, fault=Fault(UNREACHABLE, str(error)))
    except Exception as error:  # noqa: BLE001 - whatever one file's content brings about costs that file only
        return FileOutcome(source.path, fault=Fault("unusable RAW", f"{source.url}: {type(error).__name__}: {error}"))
    for key, members in made.pairs:
        folder.write_pair(key, members)
    if made.picture is None:
        return made.outcome
    return replace(made.outcome, picture=folder.write_picture(source.file_name, made.picture))


def _make_file(source: RawSource, options: PairOptions) -> _Made:
    found = match(source, options)
    crops = [] if found.fault is not None else cut_crops(found, options)
    kept = [crop for crop in crops if crop.fault is None]
    outcome = _outcome(found, crops, options)
    if outcome.fault is not None:
        return _Made(outcome, picture=draw_rejected(found, outcome.fault.reason, at=_worst(crops)))
    keys = [f"{source.key}_{crop.row}_{crop.column}" for crop in kept]
    return _Made(outcome, tuple((key, crop_members(found, crop, key)) for key, crop in zip(keys, kept, strict=True)))


def _outcome(found: Match, crops: list[Crop], options: PairOptions) -> FileOutcome:
    rendition, left_out = found.rendition, Counter(crop.fault for crop in crops if crop.fault is not None)
    fault = found.fault
    if fault is None and not crops:
        height, width = overlap_size(found)
        fault = Fault("too small", f"sRGB and RAW share {width}x{height} pixels, less than a crop of {options.crop}.")
    elif fault is None and left_out.total() == len(crops):
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        fault = Fault("no good crop", f"none of {len(crops)} crops is good: {counts}.")
    residuals = [crop.local.residual_px for crop in crops if crop.local is not None]
    return FileOutcome(
        path=found.source.path,
        pairs=0 if fault is not None else len(crops) - left_out.total(),
        fault=fault,
        srgb=None
        if rendition is None
        else {
            "source": rendition.source,
            "path": rendition.path,
            "turn": found.turn,
            "profile": rendition.profile,
            "passed_over": list(found.passed_over),
        },
        alignment=None if found.alignment is None else rounded(found.alignment),
        local_residual_px=None
        if not residuals
        else {"median": round(float(np.median(residuals)), 3), "max": round(max(residuals), 3)},
        left_out=dict(sorted(left_out.items())),
    )


def _worst(crops: list[Crop]) -> tuple[int, int] | None:
    """Return the middle of the crop that lies farthest off, on the mosaic."""
    measured = [(crop.local.residual_px, crop.raw) for crop in crops if crop.local is not None]
    if not measured:
        return None
    _, (top, left, height, width) = max(measured)
    return top + height // 2, left + width // 2


def _environment() -> dict[str, str]:
    import rawpy

    return package_versions(*_PACKAGES) | {"libraw": ".".join(map(str, rawpy.libraw_version))}
