"""A report as one HTML page that needs nothing else, with every figure as a PNG file beside it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NUMBER = re.compile(r"[-+\u2212]?[0-9][0-9 .,]*(e[-+]?[0-9]+)?( ?%)?", re.IGNORECASE)

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: WIDTHpx; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; font-weight: 600; } h2 { font-size: 1.1em; font-weight: 600; margin-top: 2em; }
p.summary { margin: 0.2em 0; } p.caption { color: #555; margin-top: 0.4em; }
img { width: 100%; height: auto; } div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9em; }
th, td { text-align: left; padding: 0.2em 0.8em 0.2em 0; border-bottom: 1px solid #ddd; vertical-align: top; }
th { font-weight: 600; border-bottom-color: #888; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class Figure:
    """One picture of a report.

    Attributes:
        name: of its file, without ``.png``: letters, digits, ``_`` and ``-``.
        title: over it.
        png: the encoded picture.
        caption: what is to be seen, under it.
    """

    name: str
    title: str
    png: bytes = field(repr=False)
    caption: str


@dataclass(frozen=True)
class Table:
    """One table of a report: as many cells a row as columns, text as it is to be read."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


def write_page(output: str, *, title: str, summary: Sequence[str], blocks: Sequence[Figure | Table]) -> None:
    """Write ``NAME.png`` of each figure and then ``index.html`` into a folder or URL.

    The page embeds its figures, so it can be sent as one file.

    Args:
        output: folder or URL; files of the same names are replaced.
        title: of the page.
        summary: sentences at its head.
        blocks: figures and tables in the order in which they stand.

    Raises:
        UsageError: a figure's name is no file name or stands twice, or a row is longer or shorter than its table.
        OutputError: a file cannot be written.
    """
    figures = [block for block in blocks if isinstance(block, Figure)]
    names = [figure.name for figure in figures]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise UsageError(f"a figure's name is letters, digits, _ and -, and its own; got {name!r}.")
    page = page_html(title=title, summary=summary, blocks=blocks)
    for figure in figures:
        storage.write_atomic(storage.join(output, f"{figure.name}.png"), figure.png)
    storage.write_atomic(storage.join(output, "index.html"), page.encode("utf-8", "backslashreplace"))


def page_html(
    *, title: str, summary: Sequence[str], blocks: Sequence[Figure | Table], width_px: int = 900
) -> str:
    """Return the page's HTML, at most ``width_px`` wide; every text is escaped.

    Raises:
        UsageError: a row is longer or shorter than its table.
    """
    heading = html.escape(title)
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>\n{_STYLE.replace('WIDTH', str(width_px))}</style></head><body>",
        f"<h1>{heading}</h1>",
        *(f'<p class="summary">{html.escape(line)}</p>' for line in summary),
        *(_figure_html(block) if isinstance(block, Figure) else _table_html(block) for block in blocks),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _figure_html(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode("ascii")
    image = f'<img alt="{html.escape(figure.title)}" src="data:image/png;base64,{data}">'
    return f"<h2>{html.escape(figure.title)}</h2>\n{image}\n{_caption_html(figure.caption)}"


def _table_html(table: Table) -> str:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise UsageError(f"table {table.title!r} has {len(table.columns)} columns; got a row of {len(row)}.")
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "\n".join(f"<tr>{''.join(_cell_html(cell) for cell in row)}</tr>" for row in table.rows)
    body = f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'
    return f"<h2>{html.escape(table.title)}</h2>\n{body}\n{_caption_html(table.caption)}"


def _cell_html(cell: str) -> str:
    numeric = ' class="number"' if _NUMBER.fullmatch(cell) else ""
    return f"<td{numeric}>{html.escape(cell)}</td>"


def _caption_html(caption: str) -> str:
    return f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
