"""A bench in tables, the same for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Iterator

from rawsynth.counting import counted
from rawsynth.evaluation.bench.result import BenchResult, SetResult
from rawsynth.evaluation.intervals import Mean
from rawsynth.evaluation.metrics import HIGHLIGHTS_ABOVE, SHADOWS_BELOW
from rawsynth.evaluation.page import Table
from rawsynth.evaluation.scoring import digits_of

_HEADS = {
    "aim22_psnr": "AIM 2022 PSNR",
    "aim22_ssim": "AIM 2022 SSIM",
    "psnr": "PSNR",
    "exposure_fitted_psnr": "exposure-fitted PSNR",
    "angular_error": "angle, degrees",
    "psnr_r": "R",
    "psnr_gr": "Gr",
    "psnr_gb": "Gb",
    "psnr_b": "B",
    "psnr_shadows": "shadows",
    "psnr_highlights": "highlights",
}
_WHOLE = ("aim22_psnr", "aim22_ssim", "psnr", "exposure_fitted_psnr", "angular_error")
_PARTS = ("psnr_r", "psnr_gr", "psnr_gb", "psnr_b", "psnr_shadows", "psnr_highlights")
_COMPARED = (*_WHOLE, "psnr_shadows", "psnr_highlights")


def tables_of(found: BenchResult) -> Iterator[Table]:
    """Yield three tables a set, then what methods cost, what was left out and what went wrong."""
    for each in found.sets:
        yield _whole(found, each)
        yield _parts(found, each)
        yield _differences(found, each)
    yield _costs(found)
    if found.left_out:
        yield Table("Left out", ("method", "why"), [[name, why] for name, why in found.left_out.items()])
    missing = [(each.source.name, name, why) for each in found.sets for name, why in each.source.left_out.items()]
    if missing:
        yield Table("Files left out", ("set", "file and style", "why"), [list(row) for row in missing])
    if found.faults:
        yield Table("What went wrong", ("method, set and cause",), [[line] for line in found.faults])


def headline(found: BenchResult) -> list[str]:
    """Return the sentences over the tables."""
    where, how = found.environment, found.conditions
    told = "what pairs state of their camera" if how["known_color"] else "nothing of the pairs' cameras"
    lines = [
        f"{counted(len(found.entries), 'method')} on {counted(len(found.sets), 'set')}; "
        f"{where['device']} ({where['device_name']}), {counted(where['threads'], 'thread')}, "
        f"{how['dtype']}, torch {where['torch']}, rawsynth {where['rawsynth']}.",
        f"Methods that take colour were told {told}; draws have seed {how['seed']}. Means over images with 95 % "
        "intervals over scenes. docs/benchmark.md says what each number means and what cannot be compared.",
    ]
    exposures = {e.name: e.identity["rgb_gain"] for e in found.entries if e.identity.get("rgb_gain") is not None}
    for name, gain in exposures.items():
        lines.append(f"Where pairs state no exposure, {name} has the centre of its law, rgb_gain {gain:g}.")
    if not found.complete:
        lines.append("Not complete: the run was stopped. The same command goes on from here.")
    return lines


def markdown(found: BenchResult) -> str:
    """Return the whole report as Markdown."""
    parts = ["# Bench", *headline(found)]
    for table in tables_of(found):
        rows = [table.columns, ["---"] * len(table.columns), *table.rows]
        lines = [f"| {' | '.join(_cell_text(cell) for cell in row)} |" for row in rows]
        parts += [f"## {table.title}", *([table.caption] if table.caption else []), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _cell_text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _whole(found: BenchResult, each: SetResult) -> Table:
    pairs = each.source.pairs
    size = f"{counted(len(pairs), 'pair')} of {counted(len(set(pairs.scenes)), 'scene')}"
    rows = [
        [name, each.told(name), f"{len(made.rows)}", *(_interval(made.means.get(m), m) for m in _WHOLE)]
        for name, made in each.evaluations.items()
    ]
    heads = ["method", "told", "pairs", *(_HEADS[m] for m in _WHOLE)]
    return Table(each.source.name, heads, rows, f"{each.source.words[:1].upper()}{each.source.words[1:]}: {size}.")


def _parts(found: BenchResult, each: SetResult) -> Table:
    rows = [
        [name, *(_interval(made.means.get(m), m) for m in _PARTS)] for name, made in each.evaluations.items()
    ]
    return Table(
        f"{each.source.name}, by part", ["method", *(_HEADS[m] for m in _PARTS)], rows, _counted(each)
    )


def _counted(each: SetResult) -> str:
    made = next(iter(each.evaluations.values()), None)
    if made is None:
        return "PSNR in dB."
    total = {name: sum(row.scores[name] for row in made.rows) for name in ("shadow_sites", "highlight_sites")}
    sites = sum(row.height * row.width for row in made.rows)
    dark, bright = (f"{total[name]:,.0f}" for name in ("shadow_sites", "highlight_sites"))
    return (
        f"PSNR in dB. Shadows are sites whose reference is below {SHADOWS_BELOW:g} ({dark}), highlights above "
        f"{HIGHLIGHTS_ABOVE:g} ({bright}), of {sites:,} sites."
    )


def _differences(found: BenchResult, each: SetResult) -> Table:
    rows = []
    for name in each.evaluations:
        found_here = each.differences(name, found.baseline)
        if found_here:
            rows.append([name, *(_interval(found_here.get(m), m, signed=True) for m in _COMPARED)])
    return Table(
        f"{each.source.name}, differences to {found.baseline}",
        ["method", *(_HEADS[m] for m in _COMPARED)],
        rows,
        f"Pair by pair: what a method has more than {found.baseline} on the same pair, in dB but for SSIM and the "
        "angle, of which less is better. An interval without 0 says that the difference is not luck with the scenes.",
    )


def _costs(found: BenchResult) -> Table:
    rows = []
    for entry in found.entries:
        cost = found.costs.get(entry.name)
        memory = "-" if cost is None or cost.memory_mb is None else f"{cost.memory_mb:.0f}"
        times = ["-", "-"] if cost is None else [f"{cost.ms:.1f}", f"{cost.images_per_s:.1f}"]
        rows.append([entry.name, f"{entry.parameters:,}", *times, memory])
    any_cost = next(iter(found.costs.values()), None)
    caption = "Nothing was timed."
    if any_cost is not None:
        caption = (
            f"One image of {any_cost.height}x{any_cost.width} at a time on {found.environment['device_name']}, "
            f"{found.environment['threads']} threads: the median of {any_cost.rounds} rounds in turn after a warm-up; "
            "memory is the peak of a call above what the process held before."
        )
    return Table("Cost", ("method", "parameters", "ms/image", "images/s", "peak memory, MB"), rows, caption)


def _interval(mean: Mean | None, metric: str, *, signed: bool = False) -> str:
    if mean is None:
        return "-"
    sign, digits = "+" if signed else "", digits_of(metric)
    value = f"{mean.value:{sign}.{digits}f}"
    if mean.low is None or mean.high is None:
        return f"{value} (one scene)"
    return f"{value} ({mean.low:{sign}.{digits}f} to {mean.high:{sign}.{digits}f})"
