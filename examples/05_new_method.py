"""A reverse ISP of one's own, and its row beside unprocess.

    python examples/05_new_method.py [OUTPUT]

The class is all there is to write; `rawsynth bench --own FILE.py:CLASS` takes it from any file. The guide is
docs/add-a-method.md. Photographs are scikit-image's; cameras and ISPs are simulated.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from torch import Tensor

from rawsynth.cli import main
from rawsynth.methods import MethodFacts, ReverseMethod
from rawsynth.methods.drawn_camera import draw_camera
from rawsynth.methods.local_residual import split_sites
from rawsynth.methods.scene_linear import sample_sensor, sensor_sites


class PlainGamma(ReverseMethod):
    """Linear light by a power of 2.2, then what a sensor makes of it."""

    name = "plain_gamma"
    version = "1"
    facts = MethodFacts(summary="a power of 2.2, then physics", source="this guide", licence="none")

    def draw(self, rng: Any) -> dict[str, Any]:
        """Draw a camera and a light, for callers who name none."""
        return draw_camera(rng)

    def tensors(self, params: Any, device: torch.device) -> dict[str, Any]:
        """Resolve matrix, gains, exposure and layout to what each site makes of linear light."""
        return {"sites": sensor_sites(params).to(device)}

    def forward(self, srgb: Tensor, tensors: Any) -> Tensor:
        """Turn sRGB (B, 3, H, W) into packed RAW (B, 4, H/2, W/2)."""
        x = srgb.float() / 255 if srgb.dtype == torch.uint8 else srgb.float()
        return sample_sensor(split_sites(x**2.2), tensors["sites"])


if __name__ == "__main__":
    output = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="rawsynth-")
    small = ["--crop", "128", "--renditions", "2", "--rounds", "1", "--pictures", "1"]
    methods = ["--methods", "unprocess,srgb_linear", "--own", f"{__file__}:PlainGamma"]
    sys.exit(main(["bench", "synthetic", *methods, *small, "--output", output]))
