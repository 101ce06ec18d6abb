"""Draw the pictures of docs/concepts.md: docs/images/concept-raw.jpg, concept-isp.jpg, concept-noise.jpg.

    python benchmarks/picture_concepts.py docs/images

From real photographs that scikit-image ships. RAW is made from them by the packaged network, noise by the model
`physics` with the profile of the Sony ILCE-7SM2: both are synthetic. Nothing is chosen by hand but what is cut out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from skimage import data
from torch import Tensor

from rawsynth import AddNoise, RawImage, ReverseISP
from rawsynth.raw.cfa import color_indices
from rawsynth.raw.pictures import Panel, compose, picture
from rawsynth.raw.rendering import demosaic, render

CAMERA, CCT_K = "Sony ILCE-7SM2", 5000
SIDE, HEIGHT = 256, 256
ISOS = (800, 3200, 12800, 25600)


def photograph(name: str, top: int, left: int) -> Tensor:
    """Return ``(1, 3, SIDE, SIDE)`` uint8 of a photograph."""
    pixels = getattr(data, name)()[top : top + SIDE, left : left + SIDE]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def eyes(linear: Tensor) -> Tensor:
    """Brighten linear light for eyes by a plain gamma."""
    return linear.clamp(0, 1) ** (1 / 2.2)


def draw_raw(srgb: Tensor, raw: RawImage) -> list[list[Panel]]:
    """From the sites of a sensor to four planes."""
    mosaic, cut = raw.mosaic()[0], slice(96, 128)
    indices = torch.tensor(color_indices("RGGB")).reshape(2, 2).repeat(SIDE // 2, SIDE // 2)
    colored = torch.stack([torch.where(indices == channel, mosaic, torch.zeros(())) for channel in range(3)])
    planes = torch.cat([torch.cat(list(raw.packed[0, row : row + 2]), dim=1) for row in (0, 2)])
    gray = eyes(planes)[None].expand(3, -1, -1)
    return [
        [
            Panel(picture(srgb[0], HEIGHT), "a photograph, sRGB", "three colours at each pixel"),
            Panel(picture(eyes(colored), HEIGHT), "its RAW", "one colour at each site"),
            Panel(picture(eyes(colored)[:, cut, cut], HEIGHT), "32 x 32 sites of it", "RGGB: R G above G B"),
            Panel(picture(gray, HEIGHT), "packed: four planes", "R, Gr, Gb, B; half as high and wide"),
        ]
    ]


def draw_isp(raw: RawImage) -> list[list[Panel]]:
    """What a plain ISP does, step by step."""
    meta = raw.metadata
    red, blue = (float(gain) for gain in meta.white_balance[0])
    sensor = demosaic(raw.mosaic()[0].clamp(0, 1), "RGGB")
    balanced = (sensor * torch.tensor([red, 1.0, blue])[:, None, None]).clamp(0, 1)
    linear = torch.einsum("ij,jhw->ihw", torch.linalg.inv(meta.cam_from_srgb[0]), balanced)
    linear = (linear * float(meta.rgb_gain[0])).clamp(0, 1)
    return [
        [
            Panel(picture(eyes(sensor), HEIGHT), "1 demosaic", "three colours a pixel, the camera's own"),
            Panel(picture(eyes(balanced), HEIGHT), "2 white balance", f"red x {red:.2f}, blue x {blue:.2f}"),
            Panel(picture(linear, HEIGHT), "3 colour matrix", "linear sRGB, shown without a curve"),
            Panel(picture(render(raw)[0], HEIGHT), "4 tone curve", "bright enough for eyes, contrast"),
        ]
    ]


def draw_noise(raw: RawImage) -> list[list[Panel]]:
    """The same RAW at four ISOs, and the noise alone."""
    shown, residuals = [], []
    for iso in ISOS:
        noisy = AddNoise("physics", camera=CAMERA, iso=iso, seed=0)(raw, keys=["concepts"])
        shot, read = float(noisy.metadata.shot[0, 1]), float(noisy.metadata.read[0, 1])
        shown.append(Panel(picture(render(noisy)[0], HEIGHT), f"ISO {iso}", f"S {shot:.1e}, O {read:.1e}"))
        residual = RawImage((noisy.packed - raw.packed) * 5 + 0.5, raw.metadata).mosaic()
        gray = picture(residual.expand(3, -1, -1), HEIGHT)
        residuals.append(Panel(gray, "the noise alone, times 5", "stronger where it is bright"))
    return [shown, residuals]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the three JPEGs")
    folder = parser.parse_args().folder
    to_raw = ReverseISP(camera=CAMERA, cct=CCT_K, seed=0)
    astronaut, coffee = photograph("astronaut", 0, 90), photograph("coffee", 60, 120)
    face, cup = to_raw(astronaut, keys=["astronaut"]), to_raw(coffee, keys=["coffee"])
    sheets = {"raw": draw_raw(astronaut, face), "isp": draw_isp(face), "noise": draw_noise(cup)}
    for name, rows in sheets.items():
        compose(rows, HEIGHT).save(folder / f"concept-{name}.jpg", quality=80)


if __name__ == "__main__":
    main()
