"""Clean-only corpora: half the bytes, fresh noise, and the recorded noise bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from rawsynth import AddNoise, generate, open_corpus, verify
from rawsynth.cameras import CameraProfile, NoisePoint, NoiseProfile, format_camera
from rawsynth.errors import CorpusError, InputAccessError, UsageError
from rawsynth.pipeline.config import build_config
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import dequantize, quantize
from rawsynth.storage.sealed import read_sealed, write_sealed

NOISE: dict[str, dict[str, Any]] = {
    "brooks": {"noise": {"noise": "poisson_gaussian"}},
    "physics": {"noise": {"noise": "physics", "iso": (800, 12800)}, "method": {"camera": "Sony ILCE-7SM2"}},
    "random": {"noise": {"noise": "physics_gaussian"}, "method": {"camera": "random", "cfa": "camera"}},
}


def make(photos: Path, output: Path, *, clean_only: bool, **sections: Any) -> str:
    write = {"clean_only": clean_only, "black_level": 256, "white_level": 4095, "bits": 12}
    config = {"input": str(photos), "output": str(output), "seed": 4, "image": {"crop": 32}, "write": write}
    summary = generate(build_config({**config, **sections}))
    assert summary.exit_code == 0 and verify(str(output)).ok
    return str(output)


@pytest.mark.parametrize("name", NOISE)
def test_a_replay_is_the_noisy_image_that_would_have_been_stored(photos: Path, tmp_path: Path, name: str) -> None:
    pairs = make(photos, tmp_path / "pairs", clean_only=False, **NOISE[name])
    clean = make(photos, tmp_path / "clean", clean_only=True, **NOISE[name])
    add_noise, levels = AddNoise.from_corpus(clean), Levels(256, 4095, 12)
    stored = {pair["meta"]["key"]: pair for pair in open_corpus(pairs, shuffle=0)}
    samples = list(open_corpus(clean, shuffle=0))
    assert {sample["meta"]["key"] for sample in samples} == set(stored)
    for sample in samples:
        replayed = add_noise.replay(sample["raw"], [sample["meta"]["noise_draws"][0]])
        pair = stored[sample["meta"]["key"]]
        assert torch.equal(sample["raw"].packed, pair["clean"])
        assert torch.equal(dequantize(quantize(replayed.packed, levels), levels), pair["noisy"])


def test_fresh_noise_differs_every_time_and_has_the_recorded_law(photos: Path, tmp_path: Path) -> None:
    clean = make(photos, tmp_path / "clean", clean_only=True, **NOISE["physics"])
    add_noise = AddNoise.from_corpus(clean)
    (batch,) = DataLoader(open_corpus(clean, shuffle=0), batch_size=64)
    first, second = add_noise(batch["raw"]), add_noise(batch["raw"])
    assert not torch.equal(first.packed, second.packed)
    assert torch.equal(batch["raw"].packed[0], next(iter(open_corpus(clean, shuffle=0)))["raw"].packed)
    assert all(800 <= iso <= 12800 for iso in first.metadata.iso.tolist())
    draws = [meta["noise_draws"][0] for meta in batch["meta"]]
    assert torch.equal(add_noise.replay(batch["raw"], draws).packed, add_noise.replay(batch["raw"], draws).packed)


def test_with_a_seed_the_key_decides(photos: Path, tmp_path: Path) -> None:
    clean = make(photos, tmp_path / "clean", clean_only=True)
    (batch,) = DataLoader(open_corpus(clean, shuffle=0), batch_size=64)
    keys = [meta["key"] for meta in batch["meta"]]
    one, two = (AddNoise.from_corpus(clean, seed=9)(batch["raw"], keys=keys).packed for _ in range(2))
    assert torch.equal(one, two)


def test_half_the_bytes(photos: Path, tmp_path: Path) -> None:
    sizes = []
    for clean_only in (False, True):
        corpus = make(photos, tmp_path / str(clean_only), clean_only=clean_only)
        records = [read_sealed(str(path)) for path in sorted(Path(corpus).glob("records/*.json"))]
        assert ("noisy.npy" in records[0]["members"]) is not clean_only
        sizes.append(sum(path.stat().st_size for path in Path(corpus).glob("*.tar")))
    assert sizes[1] < sizes[0]


def test_a_camera_file_travels_in_the_corpus(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    noise = NoiseProfile((NoisePoint(100, (0.5,) * 4, (3.0,) * 4),))
    file.write_text(format_camera(CameraProfile("Mine", "RGGB", Levels(0, 4095, 12), noise=noise)))
    clean = make(photos, tmp_path / "clean", clean_only=True, noise={"noise_camera": str(file)})
    file.unlink()
    noisy = AddNoise.from_corpus(clean)(next(iter(open_corpus(clean, shuffle=0)))["raw"])
    assert noisy.metadata.shot.tolist() == pytest.approx([0.5 / 4095] * 4)


def test_replay_is_refused_where_it_would_be_other_noise(photos: Path, tmp_path: Path) -> None:
    clean = make(photos, tmp_path / "clean", clean_only=True)
    sample = next(iter(open_corpus(clean, shuffle=0)))
    draws, place = sample["meta"]["noise_draws"], f"{clean}/dataset.json"
    for field, value in (("device", "cuda"), ("rng", "other/1")):
        body = read_sealed(place)
        write_sealed(place, {**body, "noise_policy": {**body["noise_policy"], field: value}})
        with pytest.raises(UsageError, match="not the same noise"):
            AddNoise.from_corpus(clean).replay(sample["raw"], draws)
        write_sealed(place, body)


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputAccessError):
        AddNoise.from_corpus(str(tmp_path))
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(CorpusError, match="damaged"):
        AddNoise.from_corpus(str(tmp_path))
    write_sealed(str(tmp_path / "dataset.json"), {"format": 1})
    with pytest.raises(CorpusError, match="noise policy"):
        AddNoise.from_corpus(str(tmp_path))


def test_realizations_are_draws(photos: Path, tmp_path: Path) -> None:
    clean = make(photos, tmp_path / "clean", clean_only=True, noise={"realizations": 3})
    for sample in open_corpus(clean, shuffle=0):
        seeds = {entry["noise"]["seed"] for entry in sample["meta"]["noise_draws"]}
        assert len(seeds) == 3 and sample["meta"]["noisy"] == []
