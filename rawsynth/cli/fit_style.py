"""fit the style of a camera and ISP to a few of its pairs

What moves, what the figures mean, when it helps: docs/fit-style.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from rawsynth.training.style_run import StyleRun

DESCRIPTION = """\
Fit the style of one camera and ISP to three to ten of its pairs of sRGB and RAW, in seconds on a CPU. The network stays
as it is; what is written is a style file of a few kB, for ReverseISP(style=...) and `rawsynth generate --style`. Prints
PSNR before, after, and for pairs whose scene was left out of the fit.
Exit code 0 if the style was fitted to all pairs that were asked for, 1 if some of them were at fault or nothing was
written, 2 for wrong usage.

examples:
  rawsynth pairs photos/ pairs/
  rawsynth fit-style pairs/ mycam.safetensors
  rawsynth fit-style pairs/ mycam.safetensors --limit 3 --weights my-weights.safetensors
  rawsynth fit-style aim22/train s7.safetensors --white-balance 1.9,1.6 --camera "Samsung Galaxy S7" --cct 5500
  rawsynth generate photos/ corpus-mine/ --style mycam.safetensors
"""

METHOD = "rst_isp_net_small"
_FIGURES = ("before", "after", "left_out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("pairs", help="folder, tar or URL of pairs of one camera and ISP")
    parser.add_argument("output", help="file or URL of the style, NAME.safetensors")
    parser.add_argument("--weights", metavar="FILE", help="weights that the style is for, if not the packaged ones")
    parser.add_argument(
        "--limit", type=_count, default=10, metavar="N", help="most pairs, of as many scenes as there are (default 10)"
    )
    parser.add_argument("--layout", default="auto", help="layout of the pairs (default auto)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the pixels drawn (default 0)")
    parser.add_argument("--steps", type=_count, metavar="N", help="most steps of each descent (default 40)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT")
    color = parser.add_argument_group("colour, where the pairs do not state it; what is given here wins")
    color.add_argument("--white-balance", type=_numbers(2), metavar="RED,BLUE", help="gains; green has 1")
    color.add_argument(
        "--cam-from-srgb", type=_numbers(9), metavar="M11,...,M33", help="matrix by rows, each of which sums to 1"
    )
    color.add_argument("--camera", metavar="NAME", help="take both from a camera profile; needs --cct")
    color.add_argument("--cct", type=float, metavar="K", help="temperature of the pairs' light, for --camera")
    said = parser.add_argument_group("what is said")
    said.add_argument("--json", action="store_true", help="print the style's card as JSON instead of the table")
    said.add_argument("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Fit the style."""
    from rawsynth import storage
    from rawsynth.methods.style_file import SUFFIX, save_style

    if not args.output.endswith(SUFFIX):
        raise UsageError(f"OUTPUT is a file that ends in {SUFFIX}; got {args.output!r}.")
    stated = stated_color(args)
    if storage.exists(args.output) and not args.overwrite:
        raise UsageError(f"{args.output} is there; name another file, or pass --overwrite.")
    from rawsynth.pairs import open_pairs
    from rawsynth.training.style_pairs import read_style_pairs

    method = load_method(args.weights)
    lost: list[str] = []
    pairs = read_style_pairs(open_pairs(args.pairs, layout=args.layout), limit=args.limit, tell=lost.append, **stated)
    for text in lost:
        print(f"rawsynth fit-style: {text}", file=sys.stderr)
    if len(pairs) < 3:
        print(
            f"rawsynth fit-style: {len(pairs)} pair{'s' * (len(pairs) > 1)} only: a style knows the colours and levels "
            "that its pairs have; three of other scenes are better.",
            file=sys.stderr,
        )
    fitted = _fit(args, method, pairs)
    save_style(args.output, fitted.fitted)
    print(_json(fitted) if args.json else summarize(fitted, args.output))
    return 1 if lost else 0


def _fit(args: argparse.Namespace, method: Any, pairs: Any) -> StyleRun:
    from dataclasses import replace

    from rawsynth.meter import Meter
    from rawsynth.training.style_fit import FitOptions
    from rawsynth.training.style_run import folds, run_fit

    options = FitOptions(seed=args.seed)
    options = options if args.steps is None else replace(options, steps=args.steps)
    fits = 1 + len(folds([pair.scene for pair in pairs]))
    with Meter("fit", fits, name="rawsynth fit-style", shown=not args.quiet) as meter:
        return run_fit(
            method.network, pairs, weights_digest=method.digest, options=options, camera=args.camera,
            progress=meter.advance,
        )  # fmt: skip


def stated_color(args: argparse.Namespace) -> dict[str, Any]:
    """Return ``cam_from_srgb`` and ``white_balance`` as far as the options state them.

    Raises:
        UsageError: a camera without a temperature or a temperature without a camera.
        UnknownNameError: no such camera.
    """
    stated: dict[str, Any] = {}
    if (args.camera is None) != (args.cct is None):
        raise UsageError("--camera and --cct go together: a camera's colour depends on the light.")
    if args.camera is not None:
        from rawsynth.cameras import load_camera

        matrix, gains = load_camera(args.camera).color(args.cct)
        stated = {"cam_from_srgb": matrix, "white_balance": gains}
    if args.white_balance is not None:
        stated["white_balance"] = args.white_balance
    if args.cam_from_srgb is not None:
        stated["cam_from_srgb"] = [args.cam_from_srgb[row : row + 3] for row in (0, 3, 6)]
    return stated


def load_method(weights: str | None) -> Any:
    """Load the network that styles are for.

    Raises:
        UsageError: weights of another architecture, or none that can be read.
    """
    from rawsynth.methods import METHODS

    return METHODS[METHOD].create(weights)


def summarize(run: StyleRun, output: str) -> str:
    """Return a Markdown table of the figures and what was decided."""
    figures = [score.to_json() for score in run.scores]
    rows = [[f"{row['key']}", *(_decibel(row[f"{name}_db"]) for name in _FIGURES)] for row in figures]
    metrics = run.fitted.card.metrics
    rows.append(["mean", *(_decibel(metrics.get(f"{name}_db")) for name in _FIGURES)])
    lines = ["| absolute / exposure-fitted PSNR, dB | before | after | its scene left out |"]
    lines += ["| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    means = {"fixed": "the same for every frame", "frame": "each frame's own, as the network sees it, and an offset"}
    spread = run.fit.spread_ev
    because = "" if spread is None else f" (spread {spread[0]:.2f} EV; against the frames' own {spread[1]:.2f} EV)"
    lines += ["", f"exposure: {means[run.fitted.exposure]}{because}"]
    text = "\n".join([*lines, f"style: {output}, sha256 {run.fitted.digest[:12]}"])
    # A key may hold bytes that are no text.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _decibel(pair: list[float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:.2f} / {pair[1]:.2f}"


def _json(run: StyleRun) -> str:
    import json

    fitted = run.fitted
    about = {"digest": fitted.digest, "weights_digest": fitted.weights_digest, "exposure": fitted.exposure}
    return json.dumps(about | fitted.card.model_dump(mode="json"), indent=1, allow_nan=False)


def _count(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number, 1 or more; got {text!r}")
    return number


def _numbers(count: int) -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"wanted {count} numbers with commas between them; got {text!r}")
        return values

    return parse
