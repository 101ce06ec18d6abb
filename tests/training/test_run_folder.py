"""The folder of a training: whose it is, what may go on in it, and that nothing of anybody else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from rawsynth import storage
from rawsynth.errors import CorpusError, OutputError, TrainingError, UsageError
from rawsynth.methods.weights import load_weights
from rawsynth.pairs import ShardPairs
from rawsynth.training import run_folder
from rawsynth.training.config import TrainConfig
from rawsynth.training.journal import read_curve
from rawsynth.training.run_folder import PLAN_FILE, STATE_FILE, check_share, learned_method, prepare
from rawsynth.training.state import load_state
from rawsynth.training.train import train

MakeConfig = Callable[..., TrainConfig]
SHORT = {"optimizer.steps": 2, "watch.validate_every": 2, "watch.panels": 1}


def begun(config: TrainConfig) -> Path:
    """A folder as a run leaves it after its first checkpoint, without the learning."""
    prepare(config, overwrite=False)
    folder = Path(config.output)
    run_folder.save_checkpoint(config, {"step": 2})
    (folder / "metrics.jsonl").write_text("")
    (folder / "best.safetensors").write_bytes(b"weights")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"events")
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_plan_says_what_is_learned(train_config: MakeConfig) -> None:
    config = train_config()
    prepare(config, overwrite=False)
    plan = json.loads((Path(config.output) / PLAN_FILE).read_text())
    assert plan["learning"] == config.learning_fields()
    assert TrainConfig.model_validate(plan["config"]) == config


def test_the_same_training_goes_on(train_config: MakeConfig) -> None:
    """Whatever is watched, wherever it runs, whatever the card says: that is not what is learned."""
    folder = begun(train_config())
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    other = {"watch.log_every": 7, "licence": "MIT", "description": "x", "compute.device": "cuda:1", "data.workers": 3}
    for overwrite in (False, True):
        prepare(train_config(**other), overwrite=overwrite)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


CHANGES = [
    ({"optimizer.lr": 1e-3}, "optimizer.lr 0.003 -> 0.001"),
    ({"seed": 5}, "seed 0 -> 5"),
    ({"data.crop": (16, 32)}, "data.crop [32, 32] -> [16, 32]"),
    ({"data.limit": 3}, "data.limit None -> 3"),
    ({"loss.tv": 0.0}, "loss.tv None -> 0.0"),
    ({"model.options": {}}, "model.options.width 2 -> None"),
    ({"model.options": {"width": 2.0}}, "model.options.width 2 -> 2.0"),
    ({"model.options": {"width": True}}, "model.options.width 2 -> True"),
    ({"compute.dtype": "bfloat16"}, "compute.dtype 'float32' -> 'bfloat16'"),
    ({"seed": 1, "optimizer.ema": 0.5}, "optimizer.ema 0.9 -> 0.5; seed 0 -> 1"),
]


@pytest.mark.parametrize(("changed", "said"), CHANGES, ids=[row[1] for row in CHANGES])
def test_another_training_is_refused_by_what_changed(
    train_config: MakeConfig, changed: dict[str, Any], said: str
) -> None:
    folder = begun(train_config())
    before = names(folder)
    with pytest.raises(UsageError) as failure:
        prepare(train_config(**changed), overwrite=False)
    message = str(failure.value)
    assert f"holds another training: {said}. " in message and "--overwrite" in message and str(folder) in message
    assert names(folder) == before


def test_overwrite_removes_a_training_and_nothing_else(train_config: MakeConfig) -> None:
    folder = begun(train_config())
    foreign = {"notes.txt", "best.safetensors.bak", "old/last.safetensors", "tensorboard/mine.txt", "events.out.1"}
    for name in foreign:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    prepare(train_config(seed=1), overwrite=True)
    assert names(folder) == {PLAN_FILE, *foreign}
    assert json.loads((folder / PLAN_FILE).read_text())["learning"]["seed"] == 1
    assert all((folder / name).read_text() == "mine" for name in foreign)


@pytest.mark.parametrize("name", ["thesis.txt", STATE_FILE, "sub/train.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_other_files_is_left_alone(train_config: MakeConfig, name: str, overwrite: bool) -> None:
    config = train_config()
    file = Path(config.output) / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match="holds files, but no train.json: choose an empty folder"):
        prepare(config, overwrite=overwrite)
    assert names(Path(config.output)) == {name}


def test_a_training_that_came_to_nothing_makes_room(train_config: MakeConfig, tmp_path: Path) -> None:
    """A wrong path or a batch too large is found after the plan is written; mending it must not need --overwrite."""
    for wrong in ({"data.train": str(tmp_path / "typo")}, {"data.crop": 96}):
        with pytest.raises(Exception, match="typo|96x96"):
            train(train_config(**SHORT, **wrong), quiet=True)
    assert train(train_config(**SHORT), quiet=True).steps == 2
    with pytest.raises(UsageError, match="optimizer.steps 2 -> 4"):
        train(train_config(**{**SHORT, "optimizer.steps": 4}), quiet=True)


def test_best_weights_alone_are_worth_keeping(train_config: MakeConfig) -> None:
    config = train_config()
    prepare(config, overwrite=False)
    (Path(config.output) / "best.safetensors").write_bytes(b"weights")
    with pytest.raises(UsageError, match="another training"):
        prepare(train_config(seed=1), overwrite=False)


DAMAGED = [b"", b"{", b"[]", b"3", b"null", b"{}", b'{"learning": []}', b'{"learning": null}', b"\xff\xfe", b"[" * 9999]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_damaged_plan_is_said_so(train_config: MakeConfig, content: bytes, overwrite: bool) -> None:
    folder = begun(train_config())
    (folder / PLAN_FILE).write_bytes(content)
    before = names(folder)
    with pytest.raises(CorpusError, match=r"train\.json is damaged"):
        prepare(train_config(), overwrite=overwrite)
    assert names(folder) == before


def test_a_plan_of_before_an_option_came_up_is_the_same_training(train_config: MakeConfig) -> None:
    config = train_config()
    folder = begun(config)
    plan = json.loads((folder / PLAN_FILE).read_text())
    del plan["learning"]["data"]["limit"]
    (folder / PLAN_FILE).write_text(json.dumps(plan))
    prepare(config, overwrite=False)
    assert (folder / STATE_FILE).exists()


def test_leftovers_of_killed_writes_go(train_config: MakeConfig) -> None:
    """A state of the published network has gigabytes, and so has what is left of one."""
    folder = begun(train_config())
    (folder / ".last.safetensors.0123456789ab.tmp").write_bytes(b"half")
    (folder / "mine.tmp").write_bytes(b"mine")
    prepare(train_config(), overwrite=False)
    assert {name for name in names(folder) if name.endswith(".tmp")} == {"mine.tmp"}


def test_where_nothing_can_be_written(train_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for output in ("file", "file/run"):
        with pytest.raises(OutputError, match="file"):
            prepare(train_config(output), overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_batch_is_dealt_out_evenly(train_config: MakeConfig) -> None:
    for world in (1, 2, 4):
        check_share(train_config(), world)
    with pytest.raises(UsageError, match="optimizer.batch 4 cannot be dealt out to 3 processes"):
        check_share(train_config(), 3)


def test_what_can_be_learned(train_config: MakeConfig) -> None:
    assert learned_method(train_config()).name == "rst_isp_net"
    with pytest.raises(UsageError, match="'unprocess' has nothing to learn; choose from: .*rst_isp_net"):
        learned_method(train_config(**{"model.method": "unprocess"}))
    with pytest.raises(UsageError, match="did you mean 'rst_isp_net'"):
        learned_method(train_config(**{"model.method": "rst_isp_nett"}))


# ---- a whole training elsewhere than on a disk ----


def test_pairs_and_output_in_memory(
    train_config: MakeConfig, pair_shards: Path, memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    memory.pipe_file("/pairs/pairs-00000.tar", (pair_shards / "pairs-00000.tar").read_bytes())
    remote = {**SHORT, "data.train": "memory://pairs"}
    config = train_config("memory://runs/a", **remote)
    summary = train(config, quiet=True)
    assert (summary.steps, summary.weights) == (2, "memory://runs/a/best.safetensors")
    assert {path.removeprefix("/runs/a/") for path in memory.find("/runs")} == {
        "train.json", "last.safetensors", "metrics.jsonl", "best.safetensors", "final.safetensors"
    }  # fmt: skip
    assert load_state("memory://runs/a/last.safetensors")["step"] == 2
    assert train(config, quiet=True).best == summary.best  # finished: nothing to do
    local = train_config(**SHORT)
    train(local, quiet=True)
    here, there = (load_weights(f"{c.output}/final.safetensors").tensors for c in (local, config))
    assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
    other = train_config("memory://runs/a", **remote, seed=1)
    with pytest.raises(UsageError, match="another training: seed 0 -> 1"):
        train(other, quiet=True)
    assert train(other, quiet=True, overwrite=True).steps == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ---- validation, in a training ----


def damaged_scene(pair_shards: Path, folder: Path, *, pairs: int) -> str:
    """The pairs with the sRGB of the first ones of one scene overwritten, as a validation set of that scene."""
    sets = ShardPairs(str(pair_shards))
    tar = storage.TarFile(str(folder / "validation.tar"))
    for index in [i for i, scene in enumerate(sets.scenes) if scene == "coffee"]:
        sample = sets._samples[index]
        members = sample.read()
        if index % 6 < pairs:
            members["srgb.png"] = members["srgb.png"][:200]
        tar.write(storage.tar_entries(sample.key, members))
    tar.commit()
    return str(folder / "validation.tar")


def test_an_unreadable_validation_pair_is_recorded_each_time(
    train_config: MakeConfig, pair_shards: Path, tmp_path: Path
) -> None:
    validation = damaged_scene(pair_shards, tmp_path, pairs=1)
    config = train_config(**{**SHORT, "watch.validate_every": 1, "data.validation": validation, "watch.panels": 9})
    summary = train(config, quiet=True)
    rows = read_curve(config.output)
    lost = [(row["step"], row["key"]) for row in rows if row["kind"] == "lost"]
    assert lost == [(1, "coffee_0"), (2, "coffee_0")]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [1, 2] and summary.best is not None


def test_a_validation_that_fails_altogether_ends_the_training(
    train_config: MakeConfig, pair_shards: Path, tmp_path: Path
) -> None:
    validation = damaged_scene(pair_shards, tmp_path, pairs=6)
    config = train_config(**{**SHORT, "watch.save_every": 1, "data.validation": validation})
    with pytest.raises(TrainingError, match=r"validation after step 2 failed: none of 6 pairs .* coffee_0"):
        train(config, quiet=True)
    assert load_state(storage.join(config.output, STATE_FILE))["step"] == 1
