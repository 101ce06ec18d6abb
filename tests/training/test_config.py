"""Configurations: the packaged ones can be trained, the published ones are the paper's, mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.pairs import LAYOUTS
from rawsynth.pipeline.config import validated
from rawsynth.training.config import TrainConfig, load_train_config, packaged_configs
from rawsynth.training.discriminator import CHANNELS
from rawsynth.training.learner import Learner
from rawsynth.training.losses import LossWeights
from rawsynth.training.train import train

# rst_isp_net_small is trained on photographs, see test_scene_config.py.
PACKAGED = sorted(packaged_configs().keys() - {"rst_isp_net_small"})
MINIMAL = {"output": "run", "data": {"train": "pairs", "crop": 32}, "optimizer": {"steps": 3}}
MakeConfig = Callable[..., TrainConfig]


def config(**overrides: Any) -> TrainConfig:
    """The smallest configuration with fields by dotted name, as the command line sets them."""
    values = json.loads(json.dumps(MINIMAL))
    for name, value in overrides.items():
        *tables, key = name.split("__")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return validated(TrainConfig, values)


# ---- packaged ----


def test_the_names() -> None:
    wanted = ["own_camera", "rst_isp_net_p20", "rst_isp_net_s7", "rst_isp_net_small", "tiny"]
    assert sorted(packaged_configs()) == wanted


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_configuration_can_be_trained(name: str) -> None:
    loaded = load_train_config(name)
    method = METHODS[loaded.model.method]
    assert issubclass(method, LearnedMethod)
    with torch.device("meta"):
        assert next(method.build(loaded.model.network_config()).parameters()).is_meta
    assert loaded.critic.channels in CHANNELS and loaded.data.layout in LAYOUTS
    assert isinstance(loaded.loss.weights(), LossWeights)
    assert loaded.output.startswith("runs/")
    assert f"rawsynth train {name}" in packaged_configs()[name]


@pytest.mark.parametrize(
    ("name", "preset", "parameters", "epochs", "pairs"),
    [("rst_isp_net_s7", "s7", 86_317_068, 101, 4320), ("rst_isp_net_p20", "p20", 86_307_852, 52, 5760)],
)
def test_the_published_experiments(name: str, preset: str, parameters: int, epochs: int, pairs: int) -> None:
    """Kinli et al. 2022 and their code: rates 1e-4 and 4e-4, Adam (0.5, 0.999), batch 8, 3 updates of the critic."""
    published = load_train_config(name)
    optimizer, critic = published.optimizer, published.critic
    assert (optimizer.lr, critic.lr, optimizer.betas, optimizer.batch, critic.steps) == (1e-4, 4e-4, (0.5, 0.999), 8, 3)
    assert optimizer.steps * optimizer.batch == epochs * pairs
    assert f"{epochs} epochs of {pairs:,} pairs" in packaged_configs()[name]
    # No schedule, no warm-up, no average, no limit on the gradient, one rate for all; float32.
    assert (optimizer.schedule, optimizer.warmup, optimizer.ema, optimizer.style_lr) == ("constant", 0, 0.0, 1.0)
    assert not optimizer.clip and published.compute.dtype == "float32"
    assert published.loss.weights() == LossWeights.published()
    assert published.loss.weights().gradient_penalty == 10.0 and critic.channels == "published"
    assert (published.data.crop, published.data.flips) == (None, False)
    assert published.data.layout == f"aim22_{preset}" == name.replace("rst_isp_net", "aim22")
    with torch.device("meta"):
        network = METHODS["rst_isp_net"].build(published.model.network_config())  # type: ignore[attr-defined]
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_no_limit_on_the_gradient_is_none(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0 gradients go to Adam as they are; a limit scales all of them by one factor."""
    move, seen = Learner._move, []

    def moved(self: Learner) -> Any:
        said = move(self)
        grads = [p.grad.double() for p in self.network.parameters() if p.grad is not None]
        seen.append((said.item(), torch.stack([grad.norm() for grad in grads]).norm().item()))
        return said

    monkeypatch.setattr(Learner, "_move", moved)
    for clip in (0.0, 1e-3):
        train(train_config(f"clip {clip}", **{"optimizer.clip": clip, "optimizer.steps": 1}), quiet=True)
    (said, free), (said_too, limited) = seen
    assert said == pytest.approx(free, rel=1e-5) and said > 1e-2
    assert said_too == pytest.approx(said, rel=1e-5) and limited == pytest.approx(1e-3, rel=1e-3)


