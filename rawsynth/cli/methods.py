"""list the reverse ISPs: size, needs, source, licence, weights

What they do and how they compare: docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawsynth.methods.listing import MethodRow

DESCRIPTION = """\
List the reverse ISPs: the parameters of their networks, what they need and may be told, where they were published,
under which licence the original stands, whether weights come with the package. What is here was written anew, under
this project's licence. The oracle is no method: only `rawsynth bench` runs it.

On a terminal that is too narrow the last columns come below each method; elsewhere each has one line.

examples:
  rawsynth methods
  rawsynth methods --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, with a summary of each")


def run(args: argparse.Namespace) -> int:
    """List them."""
    from rawsynth.methods.listing import list_methods

    rows = [*list_methods(), oracle_row()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(fitted(shown(rows), width)))
    return 0


def oracle_row() -> MethodRow:
    """Return the row of what only the bench runs."""
    from rawsynth.evaluation import oracle
    from rawsynth.methods.listing import MethodRow

    return MethodRow(
        name=oracle.NAME,
        parameters=oracle.PARAMETERS,
        needs="reference",
        takes=(),
        summary="the picture's own best cubic polynomial, fitted to the reference: bench only, no method",
        source="this project",
        licence="this project's own",
        weights=(),
        trainable=False,
    )


def shown(rows: Sequence[MethodRow]) -> list[list[str]]:
    """Return the list for people."""
    found = [["method", "parameters", "needs", "takes", "weights ship", "trainable", "source", "original's licence"]]
    for row in rows:
        ship = ", ".join(row.weights) if row.weights else "no" if row.trainable else "none needed"
        found.append(
            [
                row.name,
                f"{row.parameters:,}",
                row.needs,
                ", ".join(row.takes) or "-",
                ship,
                "yes" if row.trainable else "no",
                row.source,
                row.licence,
            ]
        )
    return found


def fitted(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Align columns; those that do not fit the width come below their row, each with its head, wrapped.

    Args:
        rows: the heads, then a row a line.
        width: characters; ``None`` for as many as it takes.
    """
    from rawsynth.cli.cameras import table

    kept = len(rows[0])
    lines = table(rows)
    while width is not None and kept > 2 and max(map(len, lines)) > width:
        kept -= 1
        lines = table([row[:kept] for row in rows])
    if kept == len(rows[0]):
        return lines
    assert width is not None
    found = lines[:1]
    for line, row in zip(lines[1:], rows[1:], strict=True):
        rest = "; ".join(f"{head}: {cell}" for head, cell in zip(rows[0][kept:], row[kept:], strict=True))
        indent = "    "
        found += [line, *textwrap.wrap(rest, max(width, 20), initial_indent=indent, subsequent_indent=indent)]
    return found
