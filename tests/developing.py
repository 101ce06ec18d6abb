"""A chart of known colours, and its development by the RAW converters that photographers use, where installed."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SIDE = 128
"""Of a patch, in pixels; RawTherapee opens nothing smaller than about 200 pixels."""

PATCHES = np.array(
    [
        [0.18, 0.18, 0.18], [0.4, 0.1, 0.08], [0.08, 0.3, 0.1], [0.06, 0.09, 0.35],
        [0.45, 0.38, 0.09], [0.02, 0.02, 0.02], [0.3, 0.1, 0.3], [0.6, 0.6, 0.6],
    ]
)  # fmt: skip
"""Linear sRGB, in two rows of four; the first is middle gray."""

_SETTINGS = {
    "plugins/darkroom/workflow": "none", "plugins/darkroom/chromatic-adaptation": "legacy",
    "plugins/imageio/format/tiff/bpp": "8", "write_sidecar_files": "never",
}  # fmt: skip


def chart() -> torch.Tensor:
    """The patches as an image, ``(3, 2 SIDE, 4 SIDE)`` linear sRGB."""
    patches = torch.tensor(PATCHES, dtype=torch.float32).T.reshape(3, 2, 4)
    return patches.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)


def srgb_of(linear: np.ndarray) -> np.ndarray:
    """Codes 0 to 255 of linear sRGB, IEC 61966-2-1."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def patch_means(srgb: np.ndarray) -> np.ndarray:
    """Mean colour of the middle of each patch, ``(8, 3)``, of a developed chart ``(3, H, W)`` of any scale."""
    rows, columns = srgb.shape[1] // 2, srgb.shape[2] // 4
    middles = [(r * rows + rows // 2, c * columns + columns // 2) for r in range(2) for c in range(4)]
    reach = columns // 5
    return np.array([srgb[:, y - reach : y + reach, x - reach : x + reach].mean(axis=(1, 2)) for y, x in middles])


def developed_by(program: str, raw: Path, folder: Path) -> np.ndarray:
    """Develop as shot, by the program's plainest rendering, to ``(3, H, W)`` uint8 sRGB; skips where it is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    out, home = folder / "developed.tif", folder / "home"
    home.mkdir(exist_ok=True)
    if program == "darktable-cli":
        words = ["--library", ":memory:", "--configdir", str(home), "--cachedir", str(home), "-t", "1"]
        words += ["--disable-opencl"] + [word for pair in _SETTINGS.items() for word in ("--conf", "=".join(pair))]
        command = [program, str(raw), str(out), "--icc-type", "SRGB", "--core", *words]
    else:
        command = [program, "-q", "-o", str(out), "-t", "-b8", "-Y", "-c", str(raw)]
    environment = os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert out.exists(), done.stdout + done.stderr
    with Image.open(out) as image:
        pixels = np.asarray(image)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3
    return pixels[..., :3].transpose(2, 0, 1)
