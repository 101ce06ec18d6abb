"""write images of a corpus as DNG, PNG, TIFF or NPZ files

What the files hold: docs/export.md.
"""

from __future__ import annotations

import argparse
import sys

from rawsynth.cli.printable import printable
from rawsynth.counting import counted

DESCRIPTION = """\
Write the images of a corpus as single files: DNG, which every RAW converter opens (pixels as stored, colour, levels,
noise profile, a preview); the mosaic as 16-bit PNG or TIFF; or NPZ with packed float32. Run again to go on where it
stopped: files that are there stay. Exit code 0 if all was written, 1 if a sample was lost, 2 for wrong usage.

examples:
  rawsynth export corpus/ dng/
  rawsynth export corpus/ dng/ --limit 20 --which noisy
  rawsynth export corpus/ png/ --format png --keys cats/IMG_01-jpg,cats/IMG_02-jpg
  rawsynth export s3://bucket/corpus s3://bucket/npz --format npz --threads 32
  darktable-cli dng/cats/IMG_01-jpg.noisy.dng out.jpg
"""

_FORMATS = ("dng", "npz", "png", "tiff")
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", help="folder or URL of the corpus")
    parser.add_argument("output", help="folder or URL for the files, outside the corpus")
    parser.add_argument("--format", choices=_FORMATS, default="dng", help="of the files (default dng)")
    parser.add_argument(
        "--which", type=_names, default=(), metavar="IMAGES", help="noisy, clean or noisy,clean (default: all there is)"
    )
    parser.add_argument("--keys", type=_names, default=(), metavar="KEY,...", help="only these samples")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--threads", type=int, metavar="N", help="samples at a time; the cores if not given")
    parser.add_argument("--quiet", action="store_true", help="print nothing but problems")


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def run(args: argparse.Namespace) -> int:
    """Export."""
    from rawsynth.corpus.export import export
    from rawsynth.errors import UsageError
    from rawsynth.meter import Meter

    for name in ("limit", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name} is 1 or more; got {getattr(args, name)}.")
    with Meter("sample", name="rawsynth export", shown=not args.quiet) as meter:
        names = ("format", "which", "keys", "limit", "overwrite", "threads")
        done = export(args.corpus, args.output, **{name: getattr(args, name) for name in names}, watch=meter.move_to)
    if not args.quiet:
        stayed = f"; {done.present:,} {'was' if done.present == 1 else 'were'} there already" if done.present else ""
        written = counted(done.written, f"{args.format.upper()} file", grouped=True)
        print(f"{done.url}: {written} written{stayed}")
    for key, cause in done.lost[:_SHOWN]:
        print(printable(f"{args.corpus}: lost {key}: {cause}"), file=sys.stderr)
    if len(done.lost) > _SHOWN:
        print(f"and {len(done.lost) - _SHOWN:,} more", file=sys.stderr)
    if not done.written + done.present + len(done.lost):
        print(f"{args.corpus}: nothing to export: no shard is done, or none has what was asked for", file=sys.stderr)
    return int(bool(done.lost) or not done.written + done.present)
