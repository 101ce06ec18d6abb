"""Write a fixture with the present version: ``python -m tests.compatibility.write tests/compatibility/NAME``.

Once for each version of a format, before it changes; a fixture is never written anew. Photographs are pieces of those
that scikit-image ships. The host's name is left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
from pathlib import Path
from unittest import mock

import fsspec
import numpy as np
import torch
from PIL import Image
from skimage import data

import rawsynth
from rawsynth.cameras import camera_from_dict, format_camera
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.weights import ModelCard, save_weights
from rawsynth.pipeline import environment
from tests.compatibility.figures import CORPORA, ROOT, config_of, network_figures, put, read_figures

PIECES = {"astronaut": (80, 180), "chelsea": (100, 120), "coffee": (150, 250), "rocket": (200, 300)}
NETWORK = {"code": 4, "knots": 4, "hidden": 4, "widths": [4, 4, 4], "blocks": [1, 1, 1]}
CAMERA = {
    "name": "Fixture camera",
    "cfa": "GRBG",
    "sources": ["made up for a test"],
    "levels": {"black_level": 256, "white_level": 4095, "bits": 12, "nominal": False},
    "cam_from_xyz": {
        "D65": [[1.0, -0.375, -0.125], [-0.5, 1.375, 0.125], [-0.125, 0.25, 0.625]],
        "A": [[1.125, -0.5, -0.0625], [-0.625, 1.375, 0.25], [-0.125, 0.125, 0.75]],
    },
    "noise": {
        "iso": [100, 800, 6400],
        "gain_dn_per_electron": [0.25, 2.0, [16.0, 16.5, 16.5, 16.0]],
        "read_sigma_dn": [1.0, 2.0, 8.0],
        "tukey_scale_dn": [0.5, 1.0, 4.0],
        "tukey_lambda": [0.0, 0.05, 0.1],
        "row_sigma_dn": [0.125, 0.25, 1.0],
    },
}


def write_inputs(folder: Path) -> None:
    """Write photographs, camera, weights and style."""
    (folder / "photos").mkdir(parents=True)
    for name, (top, left) in PIECES.items():
        piece = np.ascontiguousarray(getattr(data, name)()[top : top + 32, left : left + 32])
        Image.fromarray(piece).save(folder / "photos" / f"{name}.png", optimize=True)
    (folder / "camera.toml").write_text(format_camera(camera_from_dict(CAMERA, "CAMERA")))
    torch.manual_seed(0)
    network = RstIspNetSmall.build(NETWORK)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
            if parameter.numel() > 600:
                # The style encoder has 0.7 million weights whatever the configuration: zeros take no space in the .gz.
                kept = (torch.arange(parameter.numel()) % 997 == 0).reshape(parameter.shape)
                parameter.copy_(torch.where(kept, parameter, torch.zeros(())))
    card = ModelCard(data="nothing: drawn at random")
    weights = str(folder / "weights.safetensors")
    digest = save_weights(weights, "rst_isp_net_small", NETWORK, network.state_dict(), card)
    network.eval().requires_grad_(False)
    style = network.encode_style(torch.from_numpy(data.chelsea()[:64, :64]).permute(2, 0, 1)[None].float() / 255)
    save_style(str(folder / "style.safetensors"), FittedStyle(style, "fixed", digest, StyleCard(camera="Fixture")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="tests/compatibility/NAME, which is not there yet")
    folder = parser.parse_args().folder
    write_inputs(folder)
    put(folder)
    with mock.patch.object(platform, "node", lambda: "fixture"):
        for corpus in CORPORA:
            assert rawsynth.generate(config_of(corpus)).exit_code == 0
    rawsynth.write_index(f"{ROOT}/corpus")
    fs = fsspec.filesystem("memory")
    for corpus in CORPORA:
        fs.get(f"/compatibility/{corpus}/", f"{folder / corpus}/", recursive=True)
    made = {"rawsynth": rawsynth.__version__, "environment": environment.describe("cpu")}
    expected = {**made, "read": read_figures(), "network": network_figures()}
    for path in [*folder.rglob("*.tar"), folder / "weights.safetensors"]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
