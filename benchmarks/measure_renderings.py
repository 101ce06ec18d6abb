"""Measure what RAW developers make of every colour: the tables in `rawsynth/pairs/renderings_files`.

    python benchmarks/measure_renderings.py --work /tmp/renderings             # all of them; some five minutes
    python benchmarks/measure_renderings.py --work /tmp/renderings --photo     # and how well tables do on a photograph

A chart of flat patches at the nodes of a grid over scene-linear RGB is written as a Bayer DNG of a camera whose RGB is
linear sRGB at D65, in a fixed pseudo-random order, so that what an operator takes from the surroundings averages out.
Each developer turns it into a 16-bit sRGB TIFF; the median of a patch's middle is the table's entry. Balanced red and
blue reach beyond 1, the saturation of green: LibRaw and RawTherapee meet such values by the as-shot gains, green then
ends at 1; darktable, whose pipeline is in float, by a darker chart and as much more exposure. What depends on the
picture (automatic levels, matched curves, adaptation, local tone mapping) and on the place (vignette) is switched off;
sharpening leaves the middle of a flat patch alone. Highlight reconstruction is off too: it takes colour from the
surroundings, which mean nothing on a chart. Curves fitted to a camera's JPEGs are cut at 1, where a camera clips:
darktable continues them by a law of its own.

Needs `darktable-cli` 4.2, `rawtherapee-cli` 5.9 and LibRaw's `dcraw_emu` (Debian 12). The figure `spread` is the
largest deviation within a patch's middle; `PSNR` that of table against developer on a linearised photograph of
scikit-image's, enlarged so that demosaicing matters little: 41 to 49 dB (demosaicing alone leaves about 49), but 34
to 40 for RawTherapee's CIECAM, vibrance and Pop and for darktable's colourfulness.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from rendering_recipes import Recipe, darktable_recipes, libraw_recipes, rawtherapee_recipes
from safetensors.numpy import save_file
from skimage import data, filters, transform

from rawsynth.pairs import renderings
from rawsynth.pairs.renderings import TOP, apply_table, node_values
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

NODES, PATCH, MIDDLE, BORDER = 21, 16, slice(5, 11), 64
MID_GRAY = 0.18
SAME = 2e-3
DIAGONAL = np.arange(NODES)
Array = NDArray[np.float64]


def chart() -> tuple[Array, Array]:
    """Draw the chart: ``(H, W, 3)`` scene-linear, and the upper left corners of the patches in the grid's order."""
    nodes = node_values(NODES).double().numpy()
    colors = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    columns = int(np.ceil(np.sqrt(len(colors))))
    places = np.random.default_rng(0).permutation(len(colors))
    patches = np.full((columns * -(-len(colors) // columns), 3), MID_GRAY)
    patches[places] = colors
    image = patches.reshape(-1, columns, 3).repeat(PATCH, axis=0).repeat(PATCH, axis=1)
    return framed(image), np.stack(np.divmod(places, columns), axis=1) * PATCH + BORDER


def photograph() -> Array:
    """Enlarge and smooth a photograph, linearise it and brighten it to a little beyond saturation."""
    code = transform.rescale(data.coffee()[::2, ::2] / 255.0, 6, order=3, channel_axis=2).clip(0, 1)
    code = filters.gaussian(code, 3, channel_axis=2)
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    image = framed(linear * np.array([1.3, 1.05, 1.2]))
    # LibRaw takes the largest value there is for white.
    image[:PATCH, :PATCH] = TOP
    return image


def framed(image: Array) -> Array:
    """Put a grey border around, because some developers crop."""
    border = ((BORDER, BORDER), (BORDER, BORDER), (0, 0))
    return np.pad(image, border, constant_values=MID_GRAY)


def write_dng(path: Path, linear: Array, *, dark: bool) -> None:
    """Write scene-linear RGB up to TOP as a 16-bit RGGB DNG: darker by TOP, or with gains of TOP on red and blue."""
    neutral = np.ones(3) if dark else np.array([1 / TOP, 1.0, 1 / TOP])
    camera = linear * (1 / TOP if dark else neutral)
    mosaic = camera[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = camera[::2, ::2, 0], camera[1::2, 1::2, 2]
    matrix = np.diag(neutral) @ np.linalg.inv(XYZ_FROM_SRGB)
    short, integer, byte, text, rational, signed = 3, 4, 1, 2, 5, 10
    tags = [
        (271, text, 0, "Acme", False), (272, text, 0, "Chart", False), (274, short, 1, 1, False),
        (33421, short, 2, (2, 2), False), (33422, byte, 4, (0, 1, 1, 2), False),
        (50706, byte, 4, (1, 4, 0, 0), False), (50707, byte, 4, (1, 1, 0, 0), False),
        (50708, text, 0, "Acme Chart", False), (50710, byte, 3, (0, 1, 2), False), (50711, short, 1, 1, False),
        (50714, short, 1, 0, False), (50717, integer, 1, 65535, False), (50778, short, 1, 21, False),
        (50721, signed, 9, fractions(matrix.flatten()), False), (50728, rational, 3, fractions(neutral), False),
    ]  # fmt: skip
    values = np.rint(mosaic.clip(0, 1) * 65535).astype(np.uint16)
    tifffile.imwrite(path, values, photometric=32803, extratags=tags, metadata=None, software=None)


def fractions(values: Array) -> list[int]:
    """Numerators and denominators of a TIFF's rationals."""
    return [part for value in values for part in (round(float(value) * 1_000_000), 1_000_000)]


def read_tiff(path: Path, shape: tuple[int, ...]) -> Array:
    """Read a developer's 16-bit TIFF as ``shape`` in [0, 1]; what it cropped at the border is NaN."""
    image = tifffile.imread(path)
    if image.dtype != np.uint16 or image.ndim != 3:
        raise SystemExit(f"{path}: wanted 16-bit RGB, got {image.dtype} {image.shape}.")
    top, left = (shape[0] - image.shape[0]) // 2, (shape[1] - image.shape[1]) // 2
    whole = np.full(shape, np.nan)
    whole[top : top + image.shape[0], left : left + image.shape[1]] = image[..., :3] / 65535.0
    return whole


def read_patches(image: Array, corners: Array) -> tuple[Array, float]:
    """Read the table and the largest deviation within a patch's middle, of 99 % of the patches."""
    middles = np.stack([image[y : y + PATCH, x : x + PATCH][MIDDLE, MIDDLE].reshape(-1, 3) for y, x in corners])
    table = np.median(middles, axis=1)
    spread = np.abs(middles - table[:, None]).max(axis=(1, 2))
    return table.reshape(NODES, NODES, NODES, 3), float(np.quantile(spread, 0.99))


def photo_psnr(image: Array, linear: Array, table: Array) -> float:
    """PSNR of the table's rendering of a photograph against the developer's."""
    pixels = torch.from_numpy(linear).float().permute(2, 0, 1)[None]
    made = apply_table(pixels, torch.from_numpy(table).float()[None])[0].permute(1, 2, 0).double().numpy()
    inside = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return float(-10 * np.log10(np.mean((made[inside] - image[inside]) ** 2)))


def measured(recipes: Iterator[Recipe], work: Path, *, photo: bool) -> Iterator[tuple[Recipe, Array]]:
    """Develop and read every rendering; one line each."""
    scene, corners = chart()
    picture = photograph()
    for dark in (False, True):
        write_dng(work / f"photo-{dark}.dng", picture, dark=dark)
    for recipe in recipes:
        recipe.develop(work / f"chart-{recipe.dark}.dng", work / "developed.tif")
        table, spread = read_patches(read_tiff(work / "developed.tif", scene.shape), corners)
        neutral = table[DIAGONAL, DIAGONAL, DIAGONAL]
        tint, rise = np.abs(neutral - neutral[:, 1:2]).max(), np.diff(neutral, axis=0).min()
        line = f"{recipe.name:46} spread {spread:.4f}  grey {neutral[7, 1]:.3f}  at 1 {neutral[15, 1]:.3f}"
        line += f"  tint {tint:.4f}  least rise {rise:+.4f}"
        if photo:
            recipe.develop(work / f"photo-{recipe.dark}.dng", work / "developed.tif")
            limit = TOP if recipe.dark else np.array([TOP, 1.0, TOP])
            seen = read_tiff(work / "developed.tif", picture.shape)
            line += f"  PSNR {photo_psnr(seen, picture.clip(0, limit), table):.1f} dB"
        print(line, flush=True)
        yield recipe, clipped(table) if recipe.clips else table


def clipped(table: Array) -> Array:
    """Let a table stand still beyond saturation."""
    within = np.minimum(DIAGONAL, 15)
    return table[np.ix_(within, within, within)]


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder for charts and developed files")
    parser.add_argument("--photo", action="store_true", help="compare tables with developers on a photograph")
    parser.add_argument("--out", type=Path, default=Path(renderings.__file__).with_name("renderings_files"))
    parser.add_argument("--only", default="", help="measure the recipes whose name contains this; nothing is written")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    scene, _ = chart()
    for dark in (False, True):
        write_dng(args.work / f"chart-{dark}.dng", scene, dark=dark)
    recipes = chain(
        libraw_recipes(),
        rawtherapee_recipes(args.work),
        darktable_recipes(args.work / "chart-True.dng", args.work),
    )
    chosen = (recipe for recipe in recipes if args.only in recipe.name)
    entries: list[dict[str, str]] = []
    tables: list[Array] = []
    for recipe, table in measured(chosen, args.work, photo=args.photo):
        twin = next((e["name"] for e, t in zip(entries, tables, strict=True) if np.abs(t - table).max() < SAME), None)
        if twin:
            print(f"{recipe.name}: the same as {twin}, left out")
            continue
        if np.diff(table[DIAGONAL, DIAGONAL, DIAGONAL], axis=0).min() < -SAME:
            print(f"{recipe.name}: greys fall, left out")
            continue
        entries.append({"name": recipe.name, "family": recipe.family, "settings": recipe.settings})
        tables.append(table)
    if not args.only:
        write(entries, np.stack(tables), args.out / "renderings.safetensors")


def write(entries: list[dict[str, str]], tables: Array, path: Path) -> None:
    """Write the file that the package reads."""
    arrays = {
        "tables": renderings.encode_tables(tables),
        "shape": np.array(tables.shape, dtype=np.int64),
        "entries": np.frombuffer(json.dumps(entries).encode(), dtype=np.uint8),
    }
    part = path.with_suffix(".part")
    save_file(arrays, part)
    part.replace(path)
    print(f"{len(entries)} renderings, {path.stat().st_size / 1e6:.2f} MB: {path}")


if __name__ == "__main__":
    main()
