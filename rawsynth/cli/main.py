"""Entry point: parse, run the verb, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rawsynth import __version__
from rawsynth.cli import (
    calibrate,
    cameras,
    demo,
    doctor,
    evaluate,
    fit_style,
    generate,
    index,
    noise_report,
    pairs,
    status,
    train,
    verify,
)
from rawsynth.cli.printable import printable
from rawsynth.errors import RawsynthError, UsageError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
VERBS = {
    "calibrate": calibrate,
    "cameras": cameras,
    "demo": demo,
    "doctor": doctor,
    "evaluate": evaluate,
    "fit-style": fit_style,
    "generate": generate,
    "index": index,
    "noise-report": noise_report,
    "pairs": pairs,
    "status": status,
    "train": train,
    "verify": verify,
}
RESUMABLE = ("generate", "train")

_DESCRIPTION = """\
Turn sRGB photographs into noisy/clean RAW corpora for training denoisers.

examples:
  rawsynth demo
  rawsynth generate photos/ corpus/
  rawsynth verify corpus/
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    parser = argparse.ArgumentParser(
        "rawsynth", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"rawsynth {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=(module.__doc__ or "").splitlines()[0],
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 failed or incomplete, 2 wrong usage, 130 interrupted.
    """
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except UsageError as error:
        print(f"rawsynth {args.verb}: {printable(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except RawsynthError as error:
        print(f"rawsynth {args.verb}: {printable(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where this one stopped" if args.verb in RESUMABLE else ""
        print(f"\nrawsynth {args.verb}: interrupted{goes_on}.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`rawsynth ... | head`); keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
