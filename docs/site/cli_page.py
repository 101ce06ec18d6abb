"""The command line's page, from the parsers themselves."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from rawsynth.cli.main import build_parser, summaries


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb by its name."""
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def render() -> str:
    """Return the page: a section a verb, with its words, its examples and a table of its options."""
    parts = ["# Command line", "Made from the parsers; `rawsynth VERB --help` says the same."]
    parts.append("| verb | |\n| --- | --- |\n" + "\n".join(_summaries()))
    for name, parser in verbs().items():
        parts += [f"## rawsynth {name}", *_description(parser.description or ""), *_tables(parser)]
    return "\n\n".join(parts) + "\n"


def _summaries() -> Iterator[str]:
    for name, said in summaries().items():
        yield f"| [`{name}`](#rawsynth-{name}) | {_cell(said)} |"


def _description(text: str) -> Iterator[str]:
    words, _, examples = text.partition("examples:\n")
    yield _escaped(words.strip())
    if examples:
        yield "```bash\n" + "\n".join(line.strip() for line in examples.strip().splitlines()) + "\n```"


def _tables(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
        if actions:
            rows = [f"| `{_spelling(action)}` | {_cell(_help(parser, action))} |" for action in actions]
            title = "arguments" if group.title == "positional arguments" else group.title or ""
            yield f"| {title} | |\n| --- | --- |\n" + "\n".join(rows)


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest).upper()
    spelled = ", ".join(action.option_strings)
    if action.nargs == 0:
        return spelled
    named = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.metavar or action.dest.upper()
    return f"{spelled} {named if isinstance(named, str) else ' '.join(named)}"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", r"\|")


def _escaped(text: str) -> str:
    """Escape what Markdown would take for its own, outside code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<>*_])", r"\\\1", part) for part in parts)
