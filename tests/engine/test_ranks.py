"""ranks: processes that know only which of how many they are make one corpus."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.engine.ranks import Rank, current_rank
from rawsynth.errors import UsageError

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]

FOUND = [
    ({}, Rank(0, 1, 0)),
    ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Rank(3, 8, 1)),
    ({"RANK": "0", "WORLD_SIZE": "1"}, Rank(0, 1, 0)),
    ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6", "SLURM_LOCALID": "2"}, Rank(5, 6, 2)),
    # A batch script that asked for tasks is not one of them; only srun starts those.
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "6", "SLURM_LOCALID": "0"}, Rank(0, 1, 0)),
    # torchrun inside a job step says which process this is, not the step.
    ({"RANK": "1", "WORLD_SIZE": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, Rank(1, 4, 0)),
]


@pytest.mark.parametrize(("environ", "rank"), FOUND)
def test_the_launchers_variables(environ: dict[str, str], rank: Rank) -> None:
    assert current_rank(environ) == rank


@pytest.mark.parametrize("environ", [{"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "one", "WORLD_SIZE": "4"}])
def test_contradictions_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="RANK"):
        current_rank(environ)


@pytest.mark.parametrize("world", [1, 2, 3, 7, 12])
def test_shares_are_disjoint_and_complete(world: int) -> None:
    shares = [Rank(number, world).share(range(10)) for number in range(world)]
    assert sorted(item for share in shares for item in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def start(source: Path, corpus: Path, rank: int, world: int) -> subprocess.Popen[str]:
    words = ["generate", str(source), str(corpus), "--quiet", "--method", "unprocess", "--images-per-shard", "2"]
    environ = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "rawsynth", *words], env=environ, **pipes)


@pytest.fixture
def series(make_series: Callable[[int], Path]) -> Path:
    """Ten photographs, five shards."""
    return make_series(10)


def test_three_ranks_make_what_one_process_makes(
    series: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    corpus = tmp_path / "ranks"
    # The last one first: it waits for the plan.
    ranks = [start(series, corpus, number, 3) for number in (2, 1, 0)]
    ended = [(rank.communicate(timeout=180), rank.returncode) for rank in ranks]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert ["in 1 of 1" in ended[0][0][0], "in 2 of 2" in ended[1][0][0], "in 2 of 2" in ended[2][0][0]] == [True] * 3
    make_corpus(series, tmp_path / "one", read={"images_per_shard": 2})
    assert hash_tars(corpus) == hash_tars(tmp_path / "one")
    assert [path.name for path in corpus.iterdir() if path.name.startswith(".")] == []
    # A share that a lost node left undone is made by whoever runs next.
    (corpus / "records/images-00001.json").unlink()
    assert make_corpus(series, corpus, read={"images_per_shard": 2}).skipped_shards == 4


def test_what_changes_the_plan_is_for_one_process(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_corpus: Make
) -> None:
    corpus = tmp_path / "corpus"
    assert make_corpus(photos, corpus, run={"plan_only": True}).exit_code == 0
    assert [path.name for path in corpus.iterdir()] == ["dataset.json"]
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("overwrite", "extend", "retry_errors"):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}.*--plan-only"):
            make_corpus(photos, corpus, run={name: True})
