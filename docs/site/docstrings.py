"""Docstrings as the site shows them: cross references as code, examples as blocks, a line a parameter."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([^`]+)`")
_EXAMPLE = re.compile(r"(?:^[ \t]*>>>.*\n?(?:^[ \t]*\S.*\n?)*)+", re.MULTILINE)
_SHARED = re.compile(r"^    (\w+(?:, \w+)+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def shown(text: str) -> str:
    """Return a docstring without Sphinx's roles, with its examples fenced and names that share a line apart.

    >>> shown("Adds :class:`~rawsynth.RawImage`.")
    'Adds `RawImage`.'
    >>> print(shown("    shot, read: S and O."))
        shot: S and O.
        read: S and O.
    """
    text = _SHARED.sub(lambda match: "\n".join(f"    {name}: {match[2]}" for name in match[1].split(", ")), text)
    text = _ROLE.sub(lambda match: f"`{match[1].removeprefix('rawsynth.').rsplit('.', 1)[-1]}`", text)
    text = text.replace("\n::\n", "\n").replace("::\n\n    ", ":\n\n    ")
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