# ---- mistakes ----

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "nope: no such option"),
    ({"data__nope": 1}, "data.nope: no such option"),
    ({"optimizer__learning_rate": 1}, "optimizer.learning_rate: no such option"),
    ({"data": 3}, "data: "),
    ({"model__options": 3}, "model.options: "),
    ({"data__train": 3}, "data.train: .*string"),
    ({"optimizer__steps": "many"}, "optimizer.steps: .*integer.*'many'"),
    ({"optimizer__steps": 0}, "optimizer.steps: .*greater than 0"),
    ({"optimizer__steps": 1.5}, "optimizer.steps: "),
    ({"optimizer__batch": 0}, "optimizer.batch: "),
    ({"optimizer__lr": 0}, "optimizer.lr: "),
    ({"optimizer__lr": float("nan")}, "optimizer.lr: "),
    ({"optimizer__lr": float("inf")}, "optimizer.lr: .*finite"),
    ({"optimizer__style_lr": -1}, "optimizer.style_lr: "),
    ({"critic__lr": float("inf")}, "critic.lr: "),
    ({"optimizer__betas": [0.9, 1.0]}, "optimizer.betas.1: .*less than 1"),
    ({"optimizer__betas": [-0.1, 0.9]}, "optimizer.betas.0: "),
    ({"optimizer__betas": [0.9]}, "optimizer.betas"),
    ({"optimizer__betas": 0.9}, "optimizer.betas: "),
    ({"optimizer__clip": -1.0}, "optimizer.clip: "),
    ({"optimizer__ema": 1.0}, "optimizer.ema: .*less than 1"),
    ({"optimizer__final_lr": 1.5}, "optimizer.final_lr: "),
    ({"optimizer__final_lr": float("nan")}, "optimizer.final_lr: "),
    ({"optimizer__warmup": -1}, "optimizer.warmup: "),
    ({"optimizer__schedule": "cos"}, "optimizer.schedule: .*'cosine' or 'constant'"),
    ({"compute__dtype": "float64"}, "compute.dtype: "),
    ({"critic__channels": "smal"}, "critic: .*did you mean 'small'"),
    ({"loss__preset": "publishd"}, "loss: .*did you mean 'published'"),
    ({"loss__l1": float("inf")}, "loss: .*l1 is a finite number"),
    ({"loss__l1": -1}, "loss.l1: "),
    ({"loss__l1": 0, "loss__companded_l1": 0, "loss__ssim": 0}, "loss: nothing ties"),
    ({"data__crop": 31}, "data: crop sides must be even; got 31x31"),
    ({"data__crop": [32, 33]}, "data: crop sides must be even; got 32x33"),
    ({"data__crop": 0}, "data: crop sides"),
    ({"data__crop": [32, -2]}, "data: crop sides"),
    ({"data__crop": "32x32"}, "data.crop: "),
    ({"data__crop": [32, 32, 32]}, "data.crop"),
    ({"data__crop": None}, "data: flips .* need a crop .*add crop"),
    ({"data__validation_share": 0}, "data.validation_share: "),
    ({"data__validation_share": 1}, "data.validation_share: "),
    ({"data__limit": 0}, "data.limit: "),
    ({"data__workers": -1}, "data.workers: "),
    ({"watch__save_every": 0}, "watch.save_every: "),
    ({"watch__panels": -1}, "watch.panels: "),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_a_wrong_field_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**wrong)


