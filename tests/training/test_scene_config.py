"""The configuration of rst_isp_net_small: the packaged one, what decides the learning, mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from rawsynth.errors import UsageError
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.pipeline.sections import validated
from rawsynth.training.config import TrainConfig, packaged_configs
from rawsynth.training.scene_config import SceneTrainConfig, load_config

MINIMAL: dict[str, Any] = {
    "output": "run", "data": {"photographs": "photos"}, "globally": {"steps": 3}, "locally": {"steps": 2},
}  # fmt: skip


def config(**overrides: Any) -> SceneTrainConfig:
    """The smallest configuration with fields by dotted name."""
    values = {name: dict(table) if isinstance(table, dict) else table for name, table in MINIMAL.items()}
    for name, value in overrides.items():
        *tables, key = name.split("__")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return validated(SceneTrainConfig, values)


def test_the_packaged_recipe() -> None:
    loaded = load_config("rst_isp_net_small")
    assert isinstance(loaded, SceneTrainConfig)
    assert (loaded.data.photographs, loaded.data.renderings, loaded.data.cameras) == ("photographs/", "all", ())
    assert loaded.globally.steps > 0 and loaded.locally.steps > 0 and "synthetic" in loaded.description
    SceneLinearNet(**loaded.model.network_config())
    text = packaged_configs()["rst_isp_net_small"]
    assert "rawsynth train rst_isp_net_small --set data.photographs=FOLDER --set output=RUN" in text


def test_the_command_line_wins() -> None:
    given = {"data.photographs": "mine/", "output": "r", "data.renderings": "none", "locally.steps": "0"}
    loaded = load_config("rst_isp_net_small", given)
    assert isinstance(loaded, SceneTrainConfig)
    assert (loaded.data.photographs, loaded.output, loaded.data.renderings) == ("mine/", "r", "none")
    families = load_config("rst_isp_net_small", {"data.renderings": '["libraw", "darktable"]'})
    assert isinstance(families, SceneTrainConfig) and families.data.renderings == ("libraw", "darktable")
    assert isinstance(load_config("tiny"), TrainConfig)


@pytest.mark.parametrize(
    ("change", "decides"),
    [
        ({"seed": 1}, True),
        ({"globally__lr": 2e-3}, True),
        ({"locally__rest_lr": 0.5}, True),
        ({"data__renderings": "none"}, True),
        ({"data__crop": 96}, True),
        ({"compute__dtype": "bfloat16"}, True),
        ({"data__photographs": "elsewhere"}, False),
        ({"data__cache": "here"}, False),
        ({"data__workers": 4}, False),
        ({"compute__device": "cpu"}, False),
        ({"watch__save_every": 7}, False),
        ({"licence": "CC0-1.0"}, False),
    ],
)
def test_what_decides_the_learning(change: dict[str, Any], decides: bool) -> None:
    assert (config(**change).learning_fields() != config().learning_fields()) == decides


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nope": 1}, "nope: no such option"),
        ({"data__train": "pairs"}, "data.train: no such option"),
        ({"data__crop": 31}, "crop must be even; got 31"),
        ({"data__crop": 512}, "data.crop: .*256"),
        ({"data__renderings": "some"}, "data.renderings"),
        ({"data__validation_share": 1}, "data.validation_share: "),
        ({"globally__steps": -1}, "globally.steps: "),
        ({"globally__steps": 0, "locally__steps": 0}, "both 0"),
        ({"globally__rest_lr": 0.5}, "globally.rest_lr: no such option"),
        ({"globally__betas": [0.9, 1.0]}, "globally.betas.1: "),
        ({"locally__lr": 0}, "locally.lr: "),
        ({"model__method": "rst_isp_net"}, "model.method: "),
        ({"compute__dtype": "float16"}, "compute.dtype: "),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**wrong)


def test_every_field_says_what_it_is() -> None:
    def described(model: Any) -> list[str]:
        return [
            name for name, field in model.model_fields.items()
            if not field.description and not hasattr(field.annotation, "model_fields")
        ]  # fmt: skip

    found = [model.model_fields[name].annotation for model in (SceneTrainConfig,) for name in model.model_fields]
    sections = [model for model in found if hasattr(model, "model_fields")]
    assert [described(model) for model in (SceneTrainConfig, *sections)] == [[]] * (len(sections) + 1)
