"""Every learned method trains by the one loop, from the packaged configuration to weights that load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rawsynth import storage
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.training.config import ModelConfig, TrainConfig, load_train_config
from rawsynth.training.train import train
from rawsynth.transforms import ReverseISP

LEARNED = sorted(name for name, kind in METHODS.items() if issubclass(kind, LearnedMethod))


@pytest.mark.parametrize("name", LEARNED)
def test_three_steps_and_weights_that_load(name: str, train_config: Callable[..., TrainConfig]) -> None:
    config = train_config(
        **{
            "model.method": name,
            "model.options": {"width": 2} if name == "rst_isp_net" else {},
            "optimizer.steps": 3,
            "optimizer.batch": 2,
            "watch.panels": 0,
            "data.validation_limit": 2,
        }
    )
    summary = train(config, quiet=True)
    assert summary.steps == 3 and summary.lost == 0 and summary.weights is not None
    curve = [json.loads(line) for line in storage.read_bytes(f"{config.output}/metrics.jsonl").splitlines()]
    losses = [row["loss"] for row in curve if "loss" in row]
    assert len(losses) == 3 and all(loss > 0 for loss in losses)
    assert curve[0]["grad_norm"] > 0
    raw = ReverseISP(name, weights=summary.weights)(torch.rand(1, 3, 32, 48))
    assert raw.packed.shape == (1, 4, 16, 24) and bool(raw.packed.isfinite().all())


@pytest.mark.parametrize("name", LEARNED)
def test_the_packaged_configuration_takes_any_of_them(name: str) -> None:
    config = load_train_config("own_camera", {"model.method": name, "data.train": "pairs/"})
    kind = METHODS[name]
    assert issubclass(kind, LearnedMethod)
    assert config.model.preset == next(iter(kind.presets))
    with torch.device("meta"):
        kind.build(config.model.network_config())


def test_the_first_preset_is_stated() -> None:
    assert ModelConfig().network_config() == {"preset": "p20"}  # what runs without a choice have in their plan
    assert ModelConfig(method="cycleisp").preset == "published"
    assert ModelConfig(method="cycleisp", preset="tiny").network_config() == {"preset": "tiny"}
    assert ModelConfig(method="unprocess").preset is None and ModelConfig(method="nonesuch").preset is None


def test_the_verb_trains_a_peer(cli: Callable[..., Any], pair_shards: Path, tmp_path: Path) -> None:
    sets = ["model.method=aim22_0noise", "model.preset=tiny", f"data.train={pair_shards}", "data.crop=32"]
    sets += ["data.workers=0", "optimizer.steps=2", "optimizer.batch=2", "compute.dtype=float32"]
    sets += ["data.validation_limit=2", "watch.panels=0"]
    done = cli("train", "own_camera", "--quiet", "--output", tmp_path / "run", *(a for s in sets for a in ("--set", s)))
    assert done.code == 0, done.err
    assert (tmp_path / "run/best.safetensors").exists()
