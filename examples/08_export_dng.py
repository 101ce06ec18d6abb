"""From photographs to DNG files: what a corpus holds, opened by a RAW converter.

    python examples/08_export_dng.py [OUTPUT]

The photographs are real; RAW and noise are synthetic. `OUTPUT/developed/` shows what LibRaw makes of the files.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import rawpy
import skimage
from PIL import Image

from rawsynth import GenerateConfig, export, generate, open_corpus


def make_corpus(root: Path) -> str:
    """Three photographs as a camera at ISO 6400 would record them."""
    photos, corpus = root / "photos", str(root / "corpus")
    photos.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut.png", "coffee.png", "chelsea.png"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, photos / name)
    config = {
        "input": str(photos),
        "output": corpus,
        "image": {"crop": 256},
        "method": {"method": "unprocess", "camera": "Nikon D850"},
        "noise": {"iso": 6400},
    }
    generate(GenerateConfig.model_validate(config))
    return corpus


def main() -> None:
    """Export a corpus, compare the pixels with it, and develop them."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="rawsynth-"))
    corpus = make_corpus(root)
    done = export(corpus, str(root / "dng"))
    print(f"{done.written} DNG files in {done.url}, {len(done.lost)} samples lost")

    (root / "developed").mkdir(exist_ok=True)
    for pair in open_corpus(corpus, shuffle=0):
        meta = pair["meta"]
        levels = meta["noisy"]["levels"]
        with rawpy.imread(str(root / "dng" / f"{meta['key']}.noisy.dng")) as raw:
            # Plane by plane in the reading order of the CFA, as the corpus packs them.
            planes = np.stack([raw.raw_image_visible[k // 2 :: 2, k % 2 :: 2] for k in range(4)])
            developed = raw.postprocess(use_camera_wb=True, no_auto_bright=True)
        unit = (planes - float(levels["black_level"])) / (levels["white_level"] - levels["black_level"])
        same = np.allclose(unit, pair["noisy"].numpy(), atol=1e-6)
        print(f"{meta['key']}: {developed.shape[1]}x{developed.shape[0]}, the corpus's pixels: {same}")
        Image.fromarray(developed).save(root / "developed" / f"{meta['key']}.png")


if __name__ == "__main__":
    main()
