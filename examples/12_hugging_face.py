"""Read a corpus with Hugging Face `datasets`: the card in it says how, so its folder is all that is named.

    pip install datasets
    python examples/12_hugging_face.py CORPUS

Make one first: `rawsynth generate photos/ CORPUS --crop 128 --crops 8`. A corpus that was uploaded to the Hub loads by
its name in the same way. rawsynth itself is not needed.
"""

from __future__ import annotations

import sys

import numpy as np
from datasets import load_dataset


def main() -> None:
    """Stream samples, and bring one to the unit scale."""
    # Without streaming=True the samples are converted to Arrow first, which makes any of them quick to get.
    dataset = load_dataset(sys.argv[1], split="train", streaming=True).with_format("numpy")
    count = 0
    for sample in dataset:
        meta = sample["json"]
        for name, levels in (("clean.npy", meta["clean"]["levels"]), ("noisy.npy", meta["noisy"][0]["levels"])):
            black, white = levels["black_level"], levels["white_level"]
            unit = (np.asarray(sample[name], np.float32) - black) / (white - black)
            if count == 0:
                print(name, unit.shape, f"{unit.min():.3f} to {unit.max():.3f}, by {meta['raw']['method']}")
        count += 1
    print(count, "samples")


if __name__ == "__main__":
    main()
