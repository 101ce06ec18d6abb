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


def _meant(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Say which field may have been meant by one that is not there: the nearest of its table, or its like elsewhere."""
    table: Any = model
    for part in loc[:-1]:
        table = table.model_fields[part].annotation if _is_table(table) and part in table.model_fields else None
    if not _is_table(table):
        return ""
    name = str(loc[-1])
    near = get_close_matches(name, table.model_fields, 1)
    if near:
        return f"; did you mean {near[0]}?"
    places = {f"[{title}]" for title, field in model.model_fields.items() if _has(field.annotation, name)}
    places |= {"front of all tables"} if name in model.model_fields else set()
    return f"; {name} stands in {' or '.join(sorted(places))}" if places else ""


def _has(annotation: Any, name: str) -> bool:
    return _is_table(annotation) and name in annotation.model_fields


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
