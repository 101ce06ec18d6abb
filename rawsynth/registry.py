"""One lookup for every table of names, so that every unknown name is answered alike."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from rawsynth.errors import UnknownNameError

T = TypeVar("T")

# A longer list would hide the sentence in front of it.
_MOST_LISTED = 40


def pick(table: Mapping[str, T], name: str, kind: str, *, meant: str | None = None) -> T:
    """Return ``table[name]``.

    Args:
        table: what there is, by name.
        name: which of it.
        kind: what the table holds, in the singular.
        meant: what to suggest where there is no such name; the closest by letters if ``None``.

    Raises:
        UnknownNameError: ``name`` is not in the table; the message lists what is.

    >>> pick({"unprocess": 1}, "unproces", "method")
    Traceback (most recent call last):
        ...
    rawsynth.errors.UnknownNameError: unknown method 'unproces'; did you mean 'unprocess'? Choose from: unprocess
    """
    if isinstance(name, str) and name in table:
        return table[name]
    close = difflib.get_close_matches(str(name), table, n=1) if meant is None else [meant]
    hint = f"; did you mean {close[0]!r}?" if close else "."
    choices = sorted(table)
    if len(choices) > _MOST_LISTED:
        near = difflib.get_close_matches(str(name), choices, n=5, cutoff=0.4)
        where = f"`rawsynth {kind}s` lists all {len(choices)}."
        raise UnknownNameError(f"unknown {kind} {name!r}{hint} Near: {', '.join(near) or 'none'}; {where}")
    raise UnknownNameError(f"unknown {kind} {name!r}{hint} Choose from: {', '.join(choices)}")
