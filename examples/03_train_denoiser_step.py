"""Train on a corpus: read pairs through a DataLoader and take optimiser steps.

    python examples/03_train_denoiser_step.py CORPUS [STEPS]

The network is a placeholder of three convolutions that takes the noisy planes and the noise map, as raw denoisers do.
Make a corpus of equal crops first: `rawsynth generate photos/ CORPUS --crop 128 --crops 8`.
"""

from __future__ import annotations

import sys
from itertools import chain, islice, repeat

import torch
from torch import nn
from torch.utils.data import DataLoader

import rawsynth


def main() -> None:
    """Take a few steps and print the loss."""
    corpus, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 150
    torch.manual_seed(0)
    dataset = rawsynth.open_corpus(corpus, shuffle=100, seed=0)
    # One worker, because a small corpus has one part; WebDataset splits parts among workers.
    loader = DataLoader(dataset, batch_size=8, num_workers=1)

    first, middle, last = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((8, 32), (32, 32), (32, 4)))
    denoiser = nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    for step, batch in enumerate(islice(chain.from_iterable(repeat(loader)), steps)):
        noisy, clean, variance = batch["noisy"], batch["clean"], batch["variance"]
        estimate = noisy + denoiser(torch.cat([noisy, variance.sqrt()], dim=1))
        loss = nn.functional.l1_loss(estimate, clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, steps - 1):
            before = nn.functional.l1_loss(noisy, clean)
            print(f"step {step + 1}: error {loss / before:.3f} of the noisy input's")


if __name__ == "__main__":
    main()
