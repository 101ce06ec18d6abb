"""Generate a corpus from Python: the same as `rawsynth generate`, with the configuration as an object.

    python examples/02_generate.py [OUTPUT]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import skimage

from rawsynth import GenerateConfig, generate, verify


def main() -> None:
    """Make a corpus of crops from four photographs, check it, and list what is in it."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="rawsynth-"))
    photos = root / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, photos / name)

    config = GenerateConfig.model_validate(
        {
            "input": str(photos),
            "output": str(root / "corpus"),
            "seed": 1,
            "image": {"crop": 128, "crops": 8},
            "noise": {"noise": "heteroscedastic_gaussian", "realizations": 2},
            "read": {"splits": {"train": 0.75, "val": 0.25}},
        }
    )
    summary = generate(config)
    report = verify(config.output)
    print(f"{summary.samples} samples from {summary.sources} photographs, sound: {report.ok}")
    for tar in sorted(Path(config.output).rglob("*.tar")):
        print(f"  {tar.name}  {tar.stat().st_size / 1e6:.1f} MB")
    print(f"next: python examples/03_train_denoiser_step.py {config.output}")


if __name__ == "__main__":
    main()
