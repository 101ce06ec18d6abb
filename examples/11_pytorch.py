"""Read a corpus with plain PyTorch: by key or number through the index, or its tars without rawsynth's reader.

    python examples/11_pytorch.py CORPUS

Make a corpus of equal crops first: `rawsynth generate photos/ CORPUS --crop 128 --crops 8`.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

import rawsynth


class Tars(IterableDataset[dict[str, Any]]):
    """Samples of a corpus's tars, with nothing but the standard library and NumPy."""

    def __init__(self, corpus: str) -> None:
        self.tars = sorted(Path(corpus).rglob("*.tar"))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        members: dict[str, bytes] = {}
        for path in self.tars:
            with tarfile.open(path) as archive:
                for entry in archive:
                    _, _, extension = entry.name.rpartition("/")[2].partition(".")
                    stream = archive.extractfile(entry)
                    assert stream is not None
                    members[extension] = stream.read()
                    if {"json", "clean.npy", "noisy.npy"} <= members.keys():
                        yield decode(members)
                        members = {}


def decode(members: dict[str, bytes]) -> dict[str, Any]:
    """Bring a sample to the unit scale, black 0 and white 1."""
    meta = json.loads(members["json"])
    levels = {"clean.npy": meta["clean"]["levels"], "noisy.npy": meta["noisy"][0]["levels"]}
    planes = {}
    for name, level in levels.items():
        dn = np.load(io.BytesIO(members[name])).astype(np.float32)
        planes[name.removesuffix(".npy")] = (dn - level["black_level"]) / (level["white_level"] - level["black_level"])
    return planes


def main() -> None:
    """Load the same samples in both ways."""
    corpus = sys.argv[1]
    rawsynth.write_index(corpus)
    index = rawsynth.CorpusIndex.open(corpus)
    batch = next(iter(DataLoader(index, batch_size=8, num_workers=2)))  # shuffle=True draws anew each epoch
    print(len(index), "pairs by number:", tuple(batch["noisy"].shape), "of", batch["meta"][0]["key"], "and others")

    plain = next(iter(DataLoader(Tars(corpus), batch_size=8)))
    same = all(torch.allclose(plain[name], batch[name], atol=1e-6) for name in ("noisy", "clean"))
    print("the tars alone give the same:", same)


if __name__ == "__main__":
    main()
