"""Entry point: parse, run the verb, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from rawsynth import __version__
from rawsynth.cli import (
    bench,
    calibrate,
    cameras,
    demo,
    doctor,
    evaluate,
    export,
    fit_style,
    generate,
    import_weights,
    index,
    inspect,
    methods,
    noise_report,
    pairs,
    preview,
    status,
    train,
    verify,
)
from rawsynth.cli.printable import printable
from rawsynth.errors import OutputError, RawsynthError, UsageError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
VERBS = {
    "bench": bench,
    "calibrate": calibrate,
    "cameras": cameras,
    "demo": demo,
    "doctor": doctor,
    "evaluate": evaluate,
    "export": export,
    "fit-style": fit_style,
    "generate": generate,
    "import-weights": import_weights,
    "index": index,
    "inspect": inspect,
    "methods": methods,
    "noise-report": noise_report,
    "pairs": pairs,
    "preview": preview,
    "status": status,
    "train": train,
    "verify": verify,
}
RESUMABLE = ("bench", "export", "generate", "train")

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
        verb.set_defaults(run=module.run, options=list(verb._option_string_actions))
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse; an option that does not exist is named with the one that was meant, no argument at all shows the help."""
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(EXIT_USAGE)
    first = argv[0]
    if first not in VERBS and first not in parser._option_string_actions:
        near = get_close_matches(first, [*VERBS, *parser._option_string_actions], 1)
        meant = f"; did you mean {near[0]}?" if near else "."
        kind = "option" if first.startswith("-") else "verb"
        parser.exit(
            EXIT_USAGE, f"rawsynth: there is no {kind} {printable(first)}{meant} `rawsynth --help` lists all.\n"
        )
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        near = [match for word in unknown for match in get_close_matches(word.partition("=")[0], args.options, 1)]
        meant = f"; did you mean {near[0]}?" if near else "."
        parser.exit(
            EXIT_USAGE,
            f"rawsynth {args.verb}: unrecognized arguments: {printable(' '.join(unknown))}{meant} "
            f"`rawsynth {args.verb} --help` lists all.\n",
        )
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 failed or incomplete, 2 wrong usage, 130 interrupted.
    """
    args = parse(build_parser(), sys.argv[1:] if argv is None else argv)
    try:
        return run_verb(args)
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
        # Whoever read our output has gone (`rawsynth ... | head`).
        drop_output()
        return EXIT_FAILED


def run_verb(args: argparse.Namespace) -> int:
    """Run the verb and send what it printed, while a reader that has gone or a full disk can still be answered for.

    Raises:
        BrokenPipeError: nobody reads any more.
        OutputError: a disk is full, that of the standard output or of temporary files: storage answers for its own.
    """
    try:
        code: int = args.run(args)
        # There is none where it was closed.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except RawsynthError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        drop_output()
        raise OutputError(f"cannot write the standard output, or a temporary file: {error.strerror}.") from error


def drop_output() -> None:
    """Keep the interpreter from failing once more at exit, on what could not be sent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
