"""Trainings as users run them: resumed, interrupted, diverging, distributed, with damaged pairs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import rawsynth
from rawsynth import storage
from rawsynth.errors import CorpusError, TrainingError, UsageError
from rawsynth.methods.weights import load_weights
from rawsynth.pairs.shards import ShardPairs
from rawsynth.training.config import TrainConfig, load_train_config
from rawsynth.training.journal import read_curve
from rawsynth.training.learner import Learner
from rawsynth.training.train import train

MakeConfig = Callable[..., TrainConfig]
ADVERSARIAL = {"loss.adversarial": 1e-3, "critic.channels": "tiny", "critic.steps": 2}


def curve(output: str) -> list[dict[str, Any]]:
    """The curve without what the clock decides."""
    return [{k: v for k, v in row.items() if k != "images_per_s"} for row in read_curve(output)]


class Killed(BaseException):
    """As sudden as a kill: nothing of the package catches it."""


@pytest.mark.parametrize("loss", [{}, ADVERSARIAL], ids=["reconstruction", "adversarial"])
@pytest.mark.parametrize("killed_at", [1, 5])
def test_killed_and_resumed_equals_uninterrupted(
    train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, loss: dict[str, Any], killed_at: int
) -> None:
    whole, parts = train_config("whole", **loss), train_config("parts", **loss)
    summary = train(whole, quiet=True)
    assert (summary.steps, summary.interrupted) == (6, False)

    learn = Learner.step

    def step(self: Learner, batch: Any, number: int) -> Any:
        if number == killed_at:
            raise Killed
        return learn(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", step)
        with pytest.raises(Killed):
            train(parts, quiet=True)
    torch.randn(3)  # the global generator has moved on
    train(parts, quiet=True)
    assert curve(parts.output) == curve(whole.output)
    for name in ("final", "best", "last"):
        first, second = (load_file(Path(c.output) / f"{name}.safetensors") for c in (whole, parts))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_another_seed_is_another_training(train_config: MakeConfig) -> None:
    first, second = train_config("a"), train_config("b", seed=1)
    for config in (first, second):
        train(config, quiet=True)
    assert curve(first.output)[0]["loss"] != curve(second.output)[0]["loss"]


def test_weights_come_out_that_the_transform_takes(train_config: MakeConfig, pair_shards: Path) -> None:
    config = train_config(licence="CC0-1.0", description="synthetic pairs")
    summary = train(config, quiet=True)
    assert summary.best is not None and summary.weights == storage.join(config.output, "best.safetensors")
    card = load_weights(summary.weights).card
    assert (card.licence, card.data) == ("CC0-1.0", "synthetic pairs")
    assert card.recipe["config"]["optimizer"]["lr"] == 3e-3
    assert card.metrics["validation"]["psnr"] == summary.best["psnr"]
    pair = ShardPairs(str(pair_shards))[0]
    assert card.white_balance == pytest.approx(pair.meta["white_balance"], rel=1e-5)
    raw = rawsynth.ReverseISP("rst_isp_net", summary.weights)(pair.srgb)
    assert raw.packed.shape == pair.raw.shape
    assert raw.metadata.white_balance.tolist() == pytest.approx(card.white_balance)


def test_it_learns(train_config: MakeConfig) -> None:
    watch = {"watch.validate_every": 20, "watch.save_every": 100}
    config = train_config(**{"optimizer.steps": 40, "model.options": {"width": 4}, "optimizer.lr": 1e-2, **watch})
    summary = train(config, quiet=True)
    rows = read_curve(config.output)
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    scores = [row["psnr"] for row in rows if row["kind"] == "validation"]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert scores[-1] > scores[0] and summary.best is not None and summary.best["psnr"] == max(scores)


def test_divergence_names_the_batch_and_keeps_the_checkpoint(train_config: MakeConfig) -> None:
    config = train_config(**{"optimizer.lr": 1e30, "optimizer.clip": None, "watch.save_every": 1})
    keys = set(ShardPairs(config.data.train).keys)
    with pytest.raises(TrainingError) as failure:
        train(config, quiet=True)
    named = str(failure.value).split("on the pairs ")[1].split(". The")[0].split(", ")
    assert len(named) == 4 and set(named) <= keys
    state = Path(config.output) / "last.safetensors"
    if state.exists():
        assert all(bool(torch.isfinite(t).all()) for t in load_file(state).values() if t.is_floating_point())


def test_damaged_pairs_cost_themselves(train_config: MakeConfig, pair_shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    data = bytearray((pair_shards / "pairs-00000.tar").read_bytes())
    start = data.index(b"\x89PNG", 40_000)
    data[start : start + 200] = bytes(200)
    (folder / "pairs-00000.tar").write_bytes(data)
    config = train_config(**{"data.train": str(folder)})
    summary = train(config, quiet=True)
    lost = [row for row in read_curve(config.output) if row["kind"] == "lost"]
    assert summary.steps == 6 and lost and all("pairs-00000.tar" in row["cause"] for row in lost)
    assert len({row["key"] for row in lost}) == 1


def test_an_output_belongs_to_one_training(train_config: MakeConfig, tmp_path: Path) -> None:
    config = train_config()
    train(config, quiet=True)
    with pytest.raises(UsageError, match=r"optimizer.lr 0.003 -> 0.001.*--overwrite"):
        train(train_config(**{"optimizer.lr": 1e-3}), quiet=True)
    assert train(config, quiet=True).steps == 6  # finished: nothing to do
    before = curve(config.output)
    train(train_config(**{"optimizer.lr": 1e-3}), quiet=True, overwrite=True)
    assert curve(config.output) != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="empty folder"):
        train(train_config("mine"), quiet=True, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_damaged_checkpoint_is_said_so(train_config: MakeConfig) -> None:
    config = train_config()
    train(config, quiet=True)
    state = Path(config.output) / "last.safetensors"
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(CorpusError, match=r"last\.safetensors is damaged"):
        train(config, quiet=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.crop": 96}, "64"),
        ({"data.train": "nowhere"}, "nowhere"),
        ({"model.method": "unprocess"}, "nothing to learn"),
        ({"model.method": "rst_isp"}, "rst_isp_net"),
        ({"model.preset": "s9"}, "s7"),
        ({"model.init": "none.safetensors"}, "none.safetensors"),
        ({"data.validation_share": 0.999}, None),
        ({"compute.device": "tpu0x"}, "tpu0x"),
    ],
)
def test_what_cannot_work_is_refused(train_config: MakeConfig, overrides: dict[str, Any], message: str | None) -> None:
    config = train_config(**overrides)
    if message is None:
        train(config, quiet=True)  # at least one scene is left to train on
        return
    with pytest.raises(rawsynth.errors.RawsynthError, match=message):
        train(config, quiet=True)


def test_start_from_weights(train_config: MakeConfig) -> None:
    first = train_config("first")
    train(first, quiet=True)
    init = storage.join(first.output, "final.safetensors")
    still = {"optimizer.steps": 1, "optimizer.lr": 1e-9, "optimizer.ema": 0.0}
    tuned = train_config("tuned", **{"model.init": init}, **still)
    train(tuned, quiet=True)
    before, after = load_weights(init).tensors, load_weights(storage.join(tuned.output, "final.safetensors")).tensors
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in before)
    with pytest.raises(UsageError, match="do not fit model.preset"):
        train(train_config("wider", **{"model.init": init, "model.options": {"width": 3}}), quiet=True)


def test_tensorboard_has_scalars_and_pictures(train_config: MakeConfig) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = train_config()
    train(config, quiet=True)
    events = EventAccumulator(str(Path(config.output) / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/grad_norm", "validation/psnr"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("validation/psnr")] == [3, 6]
    assert len(events.Tags()["images"]) == 1


def run_command(*arguments: str, launcher: tuple[str, ...] = ("-m", "rawsynth")) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "train", *arguments]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def as_toml(config: TrainConfig, path: Path) -> str:
    """Write a configuration as TOML, by its JSON form: for these fields the two agree line by line."""
    lines: list[str] = []
    tables: list[str] = []
    for name, value in config.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            fields = {k: v for k, v in value.items() if not isinstance(v, dict)}
            tables += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in fields.items())]
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    path.write_text("\n".join(lines + tables + ["[model.options]", "width = 2"]))
    return str(path)


@pytest.mark.slow
def test_ctrl_c_keeps_the_state(train_config: MakeConfig, tmp_path: Path) -> None:
    endless = train_config(**{"optimizer.steps": 100_000, "watch.save_every": 50_000, "watch.validate_every": 50_000})
    file = as_toml(endless, tmp_path / "endless.toml")
    process = run_command(file, "--quiet")
    deadline = time.monotonic() + 120
    while not (Path(endless.output) / "tensorboard").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command goes on from there" in out
    step = int(out.split("after step ")[1].split()[0])
    assert curve(endless.output)[-1]["step"] == step > 0
    assert load_train_config(file).optimizer.steps == 100_000


@pytest.mark.slow
def test_two_processes_learn_what_one_does(train_config: MakeConfig, tmp_path: Path) -> None:
    alone, shared = train_config("alone", **ADVERSARIAL), train_config("shared", **ADVERSARIAL)
    train(alone, quiet=True)
    file = as_toml(shared, tmp_path / "shared.toml")
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517", "-m", "rawsynth")
    process = run_command(file, "--quiet", launcher=launcher)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert out.count("best validation") == 1
    first, second = (
        [row["l1"] for row in curve(config.output) if row["kind"] == "train"] for config in (alone, shared)
    )
    assert second == pytest.approx(first, rel=2e-2)
