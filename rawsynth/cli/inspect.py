"""say what a file is: a corpus or one of its samples, a shard, weights, a style, a camera, a RAW file"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

DESCRIPTION = """\
Say what something is and the facts that it holds: a corpus, samples of it by their keys, a tar shard, a record, plan or
index of a corpus, weights and styles (.safetensors), a camera file (.toml, .json), a camera RAW file. Weights and
sealed files are checked against their own checksums. Nothing is unpickled, and nothing is written.
Exit code 0, 1 if it is damaged or out of reach, 2 if it is nothing of these.

examples:
  rawsynth inspect corpus/
  rawsynth inspect corpus/ cats/IMG_01-jpg
  rawsynth inspect corpus/images-00000-00.tar --json
  rawsynth inspect mycam.safetensors
  rawsynth inspect s3://bucket/corpus/records/images-00000.json
  rawsynth inspect IMG_0001.CR2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("what", help="a folder, file or URL")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="samples of the corpus; KEY#1 is a further realization")
    parser.add_argument("--json", action="store_true", help="print JSON: an object, of several keys one a line")


def run(args: argparse.Namespace) -> int:
    """Look and tell."""
    from rawsynth.cli.printable import printable
    from rawsynth.cli.recognition import inspect, inspect_sample

    found = [inspect_sample(args.what, key) for key in args.keys] or [inspect(args.what)]
    for number, facts in enumerate(found):
        if args.json:
            print(json.dumps(facts))
        else:
            print(("\n" if number else "") + printable("\n".join(described(facts))))
    return 0


def described(facts: Mapping[str, Any]) -> list[str]:
    """Write facts as lines: the name and the kind, then a line a fact, nested ones under their names."""
    rest = {name: value for name, value in facts.items() if name not in ("name", "kind")}
    return [f"{facts['name']}: {facts['kind']}", *_lines(rest, "  ")]


def _lines(facts: Mapping[str, Any], indent: str) -> list[str]:
    width = max((len(name) for name, value in facts.items() if not _nests(value)), default=0)
    lines = []
    for name, value in facts.items():
        if _nests(value):
            inner = value if isinstance(value, Mapping) else {str(k): v for k, v in enumerate(value)}
            lines += [f"{indent}{name}", *_lines(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{name:<{width}}  {_shown(value)}")
    return lines


def _nests(value: Any) -> bool:
    return bool(value) and (isinstance(value, Mapping) or (isinstance(value, list) and isinstance(value[0], Mapping)))


def _shown(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ("; " if any(isinstance(each, list) for each in value) else ", ").join(
            " ".join(_shown(one) for one in each) if isinstance(each, list) else _shown(each) for each in value
        )
    return str(value)
