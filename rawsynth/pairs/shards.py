"""Pairs as WebDataset tars: what goes into one, and tars opened for random access.

A pair is ``KEY.srgb.png`` (lossless), ``KEY.raw.npy`` (DN, ``(4, h, w)`` uint16, planes R, Gr, Gb, B) and ``KEY.json``,
which has the scene, the levels of the DN and what else is known. A corpus of ``rawsynth generate --srgb`` is read the
same way: its pairs are ``srgb.jpg`` and ``clean.npy``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.counting import counted
from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.pair import Pair, PairSet
from rawsynth.pairs.tar_index import TarSample, index_tar, list_tars
from rawsynth.raw.codecs import Members, decode_dn, decode_rgb, encode_json, encode_npy, encode_png
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import dequantize

SRGB_MEMBER, RAW_MEMBER, CLEAN_MEMBER = "srgb.png", "raw.npy", "clean.npy"
SRGB_MEMBERS = (SRGB_MEMBER, "srgb.jpg", "srgb.jpeg", "srgb.webp")
CFA = "RGGB"

_MEMBERS = frozenset((*SRGB_MEMBERS, RAW_MEMBER, CLEAN_MEMBER, "json"))
_INDEX_THREADS = 8


def pair_members(
    srgb: NDArray[np.uint8], raw_dn: NDArray[np.uint16], levels: Levels, meta: Mapping[str, Any]
) -> Members:
    """Encode a pair as the members of a WebDataset sample, for :func:`rawsynth.storage.tar_entries`.

    Args:
        srgb: ``(3, H, W)`` uint8, H and W even.
        raw_dn: ``(4, H/2, W/2)`` uint16 DN, planes R, Gr, Gb, B.
        levels: of the DN.
        meta: JSON-ready; ``key`` names the pair and ``scene`` what it shows.

    Raises:
        UsageError: no ``key`` or ``scene``, a key that a tar cannot carry, or metadata that JSON has no word for.
        SampleError: images of other types or of sizes that do not fit, or DN that the levels' bits cannot hold.
    """
    for name in ("key", "scene"):
        if not isinstance(meta.get(name), str) or not meta[name]:
            raise UsageError(f"the metadata of a pair have {name!r}, a text that is not empty; got {meta.get(name)!r}.")
    key = meta["key"]
    if "." in key.rpartition("/")[2] or key.startswith("/") or key.endswith("/"):
        raise UsageError(f"a pair's key has no dot in its name and no slash at its ends; got {key!r}.")
    taken = {"srgb", "raw", "clean"} & meta.keys()
    if taken:
        raise UsageError(f"pair {key}: {', '.join(sorted(taken))} in the metadata are for the members; rename them.")
    _check_images(key, srgb, raw_dn, levels)
    entries = {
        "srgb": {"member": SRGB_MEMBER},
        "raw": {"member": RAW_MEMBER, "cfa": CFA, "levels": levels.to_json()},
    }
    try:
        document = encode_json({**meta, **entries})
    except (TypeError, ValueError) as error:
        raise UsageError(f"pair {key}: metadata are what JSON can hold, finite numbers only: {error}.") from error
    return {SRGB_MEMBER: encode_png(srgb), RAW_MEMBER: encode_npy(raw_dn), "json": document}


def _check_images(where: str, srgb: NDArray[Any], raw_dn: NDArray[Any], levels: Levels) -> None:
    if srgb.dtype != np.uint8 or srgb.ndim != 3 or srgb.shape[0] != 3:
        raise SampleError(f"{where}: wanted sRGB (3, H, W) uint8, got {srgb.dtype} {srgb.shape}.")
    height, width = srgb.shape[1:]
    if height % 2 or width % 2 or not height or not width:
        raise SampleError(f"{where}: wanted sRGB of even sides, got {height}x{width}; crop it and its RAW.")
    if raw_dn.dtype != np.uint16 or raw_dn.shape != (4, height // 2, width // 2):
        wanted = (4, height // 2, width // 2)
        raise SampleError(
            f"{where}: wanted RAW {wanted} uint16 for sRGB of {height}x{width}, got {raw_dn.dtype} {raw_dn.shape}."
        )
    if int(raw_dn.max()) >= 2**levels.bits:
        raise SampleError(
            f"{where}: wanted DN of {levels.bits} bits, up to {2**levels.bits - 1}, got {int(raw_dn.max())}; are the "
            "levels those of this RAW?"
        )


class ShardPairs(PairSet):
    """Pairs in tars, read one by one at any place of a local disk or a remote store.

    Each tar is read through once, for the places of its members; a pair then costs its own bytes only. The set holds no
    open file: it goes to ``DataLoader`` workers, forked or spawned, and serves threads.

    A pair that is at fault keeps its place in the set, and reading it raises. Files of a tar that are no member of a
    pair (``README.txt``) are passed over. Pixels are taken as stored: no colour profile is applied.

    Args:
        urls: a folder (with its subfolders), a tar, a pattern with braces or globs, or a list of them.

    Raises:
        UsageError: no tars there, one without pairs, a corpus without sRGB members, or two pairs of one key.
        CorpusError: a tar is damaged or cut short.
        InputAccessError: a tar cannot be reached.
    """

    def __init__(self, urls: str | Sequence[str]) -> None:
        tars = list_tars([urls] if isinstance(urls, str) else list(urls))
        self._samples: list[TarSample] = []
        self.scenes: list[str] = []
        homes: dict[str, str] = {}
        with ThreadPoolExecutor(min(_INDEX_THREADS, len(tars)), "rawsynth-index") as pool:
            for sample, document in (row for rows in pool.map(_index_pairs, tars) for row in rows):
                if sample.key in homes:
                    raise UsageError(
                        f"pair {sample.key} is in {homes[sample.key]} and in {sample.url}; keys are unique: leave one "
                        "tar out, or rename its pairs."
                    )
                homes[sample.key] = sample.url
                self._samples.append(sample)
                self.scenes.append(_scene(document) or sample.key)
        self.keys = list(homes)

    def __getitem__(self, index: int) -> Pair:
        sample = self._samples[index]
        members = sample.read()
        try:
            return _decode(sample.key, members, sample.members)
        except SampleError as error:
            raise SampleError(f"{sample.url}: pair {sample.key}: {error}") from error


def _index_pairs(url: str) -> list[tuple[TarSample, bytes | None]]:
    rows = index_tar(url, _MEMBERS)
    if not rows:
        raise UsageError(f"{url} holds no pairs: a pair is KEY.srgb.png, KEY.raw.npy and KEY.json.")
    if not any(name in sample.members for sample, _ in rows for name in SRGB_MEMBERS):
        raise UsageError(
            f"{url} has {counted(len(rows), 'sample')} and no sRGB image ({', '.join(SRGB_MEMBERS)}): make a corpus "
            "with `rawsynth generate --srgb`."
        )
    return rows


def _scene(document: bytes | None) -> str | None:
    """Return the scene that a pair's JSON names, ``None`` where it is damaged or names none."""
    try:
        data = json.loads(document or b"")
        scene = data["scene"] if "scene" in data else data["source"]["key"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return scene if isinstance(scene, str) and scene else None


def _decode(key: str, members: Members, listed: Mapping[str, Any]) -> Pair:
    came = ", ".join(name if name in members else f"{name} (a link)" for name in sorted(listed))
    if "json" not in members:
        raise SampleError(f"wanted a json member, got {came}")
    try:
        document = json.loads(members["json"])
        is_corpus = "clean" in document
        about, stored = dict(document["raw"]), document["clean" if is_corpus else "raw"]
        cfa, levels = about["cfa"], Levels(**stored["levels"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise SampleError(f"wanted raw.cfa and the levels of the DN in its json, got {missing}") from error
    scene = _scene(members["json"])
    if scene is None:
        raise SampleError("wanted in its json what it shows, 'scene' or a corpus's source.key, got neither")
    if cfa != CFA:
        raise SampleError(f"wanted CFA {CFA}, got {cfa}; make the pairs with this layout (generate: --cfa {CFA})")
    raw_name, srgb_name = CLEAN_MEMBER if is_corpus else RAW_MEMBER, _srgb_name(document, members)
    if raw_name not in members or srgb_name is None:
        raise SampleError(f"wanted json, {raw_name} and one of {', '.join(SRGB_MEMBERS)}, got {came}")
    srgb, raw_dn = _named(srgb_name, decode_rgb, members), _named(raw_name, decode_dn, members)
    _check_images(f"{srgb_name}, {raw_name}", srgb, raw_dn, levels)
    rest = {name: value for name, value in document.items() if name not in ("srgb", "raw", "clean", "noisy")}
    meta = {**rest, **(about if is_corpus else {}), "key": key, "scene": scene, "cfa": cfa, "levels": levels.to_json()}
    raw = dequantize(torch.from_numpy(raw_dn.astype(np.int32)), levels)
    return Pair(key, scene, torch.from_numpy(srgb), raw, meta)


def _srgb_name(document: Mapping[str, Any], members: Members) -> str | None:
    """Return the member that the JSON names, of a corpus the one it writes, else the only one."""
    entry = document.get("srgb")
    named = entry.get("member") if isinstance(entry, dict) else "srgb.jpg" if "clean" in document else None
    there = [name for name in SRGB_MEMBERS if name in members]
    if named in there:
        return str(named)
    if len(there) > 1:
        raise SampleError(f"wanted one sRGB image, got {', '.join(there)}")
    return there[0] if there else None


def _named(name: str, decode: Callable[[bytes], NDArray[Any]], members: Members) -> NDArray[Any]:
    try:
        return decode(members[name])
    except SampleError as error:
        raise SampleError(f"{name}: {error}") from error
