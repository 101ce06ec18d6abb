"""Pairs of the AIM 2022 Reversed ISP challenge (Samsung Galaxy S7, Huawei P20), in the layout that it came in.

A folder holds ``{scene}_{k}.jpg`` and ``{scene}_{k}.npy``: tile ``k`` of 48, row by row, 8 columns by 6 rows, of a
full frame. RAW are DN of 10 bits, ``(h, w, 4)`` uint16 with the planes R, G of row 0, G of row 1, B.

The sRGB halves have been checked on four real S7 scenes. The RAW halves have been checked on made-up files of the
published layout only, never on the challenge's own: what rests on the publication alone is the planes' order (which
green comes first), the sensors' levels, and whether the S7's "RGGB" is its GRBG sensor moved by one pixel.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.pair import Pair, PairSet, Scoring
from rawsynth.raw.codecs import decode_dn, decode_rgb
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import dequantize
from rawsynth.registry import pick

TILE_ROWS, TILE_COLUMNS = 6, 8
TILES = TILE_ROWS * TILE_COLUMNS
LARGEST_DN, PEAK_DN = 1023, 1024.0
TRAIN_FOLDER = "train"

_SCORING_LEVELS = Levels(black_level=0, white_level=1024, bits=11)
_TILE_NAME = re.compile(r"(.+)_(0|[1-9][0-9]?)\.(jpg|npy)", re.DOTALL)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".npy")


@dataclass(frozen=True)
class Phone:
    """A phone of the challenge: its tiles' side in sRGB pixels, and its sensor's levels."""

    camera: str
    side: int
    sensor: Levels


PHONES = {
    "s7": Phone("Samsung Galaxy S7", 504, Levels(black_level=0, white_level=1023, bits=10)),
    "p20": Phone("Huawei P20", 496, Levels(black_level=60, white_level=1020, bits=10)),
}


@dataclass(frozen=True)
class TileFolder:
    """What a folder of the challenge holds.

    Attributes:
        url: the folder itself.
        pairs: scene and tile number of each tile with sRGB and RAW, in the order of their numbers.
        srgb_only: the same of tiles without RAW.
        unmatched: names of all image and RAW files that are no part of a pair.
        files: how many files there are of any kind.
    """

    url: str
    pairs: tuple[tuple[str, int], ...]
    srgb_only: tuple[tuple[str, int], ...]
    unmatched: tuple[str, ...]
    files: int


def tile_position(k: int) -> tuple[int, int]:
    """Return row and column of a tile in its frame.

    >>> tile_position(9)
    (1, 1)

    Raises:
        UsageError: ``k`` is not 0..47.
    """
    if not 0 <= k < TILES:
        raise UsageError(f"a frame has tiles 0..{TILES - 1}; got {k}.")
    return divmod(k, TILE_COLUMNS)


def stitch(tiles: Sequence[Tensor]) -> Tensor:
    """Put a frame together.

    Args:
        tiles: the 48 of them by number, ``(C, h, w)`` each: sRGB, or packed RAW.

    Returns:
        ``(C, 6h, 8w)``.

    Raises:
        UsageError: another count, or sizes that differ.
    """
    shapes = {tuple(tile.shape) for tile in tiles}
    if len(tiles) != TILES or len(shapes) != 1:
        raise UsageError(f"a frame has {TILES} tiles of one shape; got {len(tiles)} of {sorted(shapes)}.")
    rows = [torch.cat(list(tiles[start : start + TILE_COLUMNS]), -1) for start in range(0, TILES, TILE_COLUMNS)]
    return torch.cat(rows, -2)


def list_tiles(url: str) -> TileFolder:
    """List a folder of tiles, or its ``train`` folder if it has no tiles itself.

    Raises:
        UsageError: both have tiles.
        InputAccessError: the folder cannot be listed.
    """
    names = storage.list_names(url)
    here = _sort_names(url, names)
    if TRAIN_FOLDER not in names:
        return here
    folder = storage.join(url, TRAIN_FOLDER)
    there = _sort_names(folder, storage.list_names(folder))
    if (here.pairs or here.srgb_only) and (there.pairs or there.srgb_only):
        raise UsageError(f"{url} and {folder} both have tiles: give a folder that holds the tiles of one set only.")
    return there if there.pairs or there.srgb_only else here


def _sort_names(url: str, names: Collection[str]) -> TileFolder:
    suffixes: dict[tuple[str, int], set[str]] = {}
    for name in names:
        match = _TILE_NAME.fullmatch(name)
        if match and int(match[2]) < TILES:
            suffixes.setdefault((match[1], int(match[2])), set()).add(match[3])
    tiles = sorted(suffixes, key=lambda tile: (_natural(tile[0]), tile[1]))
    pairs = tuple(tile for tile in tiles if len(suffixes[tile]) == 2)
    paired = {f"{scene}_{k}.{suffix}" for scene, k in pairs for suffix in ("jpg", "npy")}
    images = (n for n in names if n.lower().endswith(_IMAGE_SUFFIXES) and not n.startswith("."))
    return TileFolder(
        url=url,
        pairs=pairs,
        srgb_only=tuple(tile for tile in tiles if suffixes[tile] == {"jpg"}),
        unmatched=tuple(sorted(set(images) - paired, key=_natural)),
        files=len(names),
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts 9 before 10."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, 0, part) if i % 2 == 0 else (0, int(part), part) for i, part in enumerate(parts) if part]


class Aim22Pairs(PairSet):
    """Pairs of one phone.

    Official scores are of DN / 1024, rounded down to whole DN before (``scoring``), whatever the levels.

    Args:
        url: folder of the tiles, or one that has them in a ``train`` folder.
        phone: ``"s7"``, tiles of 504x504, or ``"p20"``, 496x496.
        levels: black and white of the unit scale. ``"scoring"``: DN / 1024, as the challenge and its entries have it.
            ``"sensor"``: the sensor's own, 0..1023 of the S7 and 60..1020 of the P20 (MiAlgo's figures).

    Attributes:
        unmatched: names of images and RAW files of the folder that are no part of a pair.

    Raises:
        UnknownNameError: another phone or other levels.
        UsageError: no pair in the folder.
        InputAccessError: the folder cannot be listed.
    """

    def __init__(self, url: str, *, phone: str, levels: str = "scoring") -> None:
        self.phone = pick(PHONES, phone, "phone")
        self.levels = pick({"scoring": _SCORING_LEVELS, "sensor": self.phone.sensor}, levels, "AIM 2022 levels")
        found = list_tiles(url)
        if not found.pairs:
            raise UsageError(_nothing(found))
        self.unmatched = found.unmatched
        self.keys = [f"{scene}_{k}" for scene, k in found.pairs]
        self.scenes = [scene for scene, _ in found.pairs]
        self._folder, self._tiles = found.url, found.pairs

    def __getitem__(self, index: int) -> Pair:
        scene, k = self._tiles[index]
        key = f"{scene}_{k}"
        srgb, dn = self._read_srgb(f"{key}.jpg"), self._read_dn(f"{key}.npy")
        row, column = tile_position(k)
        meta = {
            "camera": self.phone.camera,
            "scene": scene,
            "tile": k,
            "row": row,
            "column": column,
            "cfa": "RGGB",
            "levels": self.levels.to_json(),
        }
        raw = dequantize(torch.from_numpy(dn.astype(np.int32)), self.levels).permute(2, 0, 1).contiguous()
        black, white = float(self.levels.black_level), float(self.levels.white_level)
        scoring = Scoring(black, white, peak_dn=PEAK_DN, floor=True)
        return Pair(key, scene, torch.from_numpy(srgb), raw, meta, scoring)

    def _read_srgb(self, name: str) -> NDArray[np.uint8]:
        url, side = storage.join(self._folder, name), self.phone.side
        try:
            srgb = decode_rgb(storage.read_bytes(url))
        except SampleError as error:
            raise SampleError(f"{url}: {error}") from error
        if srgb.shape != (3, side, side):
            came = "x".join(map(str, srgb.shape[1:]))
            raise SampleError(f"{url}: wanted {side}x{side} pixels ({self.phone.camera}), got {came}{_whose(srgb)}.")
        return srgb

    def _read_dn(self, name: str) -> NDArray[np.uint16]:
        url, side = storage.join(self._folder, name), self.phone.side // 2
        try:
            dn = decode_dn(storage.read_bytes(url))
        except SampleError as error:
            raise SampleError(f"{url}: {error}") from error
        if dn.shape != (side, side, 4):
            order = "; its planes come first: transpose it to (h, w, 4)" if dn.shape == (4, side, side) else ""
            raise SampleError(f"{url}: wanted RAW {(side, side, 4)} ({self.phone.camera}), got {dn.shape}{order}.")
        if int(dn.max()) > LARGEST_DN:
            raise SampleError(
                f"{url}: wanted DN of 10 bits, 0..{LARGEST_DN}, got {int(dn.max())}; is it RAW of another camera?"
            )
        return dn


def _whose(srgb: NDArray[np.uint8]) -> str:
    names = [name for name, phone in PHONES.items() if srgb.shape[1:] == (phone.side, phone.side)]
    return f", the size of phone {names[0]!r}" if names else ""


def _nothing(found: TileFolder) -> str:
    if found.srgb_only and not any(name.endswith(".npy") for name in found.unmatched):
        return (
            f"{found.url} has {len(found.srgb_only)} sRGB tiles and no RAW: these are test inputs, there is nothing to "
            "train or score on. Give the folder of the training pairs."
        )
    few = ", ".join(found.unmatched[:3]) or "no image and no .npy"
    return (
        f"no pair in {found.url} ({counted(found.files, 'file')}; {few}): a pair is SCENE_K.jpg and SCENE_K.npy with "
        f"K in 0..{TILES - 1}."
    )
