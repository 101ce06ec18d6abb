"""Entry point: parse, run the verb, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Sequence

from rawsynth import __version__
from rawsynth.cli import (
    bench,
    calibrate,
    cameras,
    completion,
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
from rawsynth.cli.device_faults import device_fault
from rawsynth.cli.parser import EXIT_USAGE, HelpFormatter, Parser, grouped, nearest
from rawsynth.cli.printable import printable
from rawsynth.errors import OutputError, RawsynthError, UsageError

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
VERBS = {
    "demo": demo,
    "generate": generate,
    "status": status,
    "verify": verify,
    "preview": preview,
    "inspect": inspect,
    "index": index,
    "export": export,
    "cameras": cameras,
    "calibrate": calibrate,
    "noise-report": noise_report,
    "methods": methods,
    "pairs": pairs,
    "fit-style": fit_style,
    "train": train,
    "evaluate": evaluate,
    "bench": bench,
    "import-weights": import_weights,
    "doctor": doctor,
    "completion": completion,
}
# As a newcomer meets them.
GROUPS = {
    "make a corpus": ("demo", "generate", "status", "verify"),
    "look at one and take it elsewhere": ("preview", "inspect", "index", "export"),
    "cameras and their noise": ("cameras", "calibrate", "noise-report"),
    "reverse ISPs": ("methods", "pairs", "fit-style", "train", "evaluate", "bench", "import-weights"),
    "this installation": ("doctor", "completion"),
}
RESUMABLE = ("bench", "export", "generate", "train")

_DESCRIPTION = """\
Turn sRGB photographs into noisy/clean RAW corpora for training denoisers.

examples:
  rawsynth demo
  rawsynth generate photos/ corpus/
  rawsynth verify corpus/
"""


def summaries() -> dict[str, str]:
    """Return each verb with what it does, in a line."""
    return {name: (module.__doc__ or "").splitlines()[0] for name, module in VERBS.items()}


def build_parser() -> Parser:
    """Build the parser of all verbs."""
    parser = Parser(
        "rawsynth",
        usage="%(prog)s VERB ...",
        description=f"{_DESCRIPTION}\n{grouped(GROUPS, summaries())}",
        epilog="`rawsynth VERB --help` says what a verb takes, with examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rawsynth {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", prog="rawsynth", help=argparse.SUPPRESS)
    for name, module in VERBS.items():
        verb = verbs.add_parser(name, description=module.DESCRIPTION, formatter_class=HelpFormatter, allow_abbrev=False)
        module.add_arguments(verb)
        verb.shorten_usage()
        verb.set_defaults(run=module.run, options=list(verb._option_string_actions))
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse; what does not exist is answered with what was meant, no argument at all with the help."""
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(EXIT_USAGE)
    first = argv[0]
    if first not in VERBS and first not in parser._option_string_actions:
        kind = "option" if first.startswith("-") else "verb"
        meant = nearest([first], [*VERBS, *parser._option_string_actions]) or "."
        parser.exit(EXIT_USAGE, f"rawsynth: no {kind} {printable(first)!r}{meant} `rawsynth --help` lists all.\n")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        meant = nearest(unknown, args.options) or "."
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
        return _failed(args, str(error), EXIT_USAGE)
    except RawsynthError as error:
        return _failed(args, str(error), EXIT_FAILED)
    except RuntimeError as error:
        said = device_fault(error)
        if said is None:
            raise
        return _failed(args, said, EXIT_FAILED)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where this one stopped" if args.verb in RESUMABLE else ""
        print(f"\nrawsynth {args.verb}: interrupted{goes_on}.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`rawsynth ... | head`).
        drop_output()
        return EXIT_FAILED


def _failed(args: argparse.Namespace, text: str, code: int) -> int:
    """Say what ended the verb: a line, or an object among those of ``--json-log``."""
    if getattr(args, "run.json_log", False):
        event = {"time": round(time.time(), 3), "event": "error", "text": text, "exit_code": code}
        print(json.dumps(event), file=sys.stderr)
    else:
        print(f"rawsynth {args.verb}: {printable(text)}", file=sys.stderr)
    return code


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
