"""Ray: a cluster of several nodes makes the corpus that one process makes, and a node that dies costs nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.verify import verify
from rawsynth.engine.local import generate
from rawsynth.engine.observer import Observer
from rawsynth.errors import UsageError
from rawsynth.pipeline.config import GenerateConfig, build_config
from rawsynth.pipeline.run import Progress
from rawsynth.pipeline.shards import Shard

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]

SHARDS: dict[str, Any] = {"read": {"images_per_shard": 2}}

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores of its own and two nodes of one core each: three raylets."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    started.nodes = [started.add_node(num_cpus=1), started.add_node(num_cpus=1)]
    monkeypatch.setenv("RAY_ADDRESS", started.address)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def series(make_series: Callable[[int], Path]) -> Path:
    """Sixteen photographs, eight shards."""
    return make_series(16)


def config(source: Path, output: Path, **run: Any) -> GenerateConfig:
    values = {**SHARDS, "method": {"method": "unprocess"}, "run": {"engine": "ray", "threads": 1, **run}}
    return build_config({"input": str(source), "output": str(output), **values})


class Watcher(Observer):
    """Keeps what it is told; does something when the first shards begin, and when something was first written."""

    def __init__(self, written: Callable[[], None]) -> None:
        self.retried: list[str] = []
        self.sources = 0
        self.written = written

    def progress(self, shard: Shard, progress: Progress) -> None:
        if not self.sources:
            self.written()
        self.sources += progress.sources

    def shard_retried(self, shard: Shard, cause: str) -> None:
        self.retried.append(cause)


def kill_actors() -> None:
    """End every process that makes shards."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if line.read_bytes().startswith(b"ray::ShardActor"):
                os.kill(int(line.parent.name), signal.SIGKILL)
        except OSError:
            continue


def test_a_cluster_that_loses_a_node_makes_what_one_process_makes(
    cluster: Any, series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    make_corpus(series, tmp_path / "one", **SHARDS)
    watcher = Watcher(lambda: cluster.remove_node(cluster.nodes[0], allow_graceful=False))
    summary = generate(config(series, tmp_path / "ray"), watcher)
    assert (summary.done, summary.samples, summary.failed, summary.exit_code) == (8, 16, {}, 0)
    assert hash_tars(tmp_path / "ray") == hash_tars(tmp_path / "one")
    assert watcher.sources >= 16


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_actors_that_end_are_replaced(
    cluster: Any, series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    make_corpus(series, tmp_path / "one", **SHARDS)
    watcher = Watcher(kill_actors)
    summary = generate(config(series, tmp_path / "ray"), watcher)
    assert (summary.done, summary.failed, summary.exit_code) == (8, {}, 0)
    assert 1 <= len(watcher.retried) <= 2
    assert hash_tars(tmp_path / "ray") == hash_tars(tmp_path / "one") and verify(str(tmp_path / "ray")).ok


def test_a_worker_that_fits_no_node_is_refused(cluster: Any, series: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a worker needs 4 CPUs"):
        generate(config(series, tmp_path / "ray", threads=4))
