"""What a bench found: by set and method the evaluation or the cause of its absence, differences, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rawsynth.counting import counted
from rawsynth.evaluation.bench.cost import Cost
from rawsynth.evaluation.bench.entries import Entry
from rawsynth.evaluation.bench.sets import BenchSet
from rawsynth.evaluation.intervals import Mean, mean_over_scenes
from rawsynth.evaluation.result import Evaluation
from rawsynth.evaluation.scoring import COUNTS, METRICS

FORMAT_VERSION = 1

COMPARED = tuple(name for name in METRICS if name not in (*COUNTS, "exposure"))
"""Metrics in which methods are compared pair by pair."""


@dataclass
class SetResult:
    """One set.

    Attributes:
        source: the set.
        fingerprint: of its pairs.
        evaluations: by the entry's name.
        files: where each evaluation lies, relative to the output.
        failures: cause, by the name of an entry that could not be scored.
        reused: names whose results were read back.
        pictures: PNG and caption by the key of the pair that was drawn.
    """

    source: BenchSet
    fingerprint: str
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    pictures: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def differences(self, name: str, baseline: str) -> dict[str, Mean]:
        """Return the mean difference to the baseline over the pairs that both have, with its interval over scenes."""
        if name == baseline or not {name, baseline} <= set(self.evaluations):
            return {}
        theirs = {row.key: row for row in self.evaluations[baseline].rows}
        shared = [(row, theirs[row.key]) for row in self.evaluations[name].rows if row.key in theirs]
        found = {}
        for metric in COMPARED:
            both = [(a, b) for a, b in shared if metric in a.scores and metric in b.scores]
            if both:
                values = [a.scores[metric] - b.scores[metric] for a, b in both]
                found[metric] = mean_over_scenes(values, [a.scene for a, _ in both])
        return found

    def told(self, name: str) -> str:
        """Say which colour a method was told, for a cell."""
        made = self.evaluations[name]
        if made.color == "reference":
            return "the reference"
        if made.color == "own":
            return "nothing: its weights' camera"
        counts: dict[tuple[str, ...], int] = {}
        for row in made.rows:
            counts[row.known] = counts.get(row.known, 0) + 1
        if set(counts) == {()}:
            return "nothing: drawn"
        known = [_told_words(fields) for fields in counts]
        if len(known) == 1:
            return known[0]
        return " or ".join(f"{words} ({n})" for words, n in zip(known, counts.values(), strict=True))


_WORDS = {"cam_from_srgb": "matrix", "white_balance": "white balance", "rgb_gain": "exposure"}


def _told_words(fields: Sequence[str]) -> str:
    return ", ".join(_WORDS[name] for name in fields) or "nothing: drawn"


@dataclass
class BenchResult:
    """All of it.

    Attributes:
        entries: what competed, in order.
        baseline: name of the entry that differences are to.
        sets: in order; those of an interrupted run may lack methods.
        costs: time and memory by entry.
        left_out: methods that were not run, and why.
        conditions: device, type, seed, what is told, ... JSON-ready.
        environment: versions, device, threads.
        complete: whether every method was run on every set.
    """

    entries: Sequence[Entry]
    baseline: str
    left_out: Mapping[str, str]
    conditions: Mapping[str, Any]
    environment: Mapping[str, Any]
    sets: list[SetResult] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    complete: bool = False

    @property
    def faults(self) -> list[str]:
        """What went wrong, a line each: methods that failed on a set, and pairs that could not be scored."""
        lines = []
        for each in self.sets:
            lines += [f"{name} on {each.source.name}: {cause}" for name, cause in each.failures.items()]
            for name, made in each.evaluations.items():
                lost = f"{counted(len(made.errors), 'pair')} lost; the first"
                for key, cause in list(made.errors.items())[:1]:
                    lines.append(f"{name} on {each.source.name}: {lost}, {key}: {cause}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return everything but rows, which lie in files of their own, as a JSON object; see docs/benchmark.md."""
        return {
            "format": FORMAT_VERSION,
            "complete": self.complete,
            "baseline": self.baseline,
            "conditions": dict(self.conditions),
            "environment": dict(self.environment),
            "left_out": dict(self.left_out),
            "costs": {name: asdict(cost) for name, cost in self.costs.items()},
            "sets": [self._set_json(each) for each in self.sets],
        }

    def _set_json(self, each: SetResult) -> dict[str, Any]:
        pairs = each.source.pairs
        return {
            "name": each.source.name,
            "words": each.source.words,
            "pairs": len(pairs),
            "scenes": len(set(pairs.scenes)),
            "fingerprint": each.fingerprint,
            "left_out": dict(each.source.left_out),
            "failures": dict(each.failures),
            "methods": {
                entry.name: self._method_json(each, entry) for entry in self.entries if entry.name in each.evaluations
            },
        }

    def _method_json(self, each: SetResult, entry: Entry) -> dict[str, Any]:
        made = each.evaluations[entry.name]
        differences = each.differences(entry.name, self.baseline)
        return {
            "version": made.version,
            "parameters": entry.parameters,
            "color": made.color,
            "told": each.told(entry.name),
            "scored": len(made.rows),
            "means": {name: asdict(mean) for name, mean in made.means.items()},
            "differences": {name: asdict(mean) for name, mean in differences.items()},
            "errors": dict(made.errors),
            "rows": each.files.get(entry.name),
        }
