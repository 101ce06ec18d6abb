"""Damage to text that people and programs write: TOML, JSON, lists; as values of wrong kinds and as bytes."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from random import Random
from typing import Any

from tests.faults.mutation import mutate

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**64, 10**30, -(10**400), 0.5, -0.0, 1e308, -1e308, float("nan"),
    float("inf"),
    "", "x", "1", "-1", "nan", "1..2", "[1,2", "[[1]]", "1x2x3", "9e999", "\0", "\ud800", "../../up", "/etc/passwd",
    "s3://", "a" * 5000,
    "{0..99999999}", "{a,b", "random", "RGGB", "é" * 50, [], [[]], [None], ["x"], [1], [1, 2], [1, 2, 3, 4],
    [float("nan")] * 4, [1e999] * 2,
    ["a", 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 0]] * 3, [[1e200, 0, 0], [0, 1e200, 0], [0, 0, 1e200]], {},
    {"a": 1},
    {"": {}}, {"name": "x"},
)  # fmt: skip
"""What may stand in a field and does not belong there."""

_TOML_VALUES = (
    "true", "0", "-1", "1e400", "nan", "inf", "-inf", '""', '"x"', "'../up'", "[]", "[[]]", "[1, 2]", "[1, 'a']",
    "{}", "{ a = 1 }",
    "1979-05-27", "07:32:00", "0x7fffffffffffffffffff", "9" * 400, '"""\n"""', '"\\u0000"', "[nan, 1, 1, 1]",
    "[[1,0,0],[0,1,0],[0,0,1]]",
    "[" * 50 + "]" * 50, "[" * 3000, "{a=" * 3000, "1_0", "+1.0", '"\\uD800"', '"{0..99999999}"', '"random"',
    "[1e200, 1e200]", "4000..2",
)  # fmt: skip
_TOML_LINES = ("x = 1", "[x]", "[[noise]]", "[noise]", "name.x = 1", '"" = 2', "[run]", "[a.b.c]")


def mutate_json(data: dict[str, Any], rng: Random) -> dict[str, Any]:
    """Change one to three places of a JSON object: another value, a field more, less or twice."""
    changed = json.loads(json.dumps(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        held, at = _place(changed, rng)
        if held is None:
            continue
        kind = rng.randrange(6)
        if kind == 0 and isinstance(held, dict):
            del held[at]
        elif kind == 1 and isinstance(held, dict):
            held[rng.choice(("x", "", "name", "seal", "__class__"))] = deepcopy(rng.choice(VALUES))
        elif kind == 2 and isinstance(held, list):
            held[at:at] = [held[at]] * rng.choice((1, 2, 50))
        else:
            held[at] = deepcopy(rng.choice(VALUES))
    return dict(changed)


def _place(value: Any, rng: Random) -> tuple[Any, Any]:
    """Choose a place in nested dicts and lists, as likely deep as shallow."""
    chosen: tuple[Any, Any] = (None, None)
    while isinstance(value, dict | list) and value and (chosen[0] is None or rng.random() < 0.7):
        at = rng.choice(sorted(value)) if isinstance(value, dict) else rng.randrange(len(value))
        chosen, value = (value, at), value[at]
    return chosen


def mutate_toml(text: str, rng: Random) -> bytes:
    """Change one to three lines of a TOML file, or its bytes."""
    if rng.random() < 0.3:
        return mutate(text.encode(), rng, text[::-1].encode())
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        name = re.match(r"\s*([\w.]+)\s*=", lines[at])
        kind = rng.randrange(6)
        if name is not None and kind < 4:
            lines[at] = f"{name[1]} = {rng.choice(_TOML_VALUES)}"
        elif kind == 4:
            lines.insert(at, rng.choice((lines[at], *_TOML_LINES)))
        elif len(lines) > 1:
            del lines[at]
    return "\n".join(lines).encode("utf-8", "surrogatepass")
