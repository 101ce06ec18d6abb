"""Draw how near the network comes to real RAW: sRGB, the real RAW, the network's, and by how many EV it is off.

    python benchmarks/bench_renderings.py ~/Pictures/raws --work /tmp/renderings
    python benchmarks/picture_renderings.py out.jpg /tmp/renderings/pairs/a.dng-libraw-auto-bright.npz ...

A row a pair. RAW is shown white-balanced, in sRGB's primaries and coding, at half size. In the last column grey is
right, red too bright, blue too dark, both full at one EV; where the sensor saturates in all colours it is white.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rawsynth.pairs.isp_stages import transfer
from rawsynth.pairs.rendered import RenderedPair, load
from rawsynth.transforms import ReverseISP

WIDTH, GAP = 360, 4
_SATURATED = 0.98
_FLOOR = 1e-3
_STEP = 4

Pixels = NDArray[np.uint8]


def light_of(planes: NDArray[np.float32], pair: RenderedPair) -> NDArray[np.float32]:
    """Return ``(3, h, w)`` linear sRGB of packed RGGB, one pixel a cell."""
    red, blue = pair.white_balance
    balanced = np.stack([planes[0] * red, (planes[1] + planes[2]) / 2, planes[3] * blue])
    light: NDArray[np.float32] = np.einsum("ij,jhw->ihw", np.linalg.inv(pair.cam_from_srgb), balanced)
    return light.astype(np.float32)


def shown(light: NDArray[np.float32]) -> Pixels:
    """Code light for a screen."""
    coded = transfer(torch.from_numpy(light).clamp(0, 1), "srgb", 2.2)
    pixels: Pixels = (coded.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return pixels


def difference(estimate: NDArray[np.float32], truth: NDArray[np.float32]) -> Pixels:
    """Draw the ratio of two packed RAWs, of ``(4, h, w)``."""
    ratio = np.log2((estimate.mean(axis=0) + _FLOOR) / (truth.mean(axis=0) + _FLOOR)).clip(-1, 1)
    red, blue = np.clip(ratio, 0, 1), np.clip(-ratio, 0, 1)
    picture = 150 + np.stack([105 * red - 150 * blue, -150 * (red + blue), 105 * blue - 150 * red])
    picture[:, truth.min(axis=0) >= _SATURATED] = 255
    pixels: Pixels = picture.round().astype(np.uint8)
    return pixels


@torch.no_grad()
def estimated(weights: str | None, pair: RenderedPair) -> NDArray[np.float32]:
    """Return the network's packed RAW of every fourth cell of the frame."""
    to_raw = ReverseISP(
        "rst_isp_net_small", weights, cam_from_srgb=pair.cam_from_srgb, white_balance=pair.white_balance,
        rgb_gain=1.0, cfa="RGGB", seed=0,
    )  # fmt: skip
    packed: NDArray[np.float32] = to_raw(torch.from_numpy(pair.srgb)[None], keys=["frame"]).packed[0].numpy()
    return packed[:, ::_STEP, ::_STEP]


def tile_of(pixels: Pixels, words: str) -> Image.Image:
    """Make a labelled tile."""
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image = image.resize((WIDTH, round(WIDTH * image.height / image.width)), Image.Resampling.BOX)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    box = draw.textbbox((4, image.height - 18), words, font=font)
    draw.rectangle((0, box[1] - 2, box[2] + 4, image.height), fill=(0, 0, 0))
    draw.text((4, image.height - 18), words, font=font, fill=(255, 255, 255))
    return image


def row_of(weights: str | None, pair: RenderedPair) -> list[Image.Image]:
    """Draw one pair."""
    truth = pair.packed[:, ::_STEP, ::_STEP].astype(np.float32) / np.float32(65535)
    estimate = estimated(weights, pair)
    psnr = -10 * np.log10(max(1e-12, float(((estimate - truth) ** 2).mean())))
    return [
        tile_of(pair.srgb[:, ::_STEP, ::_STEP], f"{pair.software} {pair.style}"),
        tile_of(shown(light_of(truth, pair)), "real RAW"),
        tile_of(shown(light_of(estimate, pair)), "rst_isp_net_small"),
        tile_of(difference(estimate, truth), f"{psnr:.1f} dB"),
    ]


def main() -> None:
    """Draw the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", help="JPEG to write")
    parser.add_argument("pairs", nargs="+", type=Path, help="files that bench_renderings.py made")
    parser.add_argument("--weights", help="weights file, if not the packaged one")
    args = parser.parse_args()
    rows = [row_of(args.weights, load(path)) for path in args.pairs]
    heights = [row[0].height for row in rows]
    sheet = Image.new("RGB", (4 * (WIDTH + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)), (255, 255, 255))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            sheet.paste(image, (column * (WIDTH + GAP), top))
        top += height + GAP
    sheet.save(args.picture, quality=85)


if __name__ == "__main__":
    main()
