"""kill -9 anywhere, on every engine: who goes on ends with the tars of a run that nothing interrupted.

``RAWSYNTH_KILLS`` says how many processes are killed on each engine (``make soak`` sets it), ``RAWSYNTH_SEED`` when.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.verify import verify

KILLS = int(os.environ.get("RAWSYNTH_KILLS", "3"))
SEED = int(os.environ.get("RAWSYNTH_SEED", "0"))
IMAGES, IN_A_SHARD = 60, 2
# From the first shard to the last one, about; later moments hit runs that have ended.
WORK_S = 1.5

ENGINES: dict[str, tuple[list[str], int]] = {
    "one process": (["--workers", "1"], 1),
    "workers": (["--workers", "2"], 1),
    "ranks": (["--workers", "1"], 2),
    "ranks of workers": (["--workers", "2"], 2),
    "ray": (["--engine", "ray", "--workers", "2"], 1),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]


@pytest.fixture
def series(make_series: Callable[[int], Path]) -> Path:
    """Photographs for thirty shards."""
    return make_series(IMAGES)


def descendants(pid: int) -> list[int]:
    """A process and all that it has started."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for known in found:
        found += parents.get(known, [])
    return found


class Run:
    """All processes of one run, at work."""

    def __init__(self, source: Path, corpus: Path, engine: str) -> None:
        options, world = ENGINES[engine]
        common = ["--method", "unprocess", "--images-per-shard", str(IN_A_SHARD), "--threads", "1", "--json-log"]
        command = [sys.executable, "-m", "rawsynth", "generate", str(source), str(corpus), *common, *options]
        environ = {**os.environ, "RAY_ADDRESS": "", "RAY_DISABLE_IMPORT_WARNING": "1"}
        ranks = [{**environ, "RANK": str(n), "WORLD_SIZE": str(world)} if world > 1 else environ for n in range(world)]
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        self.ranks = [subprocess.Popen(command, env=e, stdout=none, stderr=pipe, text=True) for e in ranks]

    def wait_for_work(self) -> None:
        """Return when the plan stands, or a process has ended."""
        log = self.ranks[0].stderr
        assert log is not None
        while (line := log.readline()) and '"event": "start"' not in line:
            pass

    def end(self) -> list[int]:
        """Wait for all; a rank whose fellow is gone waits no longer than the test does."""
        for rank in self.ranks:
            rank.communicate(timeout=180)
        return [rank.returncode for rank in self.ranks]


def kill_one(run: Run, rng: random.Random) -> None:
    """Kill one process of a run: a rank, or one that it has started; it may have ended by itself."""
    victims = [pid for rank in run.ranks if rank.poll() is None for pid in descendants(rank.pid)]
    if victims:
        try:
            os.kill(rng.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_anywhere_it_goes_on_to_the_same_corpus(
    engine: str, series: Path, tmp_path: Path, make_corpus: Callable[..., Any],
    hash_tars: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    if engine in ("ray", "ranks of workers") and "RAWSYNTH_KILLS" not in os.environ:
        pytest.skip("takes minutes: make soak")
    make_corpus(series, tmp_path / "whole", read={"images_per_shard": IN_A_SHARD})
    wanted, corpus, rng = hash_tars(tmp_path / "whole"), tmp_path / "killed", random.Random(f"{SEED}/{engine}")
    for _ in range(KILLS):
        run = Run(series, corpus, engine)
        if rng.random() < 0.75:
            run.wait_for_work()
        time.sleep(rng.uniform(0, WORK_S))
        kill_one(run, rng)
        codes = run.end()
        if codes == [0] * len(codes):
            # A worker was killed and replaced, or the kill came too late: the corpus must be whole.
            assert hash_tars(corpus) == wanted and verify(str(corpus)).problems == []
            shutil.rmtree(corpus)
    assert Run(series, corpus, engine).end() == [0] * ENGINES[engine][1]
    assert hash_tars(corpus) == wanted and verify(str(corpus)).problems == []
    assert [path for path in corpus.rglob(".*")] == []
