"""The gallery's HTML: one file with its pictures, style and script in it, which asks no network for anything."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rawsynth.corpus.picking import Damaged

# Nothing but what stands in the file is loaded or run.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_ZOOM = """\
<dialog id="zoom" aria-label="picture at its pixels">
<div class="bar-top"><span class="name"></span><span class="views-of"></span>
<button type="button" class="out" aria-label="smaller">&minus;</button><output>400%</output>
<button type="button" class="in" aria-label="larger">+</button>
<button type="button" class="close">close</button></div>
<div class="pane" tabindex="0"><img alt=""></div>
</dialog>"""


@dataclass(frozen=True)
class PictureBlock:
    """One picture of a sample: its name for the zoom, what it shows, its file."""

    view: str
    caption: str
    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class SampleBlock:
    """One sample of the gallery.

    Attributes:
        name: its key.
        pictures: of one size, so that the zoom stays where it is from one to the next.
        frame: the whole image as JPEG, where the pictures show part of it.
        frame_caption: what the frame shows.
        charts: title and HTML of each chart.
        facts: for the table.
        meta: the sample's JSON.
    """

    name: str
    pictures: Sequence[PictureBlock]
    frame: bytes | None
    frame_caption: str
    charts: Sequence[tuple[str, str]]
    facts: Mapping[str, str]
    meta: Mapping[str, Any]


def gallery_html(
    title: str, *, notes: Sequence[str], facts: Mapping[str, str], samples: Sequence[SampleBlock],
    damaged: Sequence[Damaged],
) -> str:
    """Return the page; every text is escaped.

    Args:
        title: of the page.
        notes: sentences on what is shown and what is not.
        facts: of the corpus.
        samples: in their order.
        damaged: what could not be shown, and why.
    """
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<link rel="icon" href="data:,">',
        f"<style>\n{_file('gallery.css')}</style></head><body><main>",
        f"<h1>{_text(title)}</h1>",
        _table(facts),
        *(f'<p class="note">{_text(note)}</p>' for note in notes),
        _damage(damaged),
        *(_article(sample, number) for number, sample in enumerate(samples)),
        f"</main>{_ZOOM}",
        f"<script>\n{_file('gallery.js')}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _file(name: str) -> str:
    return (resources.files("rawsynth.corpus") / "gallery_files" / name).read_text("utf-8")


def _text(text: str) -> str:
    return html.escape(text)


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items())
    return f'<div class="wide"><table>{rows}</table></div>'


def _damage(damaged: Sequence[Damaged]) -> str:
    if not damaged:
        return ""
    rows = "".join(f"<li><b>{_text(one.name)}</b>: {_text(one.cause)}</li>" for one in damaged)
    return f'<div class="alert" role="alert">Not shown, because damaged: <ul>{rows}</ul></div>'


def _article(sample: SampleBlock, number: int) -> str:
    pictures = "".join(_picture(picture) for picture in sample.pictures)
    if sample.frame is not None:
        image = f'<img alt="the whole image" src="{_data(sample.frame, "jpeg")}">'
        pictures = f'<figure class="frame">{image}{_caption("whole image", sample.frame_caption)}</figure>' + pictures
    charts = "".join(f"<div><h3>{_text(title)}</h3>{chart}</div>" for title, chart in sample.charts)
    meta = _text(json.dumps(sample.meta, indent=1, sort_keys=True))
    return (
        f'<article id="sample-{number}"><h2>{_text(sample.name)}</h2>\n<div class="views">{pictures}</div>\n'
        f'<div class="measures">{charts}</div>\n{_table(sample.facts)}\n'
        f"<details><summary>the sample's JSON</summary><pre>{meta}</pre></details></article>"
    )


def _picture(picture: PictureBlock) -> str:
    size = f'width="{picture.width}" height="{picture.height}"'
    image = f'<img alt="{_text(picture.view)}" {size} loading="lazy" src="{_data(picture.png, "png")}">'
    label = f'aria-label="{_text(picture.view)}: show its pixels"'
    button = f'<button type="button" class="view" data-view="{_text(picture.view)}" {label}>{image}</button>'
    return f"<figure>{button}{_caption(picture.view, picture.caption)}</figure>"


def _caption(title: str, detail: str) -> str:
    return f"<figcaption><b>{_text(title)}</b> {_text(detail)}</figcaption>"


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
