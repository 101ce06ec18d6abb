"""What an evaluation found: a row an image, means by set and by scene, and what could not be scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from rawsynth.errors import UsageError
from rawsynth.evaluation.intervals import Mean, mean_over_scenes
from rawsynth.evaluation.scoring import METRICS

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One scored image.

    Attributes:
        index: of the pair in its set.
        key, scene: the pair's.
        height, width: of the sRGB.
        scores: by the names of :data:`rawsynth.evaluation.scoring.METRICS`, without those that it has none of.
        known: fields of colour and exposure that the method was told.
        params: what the method ran with, JSON-ready; ``ReverseISP.apply_params`` makes the same RAW again.
    """

    index: int
    key: str
    scene: str
    height: int
    width: int
    scores: Mapping[str, float]
    known: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """The scores of one method over one set of pairs.

    Attributes:
        method, version: the method and the version of what it computes; a learned one's version names its weights.
        color: ``"known"`` from the pairs' metadata, ``"drawn"`` by the method's law, ``"own"`` of the weights,
            ``"reference"`` for what was fitted to the reference.
        rows: one a scored image, in the set's order.
        errors: what went wrong, by key, for pairs that could not be scored; they are in no mean.
        labels: what else reports say, JSON-ready: the name of the set, the weights, ...
        pictures: the file of each image that was drawn, relative to the report, by key.
        picture_errors: what went wrong, by key, for pictures that could not be drawn.
    """

    method: str
    version: str
    color: str
    rows: tuple[Row, ...]
    errors: Mapping[str, str]
    labels: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    picture_errors: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Mean over the images that have a score, with its interval over scenes, by metric; without what none has."""
        return {
            name: mean_over_scenes([row.scores[name] for row in rows], [row.scene for row in rows])
            for name in METRICS
            if (rows := [row for row in self.rows if name in row.scores])
        }

    @cached_property
    def scenes(self) -> dict[str, dict[str, float]]:
        """Mean of each metric by scene, in the order of the set; without what no image of the scene has."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.scene, []).append(row)
        return {scene: _means(group) for scene, group in rows.items()}

    def ranked(self, metric: str = "psnr") -> list[Row]:
        """Return the rows from the worst to the best."""
        return sorted(self.rows, key=lambda row: (row.scores[metric], row.index))

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object; see docs/evaluation.md."""
        sizes = {scene: sum(row.scene == scene for row in self.rows) for scene in self.scenes}
        return {
            "format": FORMAT_VERSION,
            "method": self.method,
            "method_version": self.version,
            "color": self.color,
            "labels": dict(self.labels),
            "images": len(self.rows) + len(self.errors),
            "scored": len(self.rows),
            "means": {name: asdict(mean) for name, mean in self.means.items()},
            "scenes": {scene: {"images": sizes[scene], **scores} for scene, scores in self.scenes.items()},
            "rows": [self._row_json(row) for row in self.rows],
            "errors": dict(self.errors),
            "pictures": dict(self.pictures),
            "picture_errors": dict(self.picture_errors),
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        names = {"key": row.key, "scene": row.scene, "height": row.height, "width": row.width}
        return {**names, **row.scores, "known": list(row.known), "params": dict(row.params)}


def evaluation_from_json(content: Mapping[str, Any], keys: Sequence[str]) -> Evaluation:
    """Read back what :meth:`Evaluation.to_json` wrote of a set with these keys.

    Raises:
        UsageError: it is something else, or of another set.
    """
    places = {key: index for index, key in enumerate(keys)}
    try:
        rows = [
            Row(
                index=places[row["key"]],
                key=row["key"],
                scene=row["scene"],
                height=row["height"],
                width=row["width"],
                scores={name: float(row[name]) for name in METRICS if name in row},
                known=tuple(row["known"]),
                params=row["params"],
            )
            for row in content["rows"]
        ]
        named = {name: content[name] for name in ("method", "color", "errors", "labels")}
        return Evaluation(version=content["method_version"], rows=tuple(rows), **named)
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(f"no evaluation of this set: {type(error).__name__} {error}.") from error


def _means(rows: Sequence[Row]) -> dict[str, float]:
    found = {name: [row.scores[name] for row in rows if name in row.scores] for name in METRICS}
    return {name: math.fsum(values) / len(values) for name, values in found.items() if values}
