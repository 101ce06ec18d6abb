"""Time alternatives side by side, so that a machine whose speed drifts slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def side_by_side(runs: Mapping[str, Callable[[], object]], rounds: int = 7, warmup: int = 2) -> dict[str, float]:
    """Run each alternative in turn, ``rounds`` times.

    Returns:
        Median seconds of each.
    """
    for run in runs.values():
        for _ in range(warmup):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(seconds: Mapping[str, float], images: int, base: str) -> None:
    """Print ms an image, images/s and the ratio to ``base``, a row an alternative."""
    width = max(map(len, seconds))
    print(f"{'':{width}}  {'ms/image':>9}  {'images/s':>9}  {'ratio':>6}")
    for name, value in seconds.items():
        rate = images / value
        print(f"{name:{width}}  {1000 * value / images:9.2f}  {rate:9.1f}  {seconds[base] / value:5.1f}x")
