"""Values of a camera file, read for what they have to be: TOML and JSON have types, and a wrong one is a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rawsynth.errors import UsageError


def whole(value: Any, name: str) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is a whole number; got {value!r}.")
    return value


def number(value: Any, name: str) -> float:
    """Return a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is a number; got {value!r}.")
    try:
        return float(value)
    except OverflowError as error:
        raise UsageError(f"{name} is a number; got one of {len(str(abs(value)))} digits.") from error


def yes_or_no(value: Any, name: str) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is true or false; got {value!r}.")
    return value


def text(value: Any, name: str) -> str:
    """Return text."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is text; got {value!r}.")
    return value


def items(value: Any, name: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list | tuple):
        raise UsageError(f"{name} is a list; got {value!r}.")
    return list(value)


def table(value: Any, name: str) -> Mapping[str, Any]:
    """Return a table."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is a table; got {value!r}.")
    return value


def texts(value: Any, name: str) -> tuple[str, ...]:
    """Return a list of texts."""
    return tuple(text(item, f"each of {name}") for item in items(value, name))


def numbers(value: Any, name: str) -> tuple[float, ...]:
    """Return a list of numbers."""
    return tuple(number(item, f"each of {name}") for item in items(value, name))


def number_or_four(value: Any, name: str) -> float | tuple[float, ...]:
    """Return a number, or a list of them."""
    return numbers(value, name) if isinstance(value, list | tuple) else number(value, name)
