"""Command-line options made from the configuration's fields, so that no option is written twice."""

from __future__ import annotations

import argparse
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from rawsynth.errors import UsageError
from rawsynth.pipeline.config import SECTIONS, GenerateConfig, build_config, load_toml

_TITLES = {
    "read": "input",
    "image": "images",
    "method": "reverse ISP",
    "noise": "noise",
    "write": "output",
    "compute": "compute",
    "run": "this run (changes no byte of the corpus)",
}


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every field of :class:`GenerateConfig` as an option, grouped by section."""
    parser.add_argument("input", nargs="?", help=GenerateConfig.model_fields["input"].description)
    parser.add_argument("output", nargs="?", help=GenerateConfig.model_fields["output"].description)
    parser.add_argument("--config", metavar="FILE.toml", help="read options from a TOML file; the command line wins")
    parser.add_argument("--seed", default=argparse.SUPPRESS, help="seed of everything random (default 0)")
    for section, model in SECTIONS.items():
        group = parser.add_argument_group(_TITLES[section])
        for name, field in model.model_fields.items():
            _add(group, section, name, field)


def _add(group: argparse._ArgumentGroup, section: str, name: str, field: FieldInfo) -> None:
    flag, dest = f"--{name.replace('_', '-')}", f"{section}.{name}"
    text = (field.description or "").replace("%", "%%")
    if field.annotation is bool:
        group.add_argument(
            flag, dest=dest, default=argparse.SUPPRESS, action=argparse.BooleanOptionalAction, help=text
        )
        return
    shown = "" if field.default in (None, (), {}) else f" (default {field.default:_})" if _is_int(field.default) else (
        f" (default {field.default})"
    )
    choices = [str(c) for c in get_args(field.annotation)] if _is_literal(field.annotation) else None
    metavar = None if choices else name.upper()
    group.add_argument(
        flag, dest=dest, default=argparse.SUPPRESS, help=text + shown, choices=choices, metavar=metavar
    )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 10_000


def _is_literal(annotation: Any) -> bool:
    return str(get_origin(annotation)) == "typing.Literal"


def config_from_args(args: argparse.Namespace) -> GenerateConfig:
    """Build the configuration: defaults, then the TOML file, then the command line.

    Raises:
        UsageError: a field is missing or wrong; the message names it.
    """
    values: dict[str, Any] = load_toml(args.config) if args.config else {}
    for name in SECTIONS:
        if not isinstance(values.get(name, {}), dict):
            raise UsageError(f"config file {args.config}: {name} is a table, written [{name}].")
    for dest, value in vars(args).items():
        section, dot, name = dest.partition(".")
        if dot:
            values[section] = {**values.get(section, {}), name: value}
        elif dest in ("input", "output", "seed") and value is not None:
            values[dest] = value
    missing = [name for name in ("input", "output") if name not in values]
    if missing:
        raise UsageError(f"{' and '.join(missing)} missing: rawsynth {args.verb} INPUT OUTPUT, or in the config file.")
    return build_config(values)
