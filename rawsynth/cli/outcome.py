"""What came of a run, in words: counts, why images were lost, and what can be done about it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from rawsynth.cli.printable import printable
from rawsynth.corpus.causes import Causes, causes_of
from rawsynth.counting import counted
from rawsynth.engine.summary import Summary
from rawsynth.pipeline.image_formats import HEIC_MISSING

_SHOWN, _LONGEST = 6, 200


def summarize(summary: Summary) -> str:
    """Say in words what came of a run."""
    if summary.planned_only:
        planned = f"{summary.done} of {counted(summary.shards, 'planned shard')}"
        return f"{summary.output}: {planned} {'is' if summary.shards == 1 else 'are'} done; nothing was made"
    lines = [
        f"{summary.output}: {counted(summary.samples, 'sample')} from {counted(summary.sources, 'image')} in "
        f"{summary.done} of {counted(summary.shards, 'shard')}, {summary.bytes / 1e6:.1f} MB"
    ]
    if summary.skipped_shards:
        were = "was" if summary.skipped_shards == 1 else "were"
        lines.append(f"{counted(summary.skipped_shards, 'shard')} {were} already done")
    if summary.left_out:
        lines += [f"{counted(summary.left_out, 'image')} left out by filters:", *cause_lines(summary.left_out_causes)]
    if summary.lost:
        lines += [f"{counted(summary.lost, 'image')} lost:", *cause_lines(summary.lost_causes), *_advice(summary)]
    if summary.failed:
        lines += _failures(summary.failed)
    if not summary.samples and not summary.failed:
        some = summary.sources or summary.lost or summary.left_out
        lines.append(f"nothing was written: {'every image was lost or left out' if some else 'there was no image'}")
    return printable("\n".join(lines))


def _failures(failed: Mapping[str, str]) -> list[str]:
    names = list(failed)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    causes = causes_of({"key": shard, "cause": cause} for shard, cause in failed.items())
    return [
        f"{counted(len(names), 'shard')} failed; run the same command again: {', '.join(names[:_SHOWN])}{more}",
        *cause_lines(causes),
    ]


def cause_lines(causes: Causes) -> list[str]:
    """Write causes as lines, the most frequent first: how many, why, and a key to look at."""
    ranked = causes.ranked()
    shown = ranked[:_SHOWN]
    width = len(f"{shown[0].count:,}") if shown else 0
    lines = [f"  {each.count:>{width},}  {_short(each.cause)}  ({_example(each.count)}{each.key})" for each in shown]
    rest = sum(cause.count for cause in ranked[_SHOWN:]) + causes.others
    return [*lines, f"  {rest:>{width},}  for other causes"] if rest else lines


def _example(count: int) -> str:
    return "such as " if count > 1 else ""


def _short(cause: str) -> str:
    line = " ".join(cause.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _advice(summary: Summary) -> Sequence[str]:
    """Say where all losses stand, and what making their shards again would take to help."""
    causes = [cause.cause for cause in summary.lost_causes.ranked()]
    unread = [cause for cause in causes if cause.startswith(HEIC_MISSING)]
    too_large = [cause for cause in causes if "--max-pixels" in cause]
    lines = [f"  every one, with its cause: rawsynth status {shlex.quote(summary.output)} --losses"]
    helps = ["after `pip install 'rawsynth[heic]'`"] if unread else []
    if len(causes) > len(unread) + len(too_large) or summary.lost_causes.others:
        helps.append("once files are mended or replaced")
    if helps:
        lines.append(f"  --retry-errors makes their shards again, which helps {', and '.join(helps)}")
    if too_large:
        lines.append("  another --max-pixels is another configuration: give a new output, or --overwrite")
    return lines
