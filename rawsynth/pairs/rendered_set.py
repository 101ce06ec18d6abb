"""Real RAW files developed by real software, as a set of pairs: windows of each frame, beside the frame's own style."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from rawsynth import storage
from rawsynth.errors import RawsynthError, SampleError, UsageError
from rawsynth.methods.style_encoder import sample_grid
from rawsynth.pairs.developers import IN_PROCESS, PROGRAMS, STYLES, DeveloperStyle, installed
from rawsynth.pairs.pair import Pair, PairSet
from rawsynth.pairs.rendered import (
    CAMERA,
    Crop,
    RenderedPair,
    camera_pair,
    crops_of,
    load,
    make_pair,
    pair_name,
    save,
)
from rawsynth.pairs.sources import RawSource
from rawsynth.raw.files import RawFile, read_raw

SOFTWARE = (IN_PROCESS, *PROGRAMS, CAMERA.software)
"""What sRGB may come from, by name."""

Observe = Callable[[str, str | None], None]


@dataclass(frozen=True)
class RenderedFrame:
    """A stored pair of a whole frame.

    Attributes:
        path: of its file.
        scene: what it shows.
        crops: the windows that count.
    """

    path: Path
    scene: str
    crops: tuple[Crop, ...]


class RenderedWindows(PairSet):
    """Windows of developed frames; each carries its frame as the grid of pixels that a style is read from.

    Args:
        frames: where they are.

    Pairs state the file's matrix and as-shot white balance. What a RAW file shows is one scene, however often it was
    developed.
    """

    def __init__(self, frames: Sequence[RenderedFrame]) -> None:
        self._places = [(frame, crop) for frame in frames for crop in frame.crops]
        numbers = [number for frame in frames for number in range(len(frame.crops))]
        self.keys = [f"{frame.path.stem}/{k}" for (frame, _), k in zip(self._places, numbers, strict=True)]
        self.scenes = [frame.scene for frame, _ in self._places]
        # Windows of a frame come one after another, and a frame is some 60 MB.
        self._load = lru_cache(maxsize=1)(load)

    def __getitem__(self, index: int) -> Pair:
        (frame, crop), key = self._places[index], self.keys[index]
        pair = self._load(frame.path)
        top, left, height, width = crop
        srgb = torch.from_numpy(pair.srgb)
        return Pair(
            key=key,
            scene=frame.scene,
            srgb=srgb[:, top : top + height, left : left + width].clone(),
            raw=torch.from_numpy(pair.planes(crop)),
            meta={
                "cam_from_srgb": pair.cam_from_srgb.tolist(),
                "white_balance": list(pair.white_balance),
                "software": pair.software,
                "style": pair.style,
                "coding": pair.coding,
            },
            frame=sample_grid(srgb[None])[0].clone(),
        )


def available(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return what of the wanted software, or of all, is there.

    Raises:
        UsageError: an unknown name, or a program that was asked for and is not installed.
    """
    if wanted is None:
        return tuple(name for name in SOFTWARE if name == CAMERA.software or installed(name))
    for name in wanted:
        if name not in SOFTWARE:
            raise UsageError(f"unknown software {name!r}; choose from: {', '.join(SOFTWARE)}.")
        if name != CAMERA.software and not installed(name):
            raise UsageError(f"{PROGRAMS[name]} is not installed; leave {name} out, or install it.")
    return tuple(dict.fromkeys(wanted))


def render_sources(
    sources: Sequence[RawSource], software: str, work: Path, *, observe: Observe = lambda name, problem: None
) -> RenderedWindows:
    """Develop RAW files in all styles of one software and lay them on their RAW; what was made before is kept.

    Args:
        sources: the RAW files.
        software: one of :data:`SOFTWARE`.
        work: folder for ``pairs/`` and the programs' own settings.
        observe: told of every file and style, with what went wrong where it had to be left out.

    Returns:
        What could be made, perhaps nothing.

    Raises:
        UsageError: files of one name in different folders.
    """
    names = [Path(source.url).name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"files of one name in different folders: {', '.join(twice)}; rename one of each.")
    styles = [style for style in (*STYLES, CAMERA) if style.software == software]
    frames = [frame for source in sources for frame in _frames(source, styles, work, observe)]
    return RenderedWindows(frames)


def _frames(
    source: RawSource, styles: Sequence[DeveloperStyle], work: Path, observe: Observe
) -> Iterator[RenderedFrame]:
    raw: RawFile | None = None
    for style in styles:
        name = pair_name(Path(source.url).name, style)
        path = work / "pairs" / f"{name}.npz"
        try:
            if not _is_made(path, source):
                raw = raw or read_raw(source.url)
                save(camera_pair(source) if style == CAMERA else make_pair(raw, style, work / "tools"), path)
            yield RenderedFrame(path, source.scene, _windows(load(path)))
            observe(name, None)
        except RawsynthError as error:
            observe(name, str(error))


def _is_made(path: Path, source: RawSource) -> bool:
    """Whether a pair is there, and not older than a local RAW file of that name."""
    if not path.exists():
        return False
    local = Path(storage.absolute(source.url)) if storage.is_local(source.url) else path
    return path.stat().st_mtime >= local.stat().st_mtime


def _windows(pair: RenderedPair) -> tuple[Crop, ...]:
    height, width = pair.srgb.shape[1:]
    if not np.isfinite(pair.cam_from_srgb).all():
        raise SampleError(f"{pair.file}: its colour matrix holds NaN.")
    return tuple(crops_of(height, width))
