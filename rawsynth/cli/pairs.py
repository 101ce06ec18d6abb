"""make training pairs from your own camera RAW files

What is checked and what the outcome file holds: docs/pairs.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rawsynth.counting import counted

if TYPE_CHECKING:
    from rawsynth.pairs.make import FileOutcome, PairsSummary

DESCRIPTION = """\
Cut aligned pairs of sRGB and RAW from camera RAW files (DNG, CR2, CR3, NEF, ARW, ...) and the JPEGs beside them, their
previews, or LibRaw's development. Each pair is checked to lie pixel on site; what does not is left out, and said.
Exit code 0 if there are pairs, 1 if there are none or a file could not be reached, 2 for wrong usage.

examples:
  rawsynth pairs photos/ pairs/
  rawsynth pairs 'photos/**/*.NEF' pairs/ --srgb jpeg --crop 256
  rawsynth pairs photos/ s3://bucket/pairs --srgb libraw --limit 20
"""

_SHOWN_FILES = 3
_SRGB = {
    "jpeg": "the camera's JPEG beside the RAW",
    "preview": "the camera's JPEG in the RAW",
    "libraw": "developed by LibRaw, which says nothing of the camera's ISP (docs/pairs.md)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments; those that are not given take the defaults of PairOptions."""
    parser.add_argument("input", help="folder or URL with camera RAW files, a pattern, or one file")
    parser.add_argument("output", help="folder or URL for the pairs")
    parser.add_argument(
        "--srgb",
        choices=["auto", "jpeg", "preview", "libraw"],
        help="the JPEG beside the RAW, the preview in it, LibRaw's development, or the first of them (default auto)",
    )
    parser.add_argument("--crop", type=int, metavar="N", help="side of a crop in pixels, even (default 512)")
    checks = parser.add_argument_group("what is left out")
    checks.add_argument(
        "--max-shift", type=int, metavar="PX", help="farthest shift of sRGB on RAW to look for (default 64)"
    )
    checks.add_argument(
        "--max-residual",
        type=float,
        metavar="PX",
        help="farthest that a part of a crop may lie from the image's shift (default 0.5)",
    )
    checks.add_argument(
        "--max-saturated",
        type=float,
        metavar="SHARE",
        help="largest share of saturated pixels in a crop (default 0.2)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N RAW files, in order of their paths")
    parser.add_argument("--overwrite", action="store_true", help="replace the pairs in OUTPUT; other files stay")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Make the pairs."""
    from rawsynth.meter import Meter
    from rawsynth.pairs.camera import PairOptions
    from rawsynth.pairs.make import make_pairs

    names = ("srgb", "crop", "max_shift", "max_residual", "max_saturated")
    options = PairOptions(**{name: getattr(args, name) for name in names if getattr(args, name) is not None})
    meter = Meter("file", name="rawsynth pairs", shown=not args.quiet)

    def observe(outcomes: Sequence[FileOutcome], files: int) -> None:
        rejected = sum(outcome.fault is not None for outcome in outcomes)
        meter.note(pairs=sum(outcome.pairs for outcome in outcomes), rejected=rejected)
        meter.move_to(len(outcomes), files)

    try:
        summary = make_pairs(
            args.input, args.output, options=options, limit=args.limit, overwrite=args.overwrite, observe=observe
        )
    except KeyboardInterrupt:
        meter.close()
        print(
            f"\nrawsynth pairs: interrupted; what {args.output} holds is whole but not all. Run again with --overwrite "
            "to start over.",
            file=sys.stderr,
        )
        return 130
    finally:
        meter.close()
    print(summarize(summary))
    return summary.exit_code


def summarize(summary: PairsSummary) -> str:
    """Say in words what came of a run: pairs, rejected files by reason, crops left out by reason."""
    used = [outcome for outcome in summary.files if outcome.fault is None]
    files = counted(len(summary.files), "RAW file")
    lines = [f"{summary.output}: {counted(summary.pairs, 'pair')} from {len(used)} of {files}"]
    sources = Counter(str(outcome.srgb["source"]) for outcome in used if outcome.srgb)
    lines += [f"  sRGB of {counted(count, 'file')}: {_SRGB.get(name, name)}" for name, count in sorted(sources.items())]
    crops: dict[str, int] = defaultdict(int)
    faults: dict[str, list[FileOutcome]] = defaultdict(list)
    for outcome in summary.files:
        if outcome.fault is not None:
            faults[outcome.fault.kind].append(outcome)
        else:
            for reason, count in outcome.left_out.items():
                crops[reason] += count
    if crops:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(crops.items()))
        lines.append(f"{counted(sum(crops.values()), 'crop')} of these files left out: {counts}")
    for kind, outcomes in sorted(faults.items()):
        lines.append(f"{counted(len(outcomes), 'file')} rejected, {kind}:")
        for outcome in outcomes[:_SHOWN_FILES]:
            assert outcome.fault is not None
            seen = f" (see {outcome.picture})" if outcome.picture else ""
            lines.append(f"  {outcome.path}: {outcome.fault.reason}{seen}")
        if len(outcomes) > _SHOWN_FILES:
            lines.append(f"  and {len(outcomes) - _SHOWN_FILES} more, see pairs.json")
    # A name may hold bytes that are no text.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
