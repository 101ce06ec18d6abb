"""say what this installation can do, what is broken and what would be faster

Looks at versions, codecs, the machine and the extras; times both methods; tries a place for a corpus.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawsynth.engine.doctor import Examination

DESCRIPTION = """\
Examine this installation and this machine: versions, image codecs, cores, GPUs, memory, optional parts; time both
methods for a second each on images of 504x504; with --write-test, try whether a folder or URL can take a corpus. Ends
with what would help. Exit code 0 if nothing is broken, 1 if something is, 2 for wrong usage.

examples:
  rawsynth doctor
  rawsynth doctor --write-test s3://bucket/corpora
  rawsynth doctor --seconds 0 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--write-test", metavar="URL", help="write a file of 1 kB to this folder or URL, read it, list it and remove it"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="time each method so long; 0: not at all (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="print all findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Examine and tell."""
    from rawsynth import __version__
    from rawsynth.errors import UsageError

    if not 0 <= args.seconds <= 600:
        raise UsageError(f"--seconds is 0 to 600; got {args.seconds:g}.")
    from rawsynth.engine.doctor import examine

    found = examine(write_to=args.write_test, seconds=args.seconds)
    print(json.dumps({"rawsynth": __version__, **found.to_json()}, indent=1) if args.json else describe(found))
    return found.exit_code


def describe(found: Examination) -> str:
    """Say in words what was found, topic by topic, then what would help."""
    lines: list[str] = []
    for topic, findings in groupby(found.findings, key=lambda finding: finding.topic):
        lines += ["", topic]
        for finding in findings:
            mark = "!" if finding.state == "broken" else " "
            lines.append(f"{mark} {finding.name:<18}{finding.shown}")
    broken = [f"! {finding.name}: {finding.advice or finding.shown}" for finding in found.broken]
    helpful = [f"  {finding.advice}" for finding in found.findings if finding.state == "note" and finding.advice]
    if helpful:
        lines += ["", "what would help", *helpful]
    lines += ["", *(["broken", *broken] if broken else ["nothing is broken"])]
    return "\n".join(lines[1:])
