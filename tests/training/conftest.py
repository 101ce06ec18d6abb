"""A small set of pairs to train on: crops of real photographs, unprocessed for one camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from skimage import data

from rawsynth import storage
from rawsynth.pairs.shards import pair_members
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.raw.quantize import quantize
from rawsynth.training.config import TrainConfig
from rawsynth.transforms import ReverseISP

SCENES = ("astronaut", "coffee", "chelsea", "rocket")
SIDE = 64


@pytest.fixture(scope="session")
def pair_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one tar of 24 pairs from four photographs."""
    folder = tmp_path_factory.mktemp("pairs")
    to_raw = ReverseISP("unprocess", camera="Canon EOS 5D Mark IV", cct=6504, rgb_gain=1.25, seed=0)
    tar = storage.TarFile(str(folder / "pairs-00000.tar"))
    for scene in SCENES:
        image = torch.from_numpy(getattr(data, scene)()).permute(2, 0, 1)
        for k in range(6):
            srgb = image[:, 40 * k : 40 * k + SIDE, 48 * k : 48 * k + SIDE].contiguous()
            raw = to_raw(srgb, keys=[f"{scene}_{k}"])
            dn = quantize(raw.packed, CLEAN_LEVELS).numpy()
            meta = {"key": f"{scene}_{k}", "scene": scene, "white_balance": raw.metadata.white_balance.tolist()}
            tar.write(storage.tar_entries(f"{scene}_{k}", pair_members(srgb.numpy(), dn, CLEAN_LEVELS, meta)))
    tar.commit()
    return folder


@pytest.fixture
def train_config(pair_shards: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """``train_config("a", **{"optimizer.steps": 9})``: a training of seconds into a folder, fields by dotted name."""

    def make(output: str = "run", **overrides: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "output": storage.join(str(tmp_path), output),
            "data": {"train": str(pair_shards), "validation_share": 0.25, "crop": 32, "workers": 0},
            "model": {"preset": "tiny", "options": {"width": 2}},
            "optimizer": {"steps": 6, "batch": 4, "lr": 3e-3, "ema": 0.9},
            "watch": {"log_every": 1, "validate_every": 3, "save_every": 2, "panels": 1},
        }
        for name, value in overrides.items():
            *tables, key = name.split(".")
            place = values
            for table in tables:
                place = place.setdefault(table, {})
            place[key] = value
        return TrainConfig.model_validate(values)

    return make
