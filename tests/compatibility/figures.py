"""What today's code reads from the files of a fixture, as checksums and numbers that can be written down.

The corpora were made on ``memory://``, and are put there again: a plan names its input, which must be the same place on
any machine.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import fsspec
import torch

import rawsynth
from rawsynth import ReverseISP
from rawsynth.cameras import camera_to_dict, load_camera
from rawsynth.methods.style_file import load_style
from rawsynth.methods.weights import load_weights
from rawsynth.pairs import open_pairs
from rawsynth.pipeline.config import GenerateConfig, build_config

ROOT = "memory://compatibility"
# Two kinds of corpus: pairs by formula with a camera's noise and the sources, clean RAW by a network with a style.
CORPORA: dict[str, dict[str, Any]] = {
    "corpus": {
        "seed": 1,
        "read": {"images_per_shard": 2},
        "method": {"method": "unprocess"},
        "noise": {"noise": "physics_gaussian", "noise_camera": f"{ROOT}/camera.toml", "iso": (400, 3200)},
        "write": {"srgb": True},
    },
    "clean-corpus": {
        "seed": 2,
        "read": {"images_per_shard": 2, "splits": {"train": 0.5, "val": 0.5}},
        "method": {
            "method": "rst_isp_net_small",
            "weights": f"{ROOT}/weights.safetensors",
            "style": f"{ROOT}/style.safetensors",
            "camera": f"{ROOT}/camera.toml",
        },
        "noise": {"noise": "heteroscedastic_gaussian", "shot": 0.01, "read": 1e-4},
        "write": {"clean_only": True},
    },
}


def config_of(corpus: str, output: str | None = None) -> GenerateConfig:
    """Return the configuration that a corpus of the fixture was made with."""
    run = {"workers": 1, "threads": 1, "quiet": True}
    compute = {"device": "cpu", "compile": "off"}
    values = {"input": f"{ROOT}/photos", "output": output or f"{ROOT}/{corpus}", "compute": compute, "run": run}
    return build_config({**CORPORA[corpus], **values})


def put(folder: Path) -> None:
    """Copy a fixture to ``memory://``."""
    fs = fsspec.filesystem("memory")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        fs.pipe_file(f"/compatibility/{name.removesuffix('.gz')}", content)


def sha256(data: bytes) -> str:
    """Return the checksum of bytes."""
    return hashlib.sha256(data).hexdigest()


def read_figures() -> dict[str, Any]:
    """Read everything of the fixture on ``memory://``: what is decided by its bytes alone."""
    return {
        "pairs": [
            {name: sha256(pair[name].numpy().tobytes()) for name in ("clean", "noisy", "variance")}
            for pair in rawsynth.open_corpus(f"{ROOT}/corpus", shuffle=0)
        ],
        "clean": [
            sha256(sample["raw"].packed.numpy().tobytes())
            for sample in rawsynth.open_corpus(f"{ROOT}/clean-corpus", shuffle=0)
        ],
        "index": [row["key"] for row in rawsynth.CorpusIndex.open(f"{ROOT}/corpus").rows()],
        "sources": [sha256(pair.srgb.numpy().tobytes()) for pair in _pairs()],
        "weights": load_weights(f"{ROOT}/weights.safetensors").digest,
        "style": load_style(f"{ROOT}/style.safetensors").digest,
        "camera": camera_to_dict(load_camera(f"{ROOT}/camera.toml")),
    }


def network_figures() -> list[float]:
    """Return some of what the fixture's network makes of a picture; to be met within rounding."""
    to_raw = ReverseISP("rst_isp_net_small", f"{ROOT}/weights.safetensors", camera=f"{ROOT}/camera.toml", seed=0)
    srgb = torch.arange(3 * 32 * 32).reshape(1, 3, 32, 32).remainder(251).to(torch.uint8)
    raw = to_raw(srgb, keys=["figures"])
    return [round(float(value), 6) for value in raw.packed.flatten()[::97]]


def _pairs() -> list[Any]:
    pairs = open_pairs(f"{ROOT}/corpus")
    return [pairs[index] for index in range(len(pairs.keys))]
