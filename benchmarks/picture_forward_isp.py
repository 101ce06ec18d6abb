"""Draw the range of the randomised forward ISP: docs/images/forward-isp.jpg.

    python benchmarks/picture_forward_isp.py docs/images/forward-isp.jpg

Four photographs of scikit-image are taken for scenes: plainly linearised, averaged by two and exposed for one camera.
The first column is that light in plain sRGB; each other tile is one draw of `ForwardISP`, with the rendering's name or
the kind of its curve. Nothing is chosen by hand: the draws are the first ones of a seed.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from rawsynth.cameras import load_camera
from rawsynth.methods.global_inverse import srgb_decoding
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.isp_stages import transfer
from rawsynth.pairs.renderings import load_renderings
from rawsynth.pairs.surrogate import to_camera
from rawsynth.seeding import sample_seed, scalar_rng

SCENES = {"astronaut": (0, 90), "coffee": (0, 60), "chelsea": (0, 10), "rocket": (60, 120)}
HEIGHT, WIDTH, COLUMNS, GAP = 150, 210, 8, 3
CAMERA, CCT_K, BRIGHTEST = "Canon EOS 5D Mark IV", 5200, 1.1


def scene(name: str) -> Tensor:
    """Return ``(3, HEIGHT, WIDTH)`` linear light of a photograph."""
    top, left = SCENES[name]
    pixels = getattr(data, name)()[top : top + 2 * HEIGHT, left : left + 2 * WIDTH]
    linear = srgb_decoding(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255)
    light = F.avg_pool2d(linear[None], 2)[0]
    return light * (BRIGHTEST / float(torch.quantile(light.amax(dim=0), 0.995)))


def tile(pixels: Tensor, words: str) -> Image.Image:
    """Make a labelled tile of ``(3, H, W)`` uint8."""
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    box = draw.textbbox((3, HEIGHT - 16), words, font=font)
    draw.rectangle((0, box[1] - 2, box[2] + 3, HEIGHT), fill=(0, 0, 0))
    draw.text((3, HEIGHT - 16), words, font=font, fill=(255, 255, 255))
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", help="JPEG to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    isp, camera = ForwardISP(load_renderings()), load_camera(CAMERA)
    cam_from_srgb, white_balance = camera.color(CCT_K)
    size = (COLUMNS * (WIDTH + GAP) - GAP, len(SCENES) * (HEIGHT + GAP) - GAP)
    sheet = Image.new("RGB", size, (255, 255, 255))
    for row, name in enumerate(SCENES):
        light = scene(name)
        raw = to_camera(light, cam_from_srgb, white_balance).clamp(0, 1)
        plain = (transfer(light, "srgb", 2.2).clamp(0, 1) * 255).round().to(torch.uint8)
        tiles = [tile(plain, "light, plain sRGB")]
        for column in range(1, COLUMNS):
            params = isp.draw(scalar_rng(sample_seed(args.seed, f"{name}/{column}", "picture")))
            params |= {"cam_from_srgb": cam_from_srgb, "white_balance": white_balance, "cfa": "RGGB"}
            words = isp.renderings[params["table"]].name if params["kind"] == "table" else f"{params['kind']} curve"
            tiles.append(tile(isp.render(raw, isp.measure(raw, params)), words))
        for column, image in enumerate(tiles):
            sheet.paste(image, (column * (WIDTH + GAP), row * (HEIGHT + GAP)))
    sheet.save(args.picture, quality=85)


if __name__ == "__main__":
    main()
