"""check a corpus against its records

Exit code 1 and one line a problem if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rawsynth.counting import counted

DESCRIPTION = """\
Read a whole corpus and check counts, checksums, end-of-archive marks and that every sample is complete; an index too,
and that no part, failure or temporary file is left that belongs to nothing. Any byte that has changed is found.
Exit code 0 if it is sound, 1 with one line a problem if not.

examples:
  rawsynth verify corpus/
  rawsynth verify s3://bucket/corpus --threads 32
  rawsynth verify corpus/ --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", help="folder or URL of the corpus")
    parser.add_argument("--threads", type=int, metavar="N", help="parts checked at a time; the cores if not given")
    parser.add_argument("--json", action="store_true", help="print a line of JSON: counts, and all problems")
    parser.add_argument("--quiet", action="store_true", help="print problems only")


def run(args: argparse.Namespace) -> int:
    """Verify the corpus."""
    from rawsynth.corpus.verify import verify
    from rawsynth.errors import UsageError
    from rawsynth.meter import Meter

    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads is 1 or more; got {args.threads}.")
    with Meter("part", name="rawsynth verify", shown=not args.quiet) as meter:
        report = verify(args.corpus, lambda part: meter.advance(), threads=args.threads)
    if args.json:
        print(json.dumps({"ok": report.ok, **asdict(report)}))
        return 0 if report.ok else 1
    for problem in report.problems:
        print(f"{args.corpus}: {problem}")
    if report.ok and not args.quiet:
        print(
            f"{args.corpus} is sound: {counted(report.samples, 'sample')} in {counted(report.parts, 'part')} of "
            f"{counted(report.shards, 'shard')}, {report.bytes / 1e6:.1f} MB, {counted(report.lost, 'image')} lost "
            "when it was made"
        )
    return 0 if report.ok else 1
