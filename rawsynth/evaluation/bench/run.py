"""Score every method on every set; what is finished is stored at once and read back by the next run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.errors import InputAccessError, RawsynthError, SampleError, UsageError
from rawsynth.evaluation.bench.cost import Cost, describe_device, measure_costs
from rawsynth.evaluation.bench.entries import Conditions, Entry
from rawsynth.evaluation.bench.pictures import draw_pictures
from rawsynth.evaluation.bench.report import write_bench
from rawsynth.evaluation.bench.result import BenchResult, SetResult
from rawsynth.evaluation.bench.sets import BenchSet, fingerprint
from rawsynth.evaluation.evaluate import check_set, score_pairs
from rawsynth.evaluation.report import environment
from rawsynth.evaluation.result import Evaluation, evaluation_from_json
from rawsynth.pairs import Pair

RESULT_FORMAT = 1


@dataclass(frozen=True)
class BenchOptions:
    """How a bench is run.

    Attributes:
        conditions: of every method.
        baseline: name of the entry that differences are to; ``unprocess``, or the first where it does not compete, if
            not given.
        batch: most images at once.
        pictures: pairs of each set that are drawn: the worst and the median of the baseline first.
        rounds: of the timing; 0 for none.
    """

    conditions: Conditions = Conditions()
    baseline: str | None = None
    batch: int | None = None
    pictures: int = 2
    rounds: int = 3


class BenchObserver:
    """Is told how a bench goes on; does nothing of it."""

    def begin(self, words: str, total: int) -> None:
        """A pass over ``total`` pairs begins."""

    def advance(self, done: int) -> None:
        """Some pairs of it are done."""

    def tell(self, message: str) -> None:
        """A message for people."""


def run_bench(
    entries: Sequence[Entry],
    sets: Sequence[BenchSet],
    output: str,
    *,
    options: BenchOptions | None = None,
    left_out: dict[str, str] | None = None,
    observer: BenchObserver | None = None,
) -> BenchResult:
    """Score every method on every set and write the report.

    Args:
        entries: what competes.
        sets: what on.
        output: folder or URL for ``bench.json``, ``bench.md``, ``bench.html`` and ``results/``; results of the same
            method, weights, conditions and pairs that lie there are read back.
        options: how; the defaults if not given.
        left_out: methods that do not run, and why, for the report.
        observer: is told how it goes on.

    Returns:
        What was found; a method that fails on a set, and a pair that cannot be scored, are in its ``faults``.

    Raises:
        UsageError: nothing competes, a set without pairs, or a baseline that does not compete.
        OutputError: the output cannot be written.
        KeyboardInterrupt: as it came; the report of what was finished is written first.
    """
    options, observer = options or BenchOptions(), observer or BenchObserver()
    for each in sets:
        check_set(each.pairs, options.batch, options.pictures)
    storage.prepare_folder(output)
    storage.prepare_folder(storage.join(output, "results"))
    found = BenchResult(
        entries, _baseline(entries, options.baseline), left_out or {}, _conditions_json(options),
        {**environment(), **describe_device(options.conditions.device)},
    )  # fmt: skip
    try:
        for each in sets:
            _score_set(found, each, options, output, observer)
        if options.rounds:
            found.costs = _costs(found, options)
        found.complete = True
        for scored in found.sets:
            scored.pictures = draw_pictures(scored, entries, found.baseline, count=options.pictures)
    finally:
        write_bench(found, output)
    return found


def _baseline(entries: Sequence[Entry], wanted: str | None) -> str:
    names = [entry.name for entry in entries]
    if not names:
        raise UsageError("no method competes; name some: --methods unprocess,srgb_linear.")
    if wanted is not None and wanted not in names:
        raise UsageError(f"the baseline {wanted!r} does not compete; choose from: {', '.join(names)}.")
    return wanted or ("unprocess" if "unprocess" in names else names[0])


def _conditions_json(options: BenchOptions) -> dict[str, Any]:
    conditions = options.conditions
    return {
        "device": conditions.device.type,
        "dtype": str(conditions.dtype).removeprefix("torch."),
        "known_color": conditions.known_color,
        "seed": conditions.seed,
    }


def _score_set(
    found: BenchResult, each: BenchSet, options: BenchOptions, output: str, observer: BenchObserver
) -> None:
    observer.begin(f"reading {each.name}", len(each.pairs))
    scored = SetResult(each, fingerprint(each.pairs, observer.advance))
    found.sets.append(scored)
    for entry in found.entries:
        digest = _digest(entry, found.conditions, scored.fingerprint)
        file = f"results/{digest[:32]}.json"
        made = _stored(storage.join(output, file), digest, each)
        if made is not None:
            observer.tell(f"{entry.name} on {each.name}: as it was found before")
            scored.reused.append(entry.name)
        else:
            observer.begin(f"{entry.name} on {each.name}", len(each.pairs))
            made = _scored(scored, entry, options, observer)
            if made is None:
                continue
            content = {"format": RESULT_FORMAT, "digest": digest, "entry": entry.name, **made.to_json()}
            storage.write_atomic(storage.join(output, file), json.dumps(content, allow_nan=False).encode("ascii"))
        scored.evaluations[entry.name], scored.files[entry.name] = made, file


def _digest(entry: Entry, conditions: Mapping[str, Any], pairs: str) -> str:
    """Return what two results must share to be the same."""
    versions = environment()
    stated = [RESULT_FORMAT, entry.name, dict(entry.identity), dict(conditions), versions, pairs]
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _stored(url: str, digest: str, each: BenchSet) -> Evaluation | None:
    """Return a result that was stored, if it is whole and the same."""
    if not storage.exists(url):
        return None
    try:
        content = json.loads(storage.read_bytes(url))
        if content["digest"] != digest or content["format"] != RESULT_FORMAT:
            return None
        return evaluation_from_json(content, each.pairs.keys)
    except (ValueError, LookupError, TypeError, RecursionError, UsageError):
        return None


def _scored(
    scored: SetResult, entry: Entry, options: BenchOptions, observer: BenchObserver
) -> Evaluation | None:
    labels = {"pairs": scored.source.name}
    try:
        with entry.runner.evaluation_mode():
            made = score_pairs(
                entry.runner, scored.source.pairs, batch=options.batch, labels=labels, progress=observer.advance
            )
        return replace(made, method=entry.name)
    except RawsynthError as error:
        cause = str(error)
    except Exception as error:  # noqa: BLE001 - a method that fails costs its row, whatever it does
        cause = f"{type(error).__name__}: {error}"
    scored.failures[entry.name] = cause
    observer.tell(f"{entry.name} on {scored.source.name}: failed: {cause}")
    return None


def _costs(found: BenchResult, options: BenchOptions) -> dict[str, Cost]:
    for scored in found.sets:
        pair = _first(scored.source)
        if pair is not None:
            return measure_costs(found.entries, pair, rounds=options.rounds)
    return {}


def _first(each: BenchSet) -> Pair | None:
    for index in range(len(each.pairs)):
        try:
            return each.pairs[index]
        except (SampleError, InputAccessError):
            continue
    return None
