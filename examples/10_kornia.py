"""Use the transforms with kornia: its augmentations on sRGB before, its metrics on the rendered RAW after.

    python examples/10_kornia.py

RAW and noise are synthetic.
"""

from __future__ import annotations

import torch
from kornia.augmentation import AugmentationSequential, ColorJiggle, RandomHorizontalFlip, RandomResizedCrop
from kornia.metrics import psnr, ssim
from skimage import data

from rawsynth import AddNoise, ReverseISP
from rawsynth.raw.rendering import render


def main() -> None:
    """Augment photographs, make noisy RAW of them, and measure what noise costs."""
    torch.manual_seed(0)
    names = ("astronaut", "coffee", "chelsea", "rocket")
    photographs = torch.stack([torch.from_numpy(getattr(data, name)()[:256, :256]).permute(2, 0, 1) for name in names])

    # What changes place or colour belongs before the mosaic; kornia takes float in [0, 1], and so does ReverseISP.
    augment = AugmentationSequential(
        RandomResizedCrop((128, 128), scale=(0.5, 1.0)), RandomHorizontalFlip(), ColorJiggle(0.1, 0.1, 0.1, 0.0)
    )
    srgb = augment(photographs.float() / 255)
    clean = ReverseISP("unprocess")(srgb.clamp(0, 1))

    for iso in (800, 3200, 12800):
        noisy = AddNoise("poisson_gaussian", camera="Sony ILCE-7SM2", iso=iso)(clean)
        seen = [render(raw) for raw in (noisy, clean)]
        raw_psnr = psnr(noisy.packed, clean.packed, max_val=1.0)
        similarity = ssim(*seen, window_size=11).mean()
        print(f"ISO {iso:>5}: PSNR of the RAW {raw_psnr:.1f} dB, SSIM of the rendering {similarity:.3f}")


if __name__ == "__main__":
    main()