@pytest.mark.parametrize("missing", ["output", "data", "optimizer"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(UsageError, match=f"^{missing}: required$"):
        validated(TrainConfig, {name: value for name, value in MINIMAL.items() if name != missing})


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"seed: .*; optimizer\.batch: .*; optimizer\.lr: "):
        config(seed="x", optimizer__lr=-1, optimizer__batch=0)


def test_sides_of_a_crop() -> None:
    assert config(data__crop=32).data.crop == config(data__crop=[32, 32]).data.crop == (32, 32)
    assert config(data__crop=[16, 48]).data.crop == (16, 48)
    assert config(data__crop=None, data__flips=False).data.crop is None


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 3  # type: ignore[misc]


# ---- loss weights ----


@given(
    preset=st.sampled_from(["default", "published"]),
    given_=st.dictionaries(
        st.sampled_from(["companded_l1", "ssim", "ms_ssim", "tv", "adversarial", "gradient_penalty"]),
        st.floats(0, 100),
    ),
)
def test_a_weight_that_is_given_wins_over_the_preset(preset: str, given_: dict[str, float]) -> None:
    """Zero is given too: it switches a term off."""
    base = {"default": LossWeights(), "published": LossWeights.published()}[preset]
    found = config(loss={"preset": preset, **given_}).loss.weights()
    assert vars(found) == {**vars(base), **given_}


# ---- files and --set ----


def toml(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "c.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


GOOD = 'output = "run"\n[data]\ntrain = "pairs"\ncrop = 32\n[optimizer]\nsteps = 3\n'


def test_a_file_is_read_from_any_place(tmp_path: Path, memory: Any) -> None:
    memory.pipe_file("/c.toml", GOOD.encode())
    assert load_train_config(toml(tmp_path, GOOD)) == load_train_config("memory://c.toml") == config()


def test_a_file_wins_over_a_packaged_name_only_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text(GOOD)
    assert load_train_config("tiny").output == "runs/tiny"
    assert load_train_config("./tiny").output == "run"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output = 1\nseed = ", "c.toml: Invalid value"),
        ("output = 1\noutput = 2", "c.toml: .*overwrite"),
        (b"\xff\xfe\x00", "c.toml"),
        ("a = " + "[" * 20_000, "c.toml"),
        ("", "output: required; data: required; optimizer: required"),
        (GOOD.split("\n", 1)[1], "^output: required$"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_train_config(toml(tmp_path, text))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("own_camer", "did you mean 'own_camera'.*rst_isp_net_p20.*tiny"),
        ("", "training configuration"),
        ("nowhere.toml", "config file nowhere.toml: .*No such file"),
        ("nowhere/", "config file nowhere/: "),
        ("/", "config file /: "),
        ("odd://c.toml", "odd"),
    ],
)
def test_a_source_that_is_not_there(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_train_config(source)


SET: list[tuple[dict[str, str], str, Any]] = [
    ({"seed": "7"}, "seed", 7),
    ({"optimizer.lr": "1e-2"}, "optimizer.lr", 1e-2),
    ({"optimizer.steps": "1_000"}, "optimizer.steps", 1000),
    ({"optimizer.betas": "[0.5, 0.9]"}, "optimizer.betas", (0.5, 0.9)),
    ({"data.crop": "[16, 48]"}, "data.crop", (16, 48)),
    ({"data.flips": "false"}, "data.flips", False),
    ({"data.train": "s3://bucket/{0..9}.tar"}, "data.train", "s3://bucket/{0..9}.tar"),
    ({"data.train": "my pairs/"}, "data.train", "my pairs/"),
    ({"data.train": '"2024"'}, "data.train", "2024"),
    ({"licence": "CC BY 4.0"}, "licence", "CC BY 4.0"),
    ({"description": ""}, "description", ""),
    ({"description": "it's [half"}, "description", "it's [half"),
    ({"description": "a = b"}, "description", "a = b"),
    ({"model.options.width": "8"}, "model.options", {"width": 8}),
    ({"model.options": "{width = 4, style_layers = 1}"}, "model.options", {"width": 4, "style_layers": 1}),
    ({"critic.steps": "5"}, "critic.steps", 5),
    ({"loss.tv": "1"}, "loss.tv", 1.0),
]


@pytest.mark.parametrize(("given_", "name", "expected"), SET, ids=[str(row[0]) for row in SET])
def test_an_assignment_wins_over_the_file(tmp_path: Path, given_: dict[str, str], name: str, expected: Any) -> None:
    found: Any = load_train_config(toml(tmp_path, GOOD), given_)
    for part in name.split("."):
        found = getattr(found, part)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"data.train.x": "1"}, "--set data.train.x: train is no table"),
        ({"output.x": "1"}, "--set output.x: output is no table"),
        ({"nope.x": "1"}, "nope: no such option"),
        ({"data": "pairs"}, "data: "),
        ({".seed": "1"}, "no such option"),
        ({"data.crop": "[1,"}, "data.crop: "),
        ({"data.train": "2024"}, "data.train: .*string"),
        ({"seed": "1979-05-27"}, "seed: "),
        ({"seed": "[" * 20_000}, "seed: "),
    ],
)
def test_a_wrong_assignment_is_named(tmp_path: Path, given_: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_train_config(toml(tmp_path, GOOD), given_)


# ---- what decides the learning ----

APART: dict[str, Any] = {
    "output": "elsewhere",
    "licence": "MIT",
    "description": "synthetic",
    "watch": {"log_every": 3, "validate_every": 7, "save_every": 9, "panels": 0},
    "data__workers": 5,
    "compute__device": "cuda:3",
}


def test_what_decides_nothing_is_left_out() -> None:
    assert config(**APART).learning_fields() == config().learning_fields()


DECIDES: list[dict[str, Any]] = [
    {"seed": 1}, {"data__train": "other"}, {"data__validation": "v"}, {"data__validation_share": 0.2},
    {"data__layout": "shards"}, {"data__crop": 16}, {"data__flips": False}, {"data__limit": 9},
    {"data__validation_limit": 9}, {"model__preset": "s7"}, {"model__options": {"width": 4}}, {"model__init": "w"},
    {"loss__preset": "published"}, {"loss__tv": 1.0}, {"critic__channels": "tiny"}, {"critic__lr": 1.0},
    {"critic__steps": 1}, {"optimizer__steps": 4}, {"optimizer__batch": 4}, {"optimizer__lr": 1.0},
    {"optimizer__style_lr": 0.5}, {"optimizer__betas": [0.5, 0.5]}, {"optimizer__schedule": "constant"},
    {"optimizer__warmup": 1}, {"optimizer__final_lr": 0.5}, {"optimizer__clip": 0}, {"optimizer__ema": 0.5},
    {"compute__dtype": "float16"}, {"compute__compile": True},
]  # fmt: skip


def test_what_decides_something_is_in() -> None:
    texts = [json.dumps(config(**fields).learning_fields(), sort_keys=True) for fields in [{}, *DECIDES]]
    assert len(set(texts)) == len(texts)


def test_every_field_either_decides_or_does_not() -> None:
    """A new option has to be put into one of the two tables above."""
    known = {name.split("__")[0] + "." + name.split("__")[1] for fields in DECIDES for name in fields if "__" in name}
    known |= {name.replace("__", ".") for name in APART if "__" in name} | {f"watch.{n}" for n in APART["watch"]}
    known |= {f"loss.{n}" for n in ("l1", "companded_l1", "ssim", "ms_ssim", "adversarial", "gradient_penalty")}
    known |= {"seed", "output", "licence", "description", "model.method"}
    found = set()
    for name, value in config().model_dump().items():
        found |= {f"{name}.{key}" for key in value} if isinstance(value, dict) else {name}
    assert found == known


def test_learning_fields_survive_json() -> None:
    for name in PACKAGED:
        fields = load_train_config(name).learning_fields()
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields
