"""The recipe of rst_isp_net_small as users run it: both stages, killed and resumed, interrupted, refused."""

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
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from rawsynth import storage
from rawsynth.errors import TrainingError, UsageError
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.weights import load_weights
from rawsynth.training.journal import read_curve
from rawsynth.training.run_folder import PHOTOGRAPHS_FILE
from rawsynth.training.scene_config import SceneTrainConfig
from rawsynth.training.scene_learner import SceneLearner
from rawsynth.training.scene_linear import train_scene_linear

MakeConfig = Callable[..., SceneTrainConfig]
OPTIONS = {"code": 8, "knots": 8, "hidden": 4, "widths": [4, 4], "blocks": [1, 1]}
STAGE = {"steps": 4, "batch": 2, "warmup": 1, "ema": 0.9}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real photographs as files, and one that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more than that")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of these trainings keep their photographs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def scene_config(photographs: Path, cache: Path, tmp_path: Path) -> MakeConfig:
    """``scene_config("a", **{"globally.steps": 9})``: a training of seconds, fields by dotted name."""

    def make(output: str = "run", **overrides: Any) -> SceneTrainConfig:
        values: dict[str, Any] = {
            "output": storage.join(str(tmp_path), output),
            "data": {
                "photographs": str(photographs), "cache": str(cache), "validation_samples": 3,
                "validation_share": 0.25, "renderings": ["libraw"], "crop": 32, "points": 8, "workers": 0,
            },
            "model": {"options": OPTIONS},
            "globally": dict(STAGE),
            "locally": dict(STAGE),
            "watch": {"log_every": 1, "validate_every": 4, "save_every": 2, "panels": 1},
        }  # fmt: skip
        for name, value in overrides.items():
            *tables, key = name.split(".")
            place = values
            for table in tables:
                place = place.setdefault(table, {})
            place[key] = value
        return SceneTrainConfig.model_validate(values)

    return make


def curve(output: str) -> list[dict[str, Any]]:
    """The curve without what the clock decides."""
    return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in read_curve(output)]


def same_files(first: str, second: str) -> None:
    for name in ("final", "best", "last"):
        a, b = (load_file(Path(output) / f"{name}.safetensors") for output in (first, second))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Killed(BaseException):
    """As sudden as a kill: nothing of the package catches it."""


@pytest.mark.parametrize("killed_at", [1, 4, 5])
def test_killed_and_resumed_equals_uninterrupted(
    scene_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """In either stage, on its border, and between checkpoints."""
    whole, parts = scene_config("whole"), scene_config("parts")
    summary = train_scene_linear(whole, quiet=True)
    assert (summary.steps, summary.total, summary.interrupted) == (8, 8, False)
    learn, done = SceneLearner.step, [0]

    def step(self: SceneLearner, batch: Any, number: int) -> Any:
        if done[0] == killed_at:
            raise Killed
        done[0] += 1
        return learn(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(SceneLearner, "step", step)
        with pytest.raises(Killed):
            train_scene_linear(parts, quiet=True)
    torch.randn(3)  # the global generator has moved on
    resumed = train_scene_linear(parts, quiet=True)
    assert curve(parts.output) == curve(whole.output)
    assert resumed.best == summary.best
    same_files(whole.output, parts.output)


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on(scene_config: MakeConfig, tmp_path: Path) -> None:
    """kill -9 of the command itself, with a process that makes samples; then the same command again."""
    steps = {"globally.steps": 30, "locally.steps": 10, "watch.save_every": 5, "watch.validate_every": 20}
    whole, parts = scene_config("whole", **steps), scene_config("parts", **steps)
    train_scene_linear(whole, quiet=True)
    file = tmp_path / "c.toml"
    file.write_text(_as_toml(parts.model_dump(mode="json", exclude_none=True) | {"output": parts.output}))
    command = [sys.executable, "-m", "rawsynth", "train", str(file), "--set", "data.workers=1", "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    state = Path(parts.output) / "last.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was faster than the kill"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "40 steps; best validation" in done.stdout
    assert curve(parts.output) == curve(whole.output)
    same_files(whole.output, parts.output)


def _as_toml(values: dict[str, Any]) -> str:
    top = "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items() if not isinstance(v, dict))
    return top + "".join(
        f"[{k}]\n" + "".join(f"{n} = {_toml_value(x)}\n" for n, x in v.items()) for k, v in values.items()
        if isinstance(v, dict)
    )  # fmt: skip


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def test_an_interrupted_run_goes_on(scene_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = scene_config("whole"), scene_config("parts")
    train_scene_linear(whole, quiet=True)
    learn = SceneLearner.step

    def step(self: SceneLearner, batch: Any, number: int) -> Any:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, batch, number)

    stops = []
    with monkeypatch.context() as patch:
        patch.setattr(SceneLearner, "step", step)
        for _ in range(2):  # once in each stage
            summary = train_scene_linear(parts, quiet=True)
            stops.append((summary.steps, summary.interrupted))
    assert stops == [(3, True), (7, True)]
    assert not train_scene_linear(parts, quiet=True).interrupted
    assert curve(parts.output) == curve(whole.output)
    same_files(whole.output, parts.output)


def test_worker_processes_change_nothing(scene_config: MakeConfig) -> None:
    alone, helped = scene_config("alone"), scene_config("helped", **{"data.workers": 1})
    for config in (alone, helped):
        train_scene_linear(config, quiet=True)
    assert curve(alone.output) == curve(helped.output)


def test_what_moves_in_each_stage(scene_config: MakeConfig) -> None:
    """First all but the local part, then all; the second stage starts from the first one's average."""
    fixed = {"globally.weight_decay": 0.0, "locally.weight_decay": 0.0}
    first = scene_config("first", **{"locally.steps": 0, **fixed})
    second = scene_config("second", **{"globally.steps": 0, "locally.steps": 1, "locally.lr": 1e-9, **fixed})
    train_scene_linear(first, quiet=True)
    final = load_weights(f"{first.output}/final.safetensors")
    start = load_weights(f"{scene_init(second)}/final.safetensors").tensors
    moved = {name.split(".")[0] for name in start if not torch.allclose(start[name], final.tensors[name], atol=1e-7)}
    assert moved == {"style", "globally"}
    both = scene_config("both", **{"locally.lr": 1e-12, **fixed})
    train_scene_linear(both, quiet=True)
    tensors = load_weights(f"{both.output}/final.safetensors").tensors
    assert all(torch.allclose(tensors[name], final.tensors[name], atol=1e-7) for name in tensors)


def scene_init(config: SceneTrainConfig) -> str:
    """Run a training that hardly moves: its result is the network that every training of the seed starts from."""
    train_scene_linear(config, quiet=True)
    return config.output


def test_the_weights_say_where_they_come_from(scene_config: MakeConfig) -> None:
    config = scene_config(licence="CC0-1.0", description="synthetic pairs")
    summary = train_scene_linear(config, quiet=True)
    assert summary.weights == f"{config.output}/best.safetensors" and summary.best is not None
    weights = load_weights(summary.weights)
    card = weights.card
    assert (weights.architecture, card.licence, card.data) == ("rst_isp_net_small", "CC0-1.0", "synthetic pairs")
    SceneLinearNet(**weights.config).load_state_dict(dict(weights.tensors))
    assert card.metrics["validation"] == summary.best and {"absolute_db", "fitted_db"} < summary.best.keys()
    listed = json.loads((Path(config.output) / PHOTOGRAPHS_FILE).read_text())
    counted = card.recipe["photographs"]
    assert (counted["train"], counted["validation"]) == (len(listed["train"]), len(listed["validation"])) == (3, 1)
    assert counted["sha256"] == listed["sha256"] and card.recipe["config"]["locally"]["steps"] == 4
    assert [text.split(":")[0] for text in listed["left_out"]] == ["broken.jpg"]


def test_it_learns(scene_config: MakeConfig) -> None:
    watch = {"watch.validate_every": 4, "watch.log_every": 4, "watch.save_every": 40}
    stage = {"globally.steps": 40, "globally.lr": 1e-2, "locally.steps": 0, "data.validation_samples": 12}
    config = scene_config(**stage, **watch)
    train_scene_linear(config, quiet=True)
    scores = [row["absolute_db"] for row in read_curve(config.output) if row["kind"] == "validation"]
    assert len(scores) == 10 and scores[-1] > scores[0] + 0.5


def test_a_step_without_finite_gradient_is_left_out(scene_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One costs itself; twenty in a row end the run, and the checkpoint before them is kept."""
    config, calls = scene_config(**{"globally.steps": 30, "watch.save_every": 3}), [0]
    norm = SceneLearner._norm

    def broken(self: SceneLearner) -> torch.Tensor:
        calls[0] += 1
        return torch.tensor(float("nan")) if calls[0] == 2 or calls[0] > 5 else norm(self)

    monkeypatch.setattr(SceneLearner, "_norm", broken)
    with pytest.raises(TrainingError, match="last 20 steps up to 25 had no finite gradient"):
        train_scene_linear(config, quiet=True)
    state = load_file(Path(config.output) / "last.safetensors")
    assert all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.photographs": "nowhere"}, "nowhere"),
        ({"data.renderings": ["lightroom"]}, "unknown rendering family 'lightroom'.*darktable"),
        ({"data.cameras": ["Sony ILCE-7SM22"]}, "unknown camera"),
        ({"model.options": {"widht": 3}}, "model.options: .*widht"),
        ({"model.options": {"local": False}}, "locally.steps = 0"),
        ({"model.init": "none.safetensors"}, "none.safetensors"),
        ({"compute.device": "tpu0x"}, "tpu0x"),
        ({"data.validation_share": 0.95}, "leaves none to train"),
    ],
)
def test_what_cannot_work_is_refused(scene_config: MakeConfig, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, OSError), match=message):
        train_scene_linear(scene_config(**overrides), quiet=True)


def test_an_output_belongs_to_one_training(scene_config: MakeConfig, photographs: Path, tmp_path: Path) -> None:
    config = scene_config(**{"locally.steps": 0})
    train_scene_linear(config, quiet=True)
    with pytest.raises(UsageError, match=r"globally.lr 0.001 -> 0.002.*--overwrite"):
        train_scene_linear(scene_config(**{"locally.steps": 0, "globally.lr": 2e-3}), quiet=True)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in photographs.glob("*.png"):
        (moved / file.name).write_bytes(file.read_bytes())
    same = scene_config(**{"locally.steps": 0, "data.photographs": str(moved)})
    assert train_scene_linear(same, quiet=True).steps == 4  # the same photographs elsewhere
    (moved / "rocket.png").unlink()
    with pytest.raises(UsageError, match="other photographs"):
        train_scene_linear(same, quiet=True)


def test_start_from_weights(scene_config: MakeConfig) -> None:
    first = scene_config("first", **{"locally.steps": 0})
    train_scene_linear(first, quiet=True)
    init = f"{first.output}/final.safetensors"
    still = {"globally.steps": 1, "locally.steps": 0, "globally.lr": 1e-9, "globally.ema": 0.0}
    tuned = scene_config("tuned", **{"model.init": init, **still})
    train_scene_linear(tuned, quiet=True)
    before, after = (load_weights(f"{c.output}/final.safetensors").tensors for c in (first, tuned))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    with pytest.raises(UsageError, match="do not fit model.options"):
        train_scene_linear(scene_config("wider", **{"model.init": init, "model.options": {}}), quiet=True)


@pytest.mark.slow
def test_two_processes_learn_as_one(scene_config: MakeConfig, tmp_path: Path) -> None:
    """Each makes half of a batch; gradients are averaged, so only rounding differs."""
    alone, shared = scene_config("alone"), scene_config("shared")
    train_scene_linear(alone, quiet=True)
    file = tmp_path / "c.toml"
    file.write_text(_as_toml(shared.model_dump(mode="json", exclude_none=True) | {"output": shared.output}))
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29527", "-m", "rawsynth")
    command = [sys.executable, *launcher, "train", str(file), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best validation") == 1
    first, second = (
        [row["loss"] for row in curve(config.output) if row["kind"] == "train"] for config in (alone, shared)
    )
    assert len(first) == 8 and second == pytest.approx(first, rel=1e-3)
