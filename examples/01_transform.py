"""Use rawsynth as a transform: photographs in, noisy and clean RAW batches out.

    python examples/01_transform.py

With torchvision installed, the same modules stand inside `torchvision.transforms.v2.Compose`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from skimage import data
from torch import Tensor, nn

from rawsynth import AddNoise, RawImage, ReverseISP


def load_photographs() -> Tensor:
    """Four real photographs, cut to one size: (4, 3, 256, 256) uint8."""
    photographs = [getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")]
    return torch.stack([torch.from_numpy(p[:256, :256].copy()).permute(2, 0, 1) for p in photographs])


def compose() -> Callable[[Tensor], RawImage]:
    """Random flip, then RAW with noise; torchvision's Compose where there is one, else nn.Sequential."""
    try:
        from torchvision.transforms import v2
    except (ImportError, RuntimeError):
        # RuntimeError: a torchvision built for another torch.
        return nn.Sequential(ReverseISP("unprocess"), AddNoise("poisson_gaussian"))
    # Geometry belongs before the mosaic: a flip after it would swap the CFA's colours.
    return v2.Compose([v2.RandomHorizontalFlip(), ReverseISP("unprocess"), AddNoise("poisson_gaussian")])


def main() -> None:
    """Show the transform as people use it, then with everything fixed and replayed."""
    srgb = load_photographs()

    noisy = compose()(srgb)
    print("planes", tuple(noisy.packed.shape), noisy.packed.dtype, "CFA", noisy[0].metadata.cfa)
    print("shot noise S of each image", [f"{s:.2e}" for s in noisy.metadata.shot[:, 0].tolist()])

    # With a seed, an image's name decides its draws; parameters are JSON and can be stored and applied again.
    to_raw = ReverseISP("unprocess", white_balance=(2.1, 1.7), seed=0)
    add_noise = AddNoise("poisson_gaussian", camera="Sony ILCE-7SM2", iso=(1600, 12800), seed=0)
    names = ["astronaut", "coffee", "chelsea", "rocket"]
    params = to_raw.make_params(4, keys=names, overrides={"rgb_gain": [1.0, 1.1, 1.2, 1.3]})
    clean = to_raw.apply_params(srgb, json.loads(json.dumps(params)))
    first = add_noise(clean, keys=names)
    alone = add_noise(clean[2], keys=["chelsea"])
    print("ISO", [round(iso) for iso in first.metadata.iso.tolist()])
    print("chelsea alone equals chelsea in the batch:", torch.equal(first[2].packed, alone.packed))


if __name__ == "__main__":
    main()
