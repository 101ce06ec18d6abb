"""Noise while training: a corpus of clean RAW, and other calibrated noise every epoch on the training device.

    python examples/07_noise_on_read.py [OUTPUT]

The photographs are real; RAW and noise are synthetic.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import skimage
import torch
from torch.utils.data import DataLoader

from rawsynth import AddNoise, GenerateConfig, generate, open_corpus


def make_corpus(root: Path, *, clean_only: bool) -> str:
    """Crops of four photographs as a camera at ISO 1600 to 12800 would record them."""
    photos, corpus = root / "photos", str(root / ("clean" if clean_only else "pairs"))
    photos.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, photos / name)
    config = {
        "input": str(photos),
        "output": corpus,
        "seed": 1,
        "image": {"crop": 128, "crops": 8},
        "method": {"camera": "Sony ILCE-7SM2", "cct": (2850, 7500)},
        "noise": {"noise": "physics", "iso": (1600, 12800)},
        "write": {"clean_only": clean_only},
    }
    generate(GenerateConfig.model_validate(config))
    return corpus


def size_of(corpus: str) -> float:
    """Megabytes in a corpus's tars."""
    return sum(tar.stat().st_size for tar in Path(corpus).rglob("*.tar")) / 1e6


def main() -> None:
    """Compare the two kinds of corpus, and draw noise for two epochs."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="rawsynth-"))
    pairs, clean = make_corpus(root, clean_only=False), make_corpus(root, clean_only=True)
    print(f"pairs {size_of(pairs):.1f} MB, clean only {size_of(clean):.1f} MB")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    add_noise = AddNoise.from_corpus(clean)
    loader = DataLoader(open_corpus(clean, shuffle=0), batch_size=16)
    epochs = []
    for epoch in range(2):
        noisy = [add_noise(batch["raw"].to(device)) for batch in loader]
        epochs.append(torch.cat([raw.packed for raw in noisy]))
        isos = torch.cat([raw.metadata.iso for raw in noisy])
        print(f"epoch {epoch}: {len(isos)} crops at ISO {isos.min():.0f} to {isos.max():.0f}")
    print("the same noise in both epochs:", torch.equal(*epochs))

    batch = next(iter(loader))
    draws = [meta["noise_draws"][0] for meta in batch["meta"]]
    again = [add_noise.replay(batch["raw"], draws).packed for _ in range(2)] if device == "cpu" else []
    print("replayed twice, the same noise:", torch.equal(*again) if again else "made on a CPU, replays there")


if __name__ == "__main__":
    main()
