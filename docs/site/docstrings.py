"""Docstrings as the site shows them: cross references as code, examples as blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([^`]+)`")
_EXAMPLE = re.compile(r"(?:^[ \t]*>>>.*\n?(?:^[ \t]*\S.*\n?)*)+", re.MULTILINE)


def shown(text: str) -> str:
    """Return a docstring without Sphinx's roles and with its examples fenced.

    >>> shown("Adds :class:`~rawsynth.RawImage`.")
    'Adds `RawImage`.'
    """
    text = _ROLE.sub(lambda match: f"`{match[1].removeprefix('rawsynth.').rsplit('.', 1)[-1]}`", text)
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
