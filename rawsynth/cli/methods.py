"""list the reverse ISPs: size, needs, source, licence, weights

What they do and how they compare: docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawsynth.methods.listing import MethodRow

DESCRIPTION = """\
List the reverse ISPs: the parameters of their networks, what they need and may be told, where they were published,
under which licence the original stands, whether weights come with the package. What is here was written anew, under
this project's licence. The oracle is no method: only `rawsynth bench` runs it.

examples:
  rawsynth methods
  rawsynth methods --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, with a summary of each")


def run(args: argparse.Namespace) -> int:
    """List them."""
    from rawsynth.cli.cameras import table
    from rawsynth.methods.listing import list_methods

    rows = [*list_methods(), oracle_row()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print("\n".join(table(shown(rows))))
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
