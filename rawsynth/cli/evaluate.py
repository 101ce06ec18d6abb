"""score a reverse ISP over pairs of sRGB and RAW

What each number means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from rawsynth.evaluation.result import Evaluation
    from rawsynth.pairs import PairSet

DESCRIPTION = """\
Run a method over pairs of sRGB and reference RAW and score what it makes: the official AIM 2022 scores, PSNR, PSNR with
one factor of exposure forgiven. Prints a Markdown table with 95 % intervals over scenes; --output also writes a row an
image and pictures of where the method is wrong.
Exit code 0 if every pair was scored, 1 if some or all could not be, 2 for wrong usage.

examples:
  rawsynth evaluate pairs/ --method unprocess --output scores/
  rawsynth evaluate pairs/ --method rst_isp_net_small --style mycam.safetensors --output scores/
  rawsynth evaluate pairs/ --method rst_isp_net --weights s7.safetensors --output scores/ --device cuda
  rawsynth evaluate aim22/train --layout aim22_s7 --splits train=0.9,val=0.1 --split val --output scores/
  rawsynth evaluate s3://bucket/pairs --limit 100 --pictures 0 --json
"""

_NAMED_ERRORS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("pairs", help="folder, tar or URL of the pairs")
    parser.add_argument("--method", default="unprocess", help="name of the reverse ISP (default unprocess)")
    parser.add_argument("--weights", metavar="FILE", help="weights of a learned method, if not the packaged ones")
    parser.add_argument("--style", metavar="FILE", help="style that fit-style wrote, for rst_isp_net_small")
    parser.add_argument("--output", metavar="DIR", help="folder or URL for evaluation.json, images.csv and pictures")
    chosen = parser.add_argument_group("which pairs")
    chosen.add_argument("--layout", default="auto", help="layout of the pairs (default auto)")
    chosen.add_argument("--splits", metavar="NAME=SHARE,...", help="split the scenes by shares: train=0.9,val=0.1")
    chosen.add_argument("--split", metavar="NAME", help="score this one of --splits only")
    chosen.add_argument("--split-seed", type=int, default=0, metavar="N", help="seed of the split (default 0)")
    chosen.add_argument("--limit", type=at_least(1), metavar="N", help="at most N pairs, spread evenly over the set")
    add_conditions(parser)
    said = parser.add_argument_group("what is said")
    said.add_argument("--pictures", type=at_least(0), default=8, metavar="N", help="images to draw (default 8)")
    said.add_argument("--json", action="store_true", help="print evaluation.json instead of the table")
    said.add_argument("--quiet", action="store_true", help="no progress")


def add_conditions(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the arguments that say how methods are run, and return their group."""
    how = parser.add_argument_group("how they are run")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    how.add_argument(
        "--dtype",
        default="float32",
        choices=["float32", "bfloat16", "float16"],
        help="arithmetic of a method; scores are float64 always (default float32)",
    )
    how.add_argument("--batch", type=at_least(1), metavar="N", help="at most N images at once")
    how.add_argument("--drawn-color", action="store_true", help="do not tell a method the colour that pairs state")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed of what is drawn (default 0)")
    return how


def at_least(bound: int) -> Callable[[str], int]:
    """Return what reads a whole number of ``bound`` or more."""

    def parse(text: str) -> int:
        number = int(text) if text.strip().isdecimal() else -1
        if number < bound:
            raise argparse.ArgumentTypeError(f"wanted a whole number, {bound} or more; got {text!r}")
        return number

    return parse


def run(args: argparse.Namespace) -> int:
    """Evaluate the method."""
    shares = parse_shares(args.splits, args.split)
    import torch

    from rawsynth.evaluation.evaluate import evaluate
    from rawsynth.evaluation.report import json_text, markdown_table
    from rawsynth.meter import Meter
    from rawsynth.pipeline.environment import check_device
    from rawsynth.transforms import ReverseISP

    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = check_device(wanted if args.device == "auto" else args.device)
    to_raw = ReverseISP(args.method, args.weights, style=args.style, seed=args.seed)
    pairs = choose_pairs(args, shares)
    labels = {name: getattr(args, name) for name in ("pairs", "layout", "splits", "split", "split_seed", "limit")}
    labels |= {name: getattr(args, name) for name in ("weights", "style", "dtype", "seed")} | {"device": str(device)}
    with Meter("image", len(pairs), name="rawsynth evaluate", shown=not args.quiet) as meter:
        evaluation = evaluate(
            to_raw,
            pairs,
            device=device,
            dtype=getattr(torch, args.dtype),
            batch=args.batch,
            known_color=not args.drawn_color,
            output=args.output,
            pictures=args.pictures,
            labels=labels,
            progress=meter.advance,
        )
    print(json_text(evaluation) if args.json else markdown_table(evaluation))
    _tell_errors(evaluation)
    return 1 if evaluation.errors else 0


def parse_shares(splits: str | None, split: str | None) -> dict[str, float] | None:
    """Read ``train=0.9,val=0.1`` and check that the split asked for is one of them.

    Raises:
        UsageError: one option without the other, what is no number, or a name that is not there or there twice.
    """
    if splits is None and split is None:
        return None
    if splits is None or split is None:
        raise UsageError("a split takes both: --splits train=0.9,val=0.1 --split val.")
    rows = [(name.strip(), share) for name, _, share in (part.partition("=") for part in splits.split(","))]
    try:
        shares = {name: float(share) for name, share in rows}
    except ValueError as error:
        raise UsageError(f"--splits is NAME=SHARE,NAME=SHARE, ...; got {splits!r}.") from error
    if len(shares) != len(rows) or split not in shares:
        raise UsageError(f"--split names one of --splits, which names each once; got {split!r} and {splits!r}.")
    return shares


def choose_pairs(args: argparse.Namespace, shares: dict[str, float] | None) -> PairSet:
    """Open the pairs and keep the split and the number that were asked for.

    Raises:
        UsageError, InputAccessError: there are none, or they cannot be reached.
    """
    from rawsynth.pairs import open_pairs, split_scenes

    pairs = open_pairs(args.pairs, layout=args.layout)
    if shares is not None:
        pairs = split_scenes(pairs, shares, seed=args.split_seed)[args.split]
    if args.limit is None or args.limit >= len(pairs):
        return pairs
    return pairs.subset([k * len(pairs) // args.limit for k in range(args.limit)])


def _tell_errors(evaluation: Evaluation) -> None:
    for what, errors in (("not scored", evaluation.errors), ("not drawn", evaluation.picture_errors)):
        for key, cause in list(errors.items())[:_NAMED_ERRORS]:
            print(f"rawsynth evaluate: {key}: {what}: {cause}", file=sys.stderr)
        if len(errors) > _NAMED_ERRORS:
            print(f"rawsynth evaluate: {len(errors) - _NAMED_ERRORS} more were {what}; see --json.", file=sys.stderr)
