"""score many reverse ISPs on many sets, in one table

What each number means, and what cannot be compared: docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rawsynth.cli.evaluate import add_conditions, at_least
from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from rawsynth.evaluation.bench.result import BenchResult

DESCRIPTION = """\
Score reverse ISPs side by side. A SET is pairs as `rawsynth evaluate` takes them (AIM 2022 folders, `rawsynth pairs`,
corpora with --srgb), RAW files or a folder of them, which are developed here by LibRaw and by what is installed of
dcraw_emu, darktable and RawTherapee, or `synthetic`: photographs through simulated cameras and ISPs.
Writes bench.json, bench.md and bench.html, a page with crops side by side. Run again to go on: a method that is
finished on a set is read back if weights, options and pairs are the same.
Exit code 0 if every method was scored on every pair, 1 if not, 2 for wrong usage.

examples:
  rawsynth bench synthetic
  rawsynth bench pairs/ photos-as-raw/ --methods unprocess,srgb_linear,rst_isp_net_small,oracle --output scores/
  rawsynth bench ~/Pictures/raws --software rawpy,darktable
  rawsynth bench aim22/train --weights rst_isp_net=s7.safetensors --device cuda
  rawsynth bench synthetic --own mine.py:MyMethod --limit 8
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sets", nargs="+", metavar="SET", help="pairs, RAW files, or: synthetic")
    parser.add_argument("--output", metavar="DIR", default="bench", help="folder or URL (default bench)")
    _add_methods(parser)
    _add_sets(parser)
    how = add_conditions(parser)
    how.add_argument("--rounds", type=at_least(0), default=3, metavar="N", help="of timing, 0 for none (default 3)")
    said = parser.add_argument_group("what is said")
    said.add_argument("--pictures", type=at_least(0), default=2, metavar="N", help="pairs to draw a set (default 2)")
    said.add_argument("--json", action="store_true", help="print bench.json instead of the tables")
    said.add_argument("--quiet", action="store_true", help="no progress")


def _add_methods(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group("which methods")
    who.add_argument("--methods", metavar="A,B,...", help="methods, and oracle (default: all that can run)")
    who.add_argument(
        "--weights", action="append", default=[], metavar="METHOD=FILE", help="weights that are not the packaged ones"
    )
    who.add_argument("--style", metavar="FILE", help="of fit-style: a second row for rst_isp_net_small")
    who.add_argument(
        "--own", action="append", default=[], metavar="FILE.py:CLASS", help="a ReverseMethod of yours; FILE.py is run"
    )
    who.add_argument("--baseline", metavar="METHOD", help="what differences are to (default unprocess)")


def _add_sets(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_argument_group("which pairs")
    chosen.add_argument("--layout", default="auto", help="layout of stored pairs (default auto)")
    chosen.add_argument("--limit", type=at_least(1), metavar="N", help="at most N pairs a set, spread evenly over it")
    chosen.add_argument("--software", metavar="A,B,...", help="what develops RAW files (default: all that is there)")
    chosen.add_argument("--work", metavar="DIR", help="local folder of developed pairs (default: renderings/ in DIR)")
    chosen.add_argument("--photographs", metavar="DIR", help="of the synthetic set (default: scikit-image's four)")
    chosen.add_argument(
        "--crop", type=at_least(32), default=256, metavar="N", help="side of synthetic pairs, even (default 256)"
    )
    chosen.add_argument(
        "--renditions", type=at_least(1), default=4, metavar="N", help="synthetic pairs a photograph (default 4)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the bench."""
    weights = dict(_assignment(text) for text in args.weights)
    import torch

    from rawsynth.cli.bench_bar import BenchBar
    from rawsynth.cli.main import EXIT_INTERRUPTED
    from rawsynth.cli.printable import printable
    from rawsynth.cli.stopping import stopping_within_seconds
    from rawsynth.evaluation.bench.entries import Conditions, build_entries
    from rawsynth.evaluation.bench.own import load_own_method
    from rawsynth.evaluation.bench.report import json_text
    from rawsynth.evaluation.bench.run import BenchOptions, run_bench
    from rawsynth.evaluation.bench.sets import open_sets
    from rawsynth.evaluation.bench.tables import markdown
    from rawsynth.pipeline.environment import check_device

    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = check_device(wanted if args.device == "auto" else args.device)
    conditions = Conditions(device, getattr(torch, args.dtype), not args.drawn_color, args.seed)
    own = [load_own_method(place) for place in args.own]
    names = _names(args.methods, "--methods")
    entries, left_out = build_entries(names, conditions, weights=weights, style=args.style, own=own)
    options = BenchOptions(conditions, args.baseline, args.batch, args.pictures, args.rounds)
    with stopping_within_seconds(EXIT_INTERRUPTED), BenchBar(shown=not args.quiet) as bar:
        sets = open_sets(args.sets, _set_options(args), tell=bar.tell)
        found = run_bench(entries, sets, args.output, options=options, left_out=left_out, observer=bar)
    print(json_text(found) if args.json else markdown(found), end="")
    for line in _problems(found):
        print(f"rawsynth bench: {printable(line)}", file=sys.stderr)
    return 1 if found.faults else 0


def _problems(found: BenchResult) -> list[str]:
    return [f"{name} left out: {why}" for name, why in found.left_out.items()] + found.faults


def _set_options(args: argparse.Namespace) -> Any:
    from rawsynth import storage
    from rawsynth.evaluation.bench.sets import SetOptions

    return SetOptions(
        layout=args.layout,
        software=_names(args.software, "--software"),
        work=args.work or storage.join(args.output, "renderings"),
        photographs=args.photographs,
        crop=args.crop,
        renditions=args.renditions,
        seed=args.seed,
        limit=args.limit,
    )


def _names(text: str | None, option: str) -> Sequence[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise UsageError(f"{option} takes names with commas between, each once; got {text!r}.")
    return names


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError(f"--weights takes METHOD=FILE, such as rst_isp_net=s7.safetensors; got {text!r}.")
    return name, value
