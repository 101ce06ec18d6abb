"""say how a corpus stands, while it is made or after

From its plan, records and failures alone.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rawsynth.counting import counted

if TYPE_CHECKING:
    from rawsynth.corpus.status import Status

DESCRIPTION = """\
Say how a corpus stands: shards done, failed and missing, samples, losses, rate and time left, and what each host made.
Reads the plan, the records and the failures, no samples; works while a run goes on, from any machine that reaches the
corpus. Exit code 0 if all shards are done and nothing read is damaged, 1 if not, 2 for wrong usage.

examples:
  rawsynth status corpus/
  rawsynth status s3://bucket/corpus --watch 30
  rawsynth status corpus/ --json
  rawsynth status corpus/ --losses
"""
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", help="folder or URL of the corpus")
    parser.add_argument("--json", action="store_true", help="print JSON: all on one line; of --losses, a line an image")
    parser.add_argument("--losses", action="store_true", help="name each lost image and its cause, one a line")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="look again and again until all shards are done")


def run(args: argparse.Namespace) -> int:
    """Look and tell."""
    from rawsynth.corpus.status import StatusReader
    from rawsynth.errors import UsageError

    if args.watch is not None and not args.watch > 0:
        raise UsageError(f"--watch takes seconds over 0; got {args.watch:g}.")
    if args.losses:
        if args.watch is not None:
            raise UsageError("--losses looks once: leave out --watch.")
        return _name_losses(args)
    reader = StatusReader(args.corpus)
    while True:
        found = reader.read()
        print(json.dumps(found.to_json()) if args.json else describe(found), flush=True)
        if args.watch is None or found.complete:
            return found.exit_code
        time.sleep(args.watch)
        if not args.json:
            print()


def _name_losses(args: argparse.Namespace) -> int:
    from rawsynth.cli.printable import printable
    from rawsynth.corpus.losses import list_losses

    for lost in list_losses(args.corpus):
        print(json.dumps(lost) if args.json else printable(f"{lost['key']}: {' '.join(lost['cause'].split())}"))
    return 0


def describe(found: Status) -> str:
    """Say in words how a corpus stands."""
    from rawsynth.cli.outcome import cause_lines

    stand = [
        (found.done, "done"),
        (len(found.failed), "failed"),
        (len(found.damaged), "damaged"),
        (len(found.other_configuration), "of another configuration"),
        (found.missing, "missing"),
    ]
    named = ", ".join(f"{count:,} {what}" for count, what in stand if count or what == "done")
    lines = [
        f"{found.corpus}: {_percent(found)} of {counted(found.shards, 'shard', grouped=True)}: {named}",
        f"  {_samples(found.samples)} from {counted(found.sources, 'image', grouped=True)}, "
        f"{found.bytes / 1e6:,.1f} MB; {counted(found.lost, 'image', grouped=True)} lost, {found.left_out:,} left out",
        *(f"  {line}" for line in cause_lines(found.lost_causes)),
        *_pace_lines(found),
    ]
    for name, host in found.hosts.items():
        shards = counted(host.shards, "shard", grouped=True)
        lines.append(f"  {name}: {shards}, {_samples(host.samples)}, last at {_clock(host.last)}")
    lines += _some([f"  {f.shard} failed ({f.kind}): {f.cause}" for f in found.failed])
    lines += _some([f"  {problem}" for problem in found.damaged.values()])
    lines += _some([f"  {name} was made with another configuration" for name in found.other_configuration])
    if not found.complete:
        lines.append("  not complete: the same rawsynth generate makes what is not done, or is doing so")
    return "\n".join(lines)


def _samples(count: int) -> str:
    return counted(count, "sample", grouped=True)


def _percent(found: Status) -> str:
    # Rounded down: 100% is said of a complete corpus only.
    return f"{100 * found.done // max(1, found.shards)}%"


def _pace_lines(found: Status) -> list[str]:
    pace = found.pace
    if pace is None or found.complete:
        return []
    rate = (
        f"  {pace.samples_per_second:,.1f} samples/s, {pace.bytes_per_second / 1e6:,.1f} MB/s over the last "
        f"{counted(pace.shards, 'shard', grouped=True)}"
    )
    if found.idle:
        ago = timedelta(seconds=round(found.time - pace.last))
        return [f"{rate}; none was finished for {ago}: is a run going on?"]
    left = "" if found.eta_seconds is None else f"; {timedelta(seconds=round(found.eta_seconds))} left at this pace"
    return [rate + left]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _some(lines: list[str]) -> list[str]:
    rest = len(lines) - _SHOWN
    return lines if rest <= 0 else [*lines[:_SHOWN], f"  ... and {rest:,} more; --json names all"]
