"""An evaluation for people and for programs: a table, a JSON file, a CSV file."""

from __future__ import annotations

import csv
import io
import json
import platform
import statistics
from collections.abc import Mapping
from typing import Any

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import UsageError
from rawsynth.evaluation.result import Evaluation
from rawsynth.evaluation.scoring import METRICS, digits_of
from rawsynth.versions import package_versions

_COLORS = {
    "known": "colour as the pairs' metadata state it",
    "drawn": "colour drawn by the method's law",
    "own": "colour of the method's weights",
    "reference": "fitted to the reference",
}


def write_report(evaluation: Evaluation, output: str) -> None:
    """Write ``images.csv`` and then ``evaluation.json`` into a folder or URL.

    Raises:
        OutputError: a file cannot be written.
    """
    storage.write_atomic(storage.join(output, "images.csv"), csv_text(evaluation).encode("utf-8", "backslashreplace"))
    storage.write_atomic(storage.join(output, "evaluation.json"), json_text(evaluation).encode("ascii"))


def check_labels(labels: Mapping[str, Any]) -> None:
    """Raise UsageError unless JSON can hold the labels of a report."""
    try:
        json.dumps(dict(labels), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"labels of a report are text, finite numbers, lists and dicts of them: {error}.") from error


def json_text(evaluation: Evaluation) -> str:
    """Return an evaluation, with the versions that made it, as indented ASCII JSON."""
    content: dict[str, Any] = {**evaluation.to_json(), "environment": environment()}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def environment() -> dict[str, str]:
    """Return the versions of what computed the scores."""
    return {**package_versions("rawsynth", "torch", "numpy"), "python": platform.python_version()}


def csv_text(evaluation: Evaluation) -> str:
    """Return a line an image: key, scene, size, which colour was known, and every score that it has."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["key", "scene", "height", "width", "known", *METRICS])
    for row in evaluation.rows:
        names = [row.key, row.scene, row.height, row.width, "+".join(row.known)]
        writer.writerow([*names, *(repr(row.scores[name]) if name in row.scores else "" for name in METRICS)])
    return buffer.getvalue()


def markdown_table(evaluation: Evaluation) -> str:
    """Return what was scored in a sentence, and a Markdown table of the set's means with their intervals."""
    lines = [_headline(evaluation), "", "| score | mean | 95 % interval | least | median | most |"]
    lines.append("| --- | ---: | :---: | ---: | ---: | ---: |")
    for name, mean in evaluation.means.items():
        values = [row.scores[name] for row in evaluation.rows if name in row.scores]
        words, digits = METRICS[name], digits_of(name)
        interval = "one scene" if mean.low is None else f"{mean.low:.{digits}f} to {mean.high:.{digits}f}"
        spread = (min(values), statistics.median(values), max(values))
        cells = [words, f"{mean.value:.{digits}f}", interval, *(f"{value:.{digits}f}" for value in spread)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _headline(evaluation: Evaluation) -> str:
    scenes, images = len(evaluation.scenes), len(evaluation.rows)
    told = sum(bool(row.known) for row in evaluation.rows)
    color = _COLORS[evaluation.color]
    if evaluation.color == "known" and told < images:
        color += f" for {told} of {images} images and drawn for the others" if told else ": none does, so it is drawn"
    lost = f"; {counted(len(evaluation.errors), 'pair')} could not be scored" if evaluation.errors else ""
    where = f" on {evaluation.labels['pairs']}" if "pairs" in evaluation.labels else ""
    counts = f"{counted(images, 'image')} of {counted(scenes, 'scene')}"
    return f"{evaluation.method} version {evaluation.version}{where}: {counts}; {color}{lost}."
