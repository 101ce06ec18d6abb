"""What a configuration is made of: frozen sections, and one way to say what is wrong with them."""

from __future__ import annotations

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
        raise UsageError("; ".join(_explain(e) for e in error.errors())) from error
    except RawsynthError as error:
        raise UsageError(str(error)) from error


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function", "tuple", "float")))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{where}: no such option"
    if error["type"] == "missing":
        return f"{where}: required"
    got = error.get("input")
    return f"{where}: {message}" + (f" (got {got!r})" if isinstance(got, str | int | float) else "")
