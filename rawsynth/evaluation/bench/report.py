"""The files of a bench: JSON for programs, Markdown for repositories, one page with pictures for eyes."""

from __future__ import annotations

import json

from rawsynth import storage
from rawsynth.evaluation.bench.result import BenchResult
from rawsynth.evaluation.bench.tables import headline, markdown, tables_of
from rawsynth.evaluation.page import Figure, Table, page_html

_WIDTH_PX = 1600


def write_bench(found: BenchResult, output: str) -> None:
    """Write ``bench.md``, ``bench.html``, which needs nothing beside it, and last ``bench.json``.

    Raises:
        OutputError: a file cannot be written.
    """
    files = {"bench.md": markdown(found), "bench.html": page(found), "bench.json": json_text(found)}
    for name, text in files.items():
        storage.write_atomic(storage.join(output, name), text.encode("utf-8", "backslashreplace"))


def json_text(found: BenchResult) -> str:
    """Return a bench as indented ASCII JSON."""
    return json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n"


def page(found: BenchResult) -> str:
    """Return the page: tables, then the pictures of every set."""
    figures = [
        Figure(f"set-{number}-{place}", f"{each.source.name}: {key}", png, caption)
        for number, each in enumerate(found.sets)
        for place, (key, (png, caption)) in enumerate(each.pictures.items())
    ]
    blocks: list[Figure | Table] = [*tables_of(found), *figures]
    return page_html(title="Bench of reverse ISPs", summary=headline(found), blocks=blocks, width_px=_WIDTH_PX)
