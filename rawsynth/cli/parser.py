"""How the command line is parsed and how it speaks of itself: help in the width at hand, errors of one line."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NoReturn

from rawsynth.cli.printable import printable

EXIT_USAGE = 2
_EXAMPLES = "examples:\n"
# A longer usage hides what is wrong with it.
_LONGEST_USAGE = 240


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wraps the words of a description to the terminal; its examples stay as they are, to be pasted."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        words, heading, examples = text.partition(_EXAMPLES)
        words = words.replace("\nExit code", "\n\nExit code")
        paragraphs = [textwrap.fill(" ".join(part.split()), width) for part in words.split("\n\n") if part.strip()]
        return "\n\n".join([*paragraphs, heading + examples]) if heading else "\n\n".join(paragraphs)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that leads to the help, and whose usage is short where it has many options."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong."""
        usage = f"; usage: {self._short_usage()}" if "are required" in message else ""
        self.exit(EXIT_USAGE, f"{self.prog}: {printable(message)}{usage}. `{self.prog} --help` says what it takes.\n")

    def shorten_usage(self) -> None:
        """Leave the options out of a usage that they would fill; call it when all arguments are there."""
        usage = self.format_usage()
        if len(usage) > _LONGEST_USAGE:
            self.usage = self._short_usage()

    def _short_usage(self) -> str:
        named = [action for action in self._actions if not action.option_strings]
        return " ".join([self.prog, *map(_spelled, named), "[options]"])


def _spelled(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    repeated = {"?": "[{}]", "*": "[{} ...]", "+": "{} [{} ...]"}.get(str(action.nargs), "{}")
    return repeated.replace("{}", name)


def nearest(words: Iterable[str], known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` of the first word that is near to something known, or nothing."""
    names = list(known)
    near = [match for word in words for match in get_close_matches(word.partition("=")[0], names, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def grouped(groups: Mapping[str, Iterable[str]], said: Mapping[str, str]) -> str:
    """Write names under headings, each with what is said of it, in the width of the terminal."""
    width, column = shutil.get_terminal_size().columns - 2, 4 + max(map(len, said))
    lines = []
    for title, names in groups.items():
        lines += ["", f"{title}:"]
        for name in names:
            lead, rest = f"  {name:<{column - 2}}", " " * column
            lines.append(textwrap.fill(said[name], width, initial_indent=lead, subsequent_indent=rest))
    return "\n".join(lines[1:])
