"""Pairs opened by the name of their layout, or by what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.aim22 import PHONES, Aim22Pairs, TileFolder, list_tiles
from rawsynth.pairs.pair import PairSet
from rawsynth.pairs.shards import ShardPairs
from rawsynth.raw.codecs import decode_rgb
from rawsynth.registry import pick


def open_pairs(url: str, *, layout: str = "auto") -> PairSet:
    """Open pairs.

    - ``auto``: tars, or a folder of AIM 2022 tiles, of S7 or P20 by their size; official levels.
    - ``shards``: tars of pairs, also those of ``rawsynth generate --srgb``: a folder, a tar or a pattern.
    - ``aim22_s7``: AIM 2022, Samsung Galaxy S7, DN / 1024 as the challenge scores them.
    - ``aim22_p20``: AIM 2022, Huawei P20, DN / 1024.
    - ``aim22_s7_sensor``: AIM 2022, Samsung Galaxy S7, black 0 and white 1023.
    - ``aim22_p20_sensor``: AIM 2022, Huawei P20, black 60 and white 1020.

    Args:
        url: folder, tar or pattern, on any filesystem.
        layout: one of these.

    Raises:
        UnknownNameError: another layout.
        UsageError: no pairs there, or two layouts at once.
        CorpusError: a tar is damaged or cut short.
        InputAccessError: it cannot be reached.
    """
    return pick(LAYOUTS, layout, "layout of pairs")(url)


def _open_found(url: str) -> PairSet:
    """Open what is there."""
    if not storage.exists(url):
        if any(char in url for char in "{*?["):
            return ShardPairs(url)
        raise InputAccessError(f"cannot read {url}: no such file or folder. `rawsynth pairs` makes pairs of RAW files.")
    if not storage.is_folder(url):
        if url.endswith(".tar"):
            return ShardPairs(url)
        raise UsageError(f"{url} is a file and no tar. {_KNOWN}")
    tiles = list_tiles(url)
    names = [path for path, _ in storage.walk_files(url)]
    tars = [path for path in names if path.endswith(".tar") and not path.rpartition("/")[2].startswith(".")]
    has_tiles = bool(tiles.pairs or tiles.srgb_only)
    if has_tiles and tars:
        raise UsageError(f"{url} has {len(tars)} tars and tiles of AIM 2022: name the layout. {_KNOWN}")
    if tars:
        return ShardPairs(url)
    if has_tiles:
        return Aim22Pairs(url, phone=_phone_of(tiles))
    few = f", such as {', '.join(names[:3])}" if names else ""
    found = f"{counted(len(names), 'file')}{few}, no tar and no SCENE_K.jpg with SCENE_K.npy"
    raise UsageError(f"no pairs in {url}: {found}. `rawsynth pairs` makes pairs of RAW files. {_KNOWN}")


def _phone_of(tiles: TileFolder) -> str:
    """Return the phone whose tiles have this size, by the first tile that can be decoded."""
    for scene, k in tiles.pairs or tiles.srgb_only:
        try:
            _, height, width = decode_rgb(storage.read_bytes(storage.join(tiles.url, f"{scene}_{k}.jpg"))).shape
        except SampleError:
            # It is reported when it is read as a pair.
            continue
        for name, phone in PHONES.items():
            if height == width == phone.side:
                return name
        sizes = ", ".join(f"{phone.side}x{phone.side} ({name})" for name, phone in PHONES.items())
        came = f"{scene}_{k}.jpg has {height}x{width} pixels"
        raise UsageError(f"{tiles.url}: {came}, tiles of AIM 2022 have {sizes}. {_KNOWN}")
    raise UsageError(f"{tiles.url}: none of its tiles can be decoded, so their phone is not known. {_KNOWN}")


LAYOUTS: Mapping[str, Callable[[str], PairSet]] = {
    "auto": _open_found,
    "shards": ShardPairs,
    "aim22_s7": partial(Aim22Pairs, phone="s7"),
    "aim22_p20": partial(Aim22Pairs, phone="p20"),
    "aim22_s7_sensor": partial(Aim22Pairs, phone="s7", levels="sensor"),
    "aim22_p20_sensor": partial(Aim22Pairs, phone="p20", levels="sensor"),
}
_KNOWN = (
    f"Known layouts: {', '.join(LAYOUTS)}. `rawsynth pairs` makes pairs of camera RAW files, `rawsynth generate "
    "--srgb` of photographs."
)
