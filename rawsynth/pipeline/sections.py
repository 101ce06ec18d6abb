"""What a configuration is made of: frozen sections, and one way to say what is wrong with them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rawsynth.errors import RawsynthError, UsageError

AnySection = TypeVar("AnySection", bound=BaseModel)


class Section(BaseModel):
    """Frozen group of options of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def validated(model: type[AnySection], values: dict[str, Any]) -> AnySection:
    """Build any configuration object from nested values.

    Raises:
        UsageError: one line a wrong field, with what was wanted.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(e, model) for e in error.errors())) from error
    except RawsynthError as error:
        raise UsageError(str(error)) from error


def _explain(error: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function", "tuple", "float")))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{where}: no such option{_meant(error['loc'], model)}"
    if error["type"] == "missing":
        return f"{where}: required"
    got = error.get("input")
    return f"{where}: {message}" + (f" (got {got!r})" if isinstance(got, str | int | float) else "")


def _meant(place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Name the nearest option of the table that a misspelt one stands in."""
    table: Any = model
    for part in place[:-1]:
        field = getattr(table, "model_fields", {}).get(part)
        table = field and field.annotation
    near = get_close_matches(str(place[-1]), getattr(table, "model_fields", {}), 1)
    return f"; did you mean {near[0]}?" if near else ""
