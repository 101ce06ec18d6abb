"""One worker against two, Ray against processes, and memory over a long stream: `rawsynth generate` as a whole.

    python benchmarks/bench_scale.py
    python benchmarks/bench_scale.py --only workers ray --images 2000
    python benchmarks/bench_scale.py --only memory --gigabytes 16

Input: JPEG tiles of 504x504 of the real photographs that scikit-image ships, in tars; `unprocess` and heteroscedastic
noise, eager. Rates are from the beginning of the first shard to the end of the last one, as the records state them, so
that starting processes does not count; it is given apart. Alternatives run in turn, ratios are medians over rounds.

    workers   one worker of one thread on one core, two of one thread on two
    ray       two actors of one thread against two workers of one thread, shards of 1,000 images
    memory    the largest resident memory of a worker while a corpus of so many GB is written; its parts are removed as
              they appear, so it needs little disk
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench_pipeline import SIDE, make_tiles

_OPTIONS = ["--crop", str(SIDE), "--method", "unprocess", "--noise", "heteroscedastic_gaussian", "--threads", "1"]


@dataclass(frozen=True)
class Run:
    """What one run took: images a second over its shards, seconds of the whole command, MB of its largest process."""

    rate: float
    seconds: float
    peak_mb: float


def make_tars(folder: Path, *, shards: int, images: int) -> str:
    """Write ``shards`` tars of ``images`` tiles each, all alike, and return their pattern."""
    make_tiles(folder / "tiles", images)
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for tile in sorted((folder / "tiles").iterdir()):
            archive.add(tile, tile.name)
    shutil.rmtree(folder / "tiles")
    for index in range(1, shards):
        os.link(folder / "00000.tar", folder / f"{index:05d}.tar")
    return str(folder / f"{{00000..{shards - 1:05d}}}.tar") if shards > 1 else str(folder / "00000.tar")


def run(source: str, output: Path, *options: str, cores: set[int] | None = None, discard: bool = False) -> Run:
    """Run the command afresh and read what its records say."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "rawsynth", "generate", source, str(output), "--quiet", *_OPTIONS, *options]
    started = time.perf_counter()
    affinity = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=affinity)
    watch = _Watch(process.pid, output if discard else None)
    code = process.wait()
    seconds, peak = time.perf_counter() - started, watch.stop()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    spans = [json.loads(path.read_text()) for path in (output / "records").iterdir()]
    first = min(record["run"]["started"] for record in spans)
    last = max(record["run"]["started"] + record["run"]["seconds"] for record in spans)
    shutil.rmtree(output)
    return Run(sum(record["sources"] for record in spans) / (last - first), seconds, peak)


class _Watch(threading.Thread):
    """Samples the memory of a process and its descendants; removes finished parts where asked to."""

    def __init__(self, pid: int, output: Path | None) -> None:
        super().__init__(daemon=True)
        self._pid, self._output, self._peak, self._over = pid, output, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look several times a second."""
        while not self._over.wait(0.2):
            self._peak = max([self._peak, *map(_resident_mb, _descendants(self._pid))])
            for part in self._output.glob("*.tar") if self._output is not None else ():
                part.unlink()

    def stop(self) -> float:
        """Return the largest."""
        self._over.set()
        self.join()
        return self._peak


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for known in found:
        for task in Path(f"/proc/{known}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _resident_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def compare(rounds: int, first: Callable[[], Run], second: Callable[[], Run]) -> tuple[list[Run], list[Run]]:
    """Run two alternatives in turn."""
    pairs = [(first(), second()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def report(title: str, first: list[Run], second: list[Run]) -> None:
    """Print both, and the ratio of their rates."""
    ratios = sorted(b.rate / a.rate for a, b in zip(first, second, strict=True))
    rates = [statistics.median(one.rate for one in runs) for runs in (first, second)]
    apart = [statistics.median(one.seconds for one in runs) for runs in (first, second)]
    print(
        f"{title}: {rates[0]:.1f} and {rates[1]:.1f} images/s, ratio {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f}-{ratios[-1]:.2f}); whole commands {apart[0]:.1f} and {apart[1]:.1f} s"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["workers", "ray", "memory"], default=["workers", "ray", "memory"])
    parser.add_argument("--images", type=int, default=1000, help="a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=16.0, help="written in the memory part")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="rawsynth-scale-"))
    cores = sorted(os.sched_getaffinity(0))
    try:
        (root / "in").mkdir()
        pair = make_tars(root / "in", shards=2, images=args.images)
        out = root / "out"
        one = partial(run, pair, out, "--workers", "1", cores={cores[0]})
        two = partial(run, pair, out, "--workers", "2", cores=set(cores[:2]))
        if "workers" in args.only:
            report("one worker on a core, two on two", *compare(args.rounds, one, two))
        if "ray" in args.only:
            ray = partial(run, pair, out, "--workers", "2", "--engine", "ray")
            report("two workers, two Ray actors", *compare(args.rounds, two, ray))
        if "memory" in args.only:
            # A sample is two planes of 16 bits at each pixel.
            shards = max(2, round(args.gigabytes * 1e9 / (args.images * SIDE * SIDE * 4)))
            (root / "long").mkdir()
            stream = make_tars(root / "long", shards=shards, images=args.images)
            long = run(stream, out, "--workers", "2", discard=True)
            print(f"{shards} shards, {args.gigabytes:.0f} GB written: {long.peak_mb:.0f} MB the largest process")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
