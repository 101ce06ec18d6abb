"""Make a corpus from a Parquet file of images, the form in which Hugging Face's `datasets` keeps them.

    pip install 'rawsynth[parquet]'
    python examples/13_parquet.py [OUTPUT]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import skimage

from rawsynth import GenerateConfig, generate, open_corpus


def main() -> None:
    """Write four photographs with captions as rows, make a corpus of them, and read it with its captions."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="rawsynth-"))
    root.mkdir(parents=True, exist_ok=True)
    names = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
    folder = Path(skimage.__file__).parent / "data"
    rows = [
        {"image": {"bytes": (folder / name).read_bytes(), "path": name}, "caption": f"a photograph of {name[:-4]}"}
        for name in names
    ]
    # As `Dataset.push_to_hub` writes it; row groups of some hundred images keep memory low.
    pq.write_table(pa.Table.from_pylist(rows), root / "train.parquet", row_group_size=100)

    config = GenerateConfig.model_validate(
        {
            "input": str(root / "train.parquet"),
            "output": str(root / "corpus"),
            "read": {"keep": ["caption"]},
            "image": {"crop": 128},
            "method": {"method": "unprocess"},
        }
    )
    summary = generate(config)
    print(f"{summary.samples} samples from {summary.sources} rows")
    for pair in open_corpus(config.output, members=["caption"], shuffle=0):
        print(tuple(pair["noisy"].shape), pair["members"]["caption"].decode())


if __name__ == "__main__":
    main()
