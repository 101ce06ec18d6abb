"""Use the transforms with torchvision v2: in `Compose`, in a DataLoader's workers, compiled.

    python examples/09_torchvision.py

Photographs are flipped and cropped by torchvision, then become noisy RAW. RAW and noise are synthetic.
"""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from rawsynth import AddNoise, RawImage, ReverseISP

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


class Photographs(Dataset[RawImage]):
    """Real photographs, each passed through a transform when it is asked for."""

    def __init__(self, transform: v2.Compose) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return len(PHOTOGRAPHS)

    def __getitem__(self, index: int) -> RawImage:
        pixels: Tensor = torch.from_numpy(getattr(data, PHOTOGRAPHS[index])()).permute(2, 0, 1)
        raw: RawImage = self.transform(pixels)
        return raw


def main() -> None:
    """Compose, load with workers, compile."""
    # Geometry belongs before the mosaic: a flip after it would swap the CFA's colours.
    geometry = [v2.RandomHorizontalFlip(), v2.RandomCrop((128, 128))]
    to_raw, add_noise = ReverseISP("unprocess"), AddNoise("heteroscedastic_gaussian", camera="Sony ILCE-7SM2", iso=3200)
    loader = DataLoader(Photographs(v2.Compose([*geometry, to_raw, add_noise])), batch_size=4, num_workers=2)
    batch = next(iter(loader))
    print("from the workers:", type(batch).__name__, tuple(batch.shape), "variance", tuple(batch.variance().shape))

    # On whole batches it is faster, on a GPU much so; compiled, faster again.
    fast = ReverseISP("unprocess", seed=0).compile_kernels()
    photographs = torch.stack([torch.from_numpy(getattr(data, name)()[:128, :128]).permute(2, 0, 1)
                               for name in PHOTOGRAPHS])
    eager = ReverseISP("unprocess", seed=0)(photographs, keys=PHOTOGRAPHS)
    compiled = fast(photographs, keys=PHOTOGRAPHS)
    print("compiled equals eager:", bool((compiled.packed - eager.packed).abs().max() < 1e-5))


if __name__ == "__main__":
    main()
