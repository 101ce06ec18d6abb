"""What a corpus's own JSON files state, held to the types that the code counts on, of which a seal says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rawsynth.errors import UsageError

Stated = TypeVar("Stated")


def stated(kind: type[Stated], data: Any) -> Stated:
    """Build a dataclass from a JSON object.

    Raises:
        UsageError: a field is missing, unknown or of another type.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"wanted an object, got {type(data).__name__}")
    unknown = sorted(set(data) - {field.name for field in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise UsageError(f"unknown field {unknown[0]!r}")
    try:
        return _adapter(kind).validate_python(data)  # type: ignore[no-any-return, arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def check_inside(name: str) -> str:
    """Return a name of something in a corpus.

    Raises:
        UsageError: it leads out of the corpus.
    """
    if not name or name.startswith("/") or "://" in name or "\0" in name or ".." in name.split("/"):
        raise UsageError(f"the name {name!r} leads out of the corpus, or nowhere")
    return name


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
