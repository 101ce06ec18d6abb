"""The page of configuration files: every option with its default, from the models that check them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rawsynth.pipeline.config import GenerateConfig
from rawsynth.training.config import TrainConfig
from rawsynth.training.scene_config import SceneTrainConfig

FILES: dict[str, tuple[str, type[BaseModel]]] = {
    "A corpus": ("`rawsynth generate --config FILE`; on the command line `--max-pixels` and so on.", GenerateConfig),
    "A training on pairs": (
        "`rawsynth train FILE`, where `model.method` is any method but `rst_isp_net_small`; on the command line "
        "`--set table.key=value`. Defaults are those of the fields: `rawsynth train own_camera --show` prints what a "
        "packaged file states instead.",
        TrainConfig,
    ),
    "A training of rst_isp_net_small": (
        "`rawsynth train FILE`, where `model.method` is `rst_isp_net_small`; likewise.",
        SceneTrainConfig,
    ),
}


def render() -> str:
    """Return the page: a section a kind of file, a table a TOML table."""
    parts = ["# Configuration files", "Made from the models that check them. An unknown name is refused."]
    for title, (words, model) in FILES.items():
        parts += [f"## {title}", words, *_tables(model)]
    return "\n\n".join(parts) + "\n"


def _tables(model: type[BaseModel]) -> Iterator[str]:
    tables = {name: field for name, field in model.model_fields.items() if _section(field) is not None}
    top = {name: field for name, field in model.model_fields.items() if name not in tables}
    yield _table("at the top", top, {name: field.default for name, field in top.items()})
    for name, field in tables.items():
        fields = (_section(field) or model).model_fields
        stated = isinstance(field.default, BaseModel)
        yield _table(f"`[{name}]`", fields, {
            inner: getattr(field.default, inner) if stated else fields[inner].default for inner in fields
        })


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a TOML table, or nothing of a single value."""
    found = field.annotation
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _table(title: str, fields: dict[str, FieldInfo], defaults: dict[str, Any]) -> str:
    rows = [f"| `{name}` | {_shown(defaults[name])} | {_cell(fields[name].description or '')} |" for name in fields]
    return "\n".join([f"| {title} | default | |", "| --- | --- | --- |", *rows])


def _shown(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value in (None, (), {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:_}`" if isinstance(value, int) and value >= 10_000 else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")
