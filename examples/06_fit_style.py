"""Tell the network what your camera's ISP does, by three pairs, and see what it gains on a photograph it has not seen.

    python examples/06_fit_style.py FOLDER

The pairs are synthetic: scikit-image's photographs stand for scene light, a simulated camera takes them, and a made-up
ISP, the same for all, makes sRGB of that. With a camera of your own, `rawsynth pairs photos/ pairs/` makes the pairs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

from rawsynth import ReverseISP
from rawsynth.cameras import load_camera
from rawsynth.cli.main import main as rawsynth
from rawsynth.evaluation.metrics import exposure_fitted_psnr, psnr
from rawsynth.pairs import open_pairs, pair_members
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.raw.quantize import quantize
from rawsynth.storage import TarFile, tar_entries

FITTED, UNSEEN = ("astronaut", "coffee", "chelsea"), ("rocket",)
CAMERA, CCT_K = "Canon EOS 5D Mark IV", 5500.0


def main() -> None:
    """Make pairs, fit a style, compare."""
    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    write_pairs(root / "pairs.tar", FITTED)
    write_pairs(root / "unseen.tar", UNSEEN)
    style = root / "mycam.safetensors"
    code = rawsynth(["fit-style", str(root / "pairs.tar"), str(style), "--overwrite", "--quiet"])
    assert code == 0

    for pair in open_pairs(str(root / "unseen.tar")):
        color = {name: pair.meta[name] for name in ("cam_from_srgb", "white_balance")}
        for what, to_raw in (("own style", ReverseISP(**color)), ("fitted style", ReverseISP(style=style, **color))):
            made = to_raw(pair.srgb).packed
            absolute, fitted = float(psnr(made, pair.raw)), float(exposure_fitted_psnr(made, pair.raw)[0])
            print(f"{pair.key}, not fitted to, {what}: {absolute:.1f} dB, {fitted:.1f} dB with its exposure fitted")


def write_pairs(path: Path, names: tuple[str, ...]) -> None:
    """Write a tar of one pair a photograph."""
    archive = TarFile(str(path))
    cam_from_srgb, white_balance = load_camera(CAMERA).color(CCT_K)
    for name in names:
        photograph = getattr(data, name)()[:384, :384].transpose(2, 0, 1) / 255
        light = 0.9 * photograph**2.2
        gains = np.array([1 / white_balance[0], 1.0, 1 / white_balance[1]])
        camera = torch.from_numpy(np.einsum("ij,jhw->ihw", cam_from_srgb * gains[:, None], light)).float()
        raw = torch.stack([camera[c, k // 2 :: 2, k % 2 :: 2] for k, c in enumerate((0, 1, 1, 2))]).clamp(0, 1)
        meta = {
            "key": name, "scene": name, "camera": CAMERA,
            "cam_from_srgb": np.asarray(cam_from_srgb).tolist(), "white_balance": list(white_balance),
        }  # fmt: skip
        members = pair_members(my_isp(light), quantize(raw, CLEAN_LEVELS).numpy(), CLEAN_LEVELS, meta)
        archive.write(tar_entries(name, members))
    archive.commit()


def my_isp(light: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brighten by 0.8 EV, roll highlights off, add contrast and a little saturation, encode."""
    toned = 1 - np.exp(-2.2 * 2**0.8 * light)
    encoded = (toned / toned.max()) ** (1 / 2.2)
    curved = encoded + 0.5 * encoded * (1 - encoded) * (encoded - 0.4)
    luma = curved.mean(axis=0, keepdims=True)
    return np.ascontiguousarray((255 * (luma + 1.15 * (curved - luma)).clip(0, 1)).round().astype(np.uint8))


if __name__ == "__main__":
    main()
