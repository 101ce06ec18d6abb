"""The verdict on synthetic noise, in a line, in a table and in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rawsynth.evaluation.noise_comparison import GroupComparison
from rawsynth.evaluation.noise_histograms import SMOOTHING, TAIL_LEVELS
from rawsynth.evaluation.noise_scores import FIGURES, NULL_FACTOR, Score
from rawsynth.evaluation.noise_statistics import PlaneMeasurement
from rawsynth.evaluation.report import environment

COLUMNS = ("series", "figure", "worst", "where", "real halves", "limit", "")

_NAMED = 5


@dataclass(frozen=True, eq=False)
class NoiseReport:
    """What a comparison found.

    Attributes:
        groups: one a series.
        labels: what the report is about, JSON-ready.
    """

    groups: Sequence[GroupComparison]
    labels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def differing(self) -> list[tuple[str, Score]]:
        """The worst score of each figure that differs, with its series, worst first."""
        worst: dict[str, tuple[str, Score]] = {}
        for group in self.groups:
            for score in group.scores:
                if score.differs and (score.figure not in worst or score.excess > worst[score.figure][1].excess):
                    worst[score.figure] = (group.name, score)
        return sorted(worst.values(), key=lambda found: -found[1].excess)

    @property
    def passed(self) -> bool:
        """Whether no figure differs."""
        return not self.differing

    @property
    def verdict(self) -> str:
        """One line: PASS, or what differs and by how much."""
        found = self.differing
        if not found:
            return "PASS: no figure differs by more than its limit."
        named = "; ".join(f"{told(score)} ({name})" for name, score in found[:_NAMED])
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return f"DIFFERS: {named}{more}."

    @property
    def notes(self) -> list[str]:
        """What a reader must know of how far the figures can be trusted."""
        lines = []
        for group in self.groups:
            blunt = sorted({FIGURES[score.figure].title for score in group.scores if score.blunt})
            if blunt:
                lines.append(
                    f"{group.name}: halves of the real frames differ so much that the stated limit cannot be told for "
                    f"{', '.join(blunt)}; {NULL_FACTOR:g} times their spread is the limit there. Capture more frames."
                )
            gone = [score for score in group.of("variance_error") if score.value is None]
            if gone:
                details = ", ".join(f"{score.plane} {score.detail} DN" for score in gone[:_NAMED])
                lines.append(f"{group.name}: too few pixels to compare at {details}; is it the same scene?")
            for measured in group.real:
                if measured.saturated_share > 0:
                    share, plane = measured.saturated_share, measured.bins.plane.name
                    lines.append(f"{group.name}: {share:.2%} of plane {plane} reaches the white level and is left out.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return every number as a JSON object."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "notes": self.notes,
            "labels": dict(self.labels),
            "limits": {name: kind.limit for name, kind in FIGURES.items()},
            "null_factor": NULL_FACTOR,
            "histogram_smoothing": SMOOTHING,
            "quantile_levels": list(TAIL_LEVELS),
            "groups": [_group_json(group) for group in self.groups],
            "environment": environment(),
        }


def _group_json(group: GroupComparison) -> dict[str, Any]:
    planes = zip(group.real, group.synthetic, strict=True)
    return {
        "name": group.name,
        "real": group.real_name,
        "synthetic": group.synthetic_name,
        "frames": group.frames,
        "splits": len(group.halves),
        "planes": [{"name": a.bins.plane.name, "real": _plane_json(a), "synthetic": _plane_json(b)} for a, b in planes],
        "scores": [score.to_json() for score in group.scores],
    }


def _plane_json(measured: PlaneMeasurement) -> dict[str, Any]:
    shares = ("row_share", "column_share", "frame_share", "saturated_share", "zero_share", "moving_share")
    return {
        "intensity_bins": measured.bins.names(),
        "pixels": measured.pixels.tolist(),
        "variance_dn2": measured.variance_dn2.tolist(),
        "mean_dn": measured.mean_dn,
        "sigma_dn": measured.sigma_dn,
        "row_correlation": measured.row_correlation.tolist(),
        "column_correlation": measured.column_correlation.tolist(),
        **{name: getattr(measured, name) for name in shares},
    }


def told(score: Score) -> str:
    """Say a score in a few words."""
    kind = FIGURES[score.figure]
    where = " ".join(part for part in (score.plane, score.detail) if part)
    value, limit = number(score.value, score.figure, signed=kind.signed), number(score.limit, score.figure)
    return f"{kind.title} at {where}: {value}, limit {limit}"


def number(value: float | None, figure: str, *, signed: bool = False) -> str:
    """Write a value in its figure's unit, a difference with its sign."""
    kind = FIGURES[figure]
    if value is None:
        return "-"
    scaled = value * kind.scale
    sign = "+" if signed and scaled > 0 else ""
    return f"{sign}{scaled:.3g}{'' if kind.unit == '%' else ' ' if kind.unit else ''}{kind.unit}"


def table_rows(report: NoiseReport) -> list[list[str]]:
    """Return a row for each series and figure: the score that is furthest out."""
    rows = []
    for group in report.groups:
        for figure in FIGURES:
            scores = [score for score in group.of(figure) if score.value is not None]
            if not scores:
                continue
            worst = max(scores, key=lambda score: (score.excess, abs(score.value or 0.0)))
            where = " ".join(part for part in (worst.plane, worst.detail) if part)
            values = [number(worst.value, figure, signed=FIGURES[figure].signed)]
            values += [number(value, figure) for value in (worst.null, worst.limit)]
            verdict = "DIFFERS" if worst.differs else ""
            rows.append([group.name, FIGURES[figure].title, values[0], where, values[1], values[2], verdict])
    return rows


def markdown(report: NoiseReport) -> str:
    """Return the table, the notes and, last, the verdict."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- | --- | ---: | --- | ---: | ---: | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in table_rows(report)]
    return "\n".join([*lines, "", *report.notes, report.verdict])
