"""The Smartphone Image Denoising Dataset's raw halves, in the two layouts that it comes in.

Abdelhamed, Lin, Brown, "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018. Values are black-level
subtracted and in [0, 1].

Scenes (SIDD-Small and SIDD-Medium raw): folders ``NNNN_SSS_PH_ISO_SHUTTER_CCT_L`` (instance, scene, phone, ISO, 1/s,
kelvin, brightness) that hold ``NNNN_NOISY_RAW_010.MAT`` and ``NNNN_GT_RAW_010.MAT``, variable ``x``.

Blocks (validation): ``ValidationNoisyBlocksRaw.mat`` and ``ValidationGtBlocksRaw.mat``, each one variable of the file's
name, 40 images x 32 blocks x 256 x 256. They do not say which phone an image is of.

The layouts are those that are published; the files themselves were not at hand, and the loaders have been checked on
files made in the same form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.matlab import read_array
from rawsynth.pairs.noisy import NoisyPair, NoisyPairs
from rawsynth.raw.cfa import check_cfa, pack

PHONE_CFAS = {"GP": "BGGR", "IP": "RGGB", "S6": "GRBG", "N6": "BGGR", "G4": "BGGR"}
"""Layouts of the five phones: Google Pixel, iPhone 7, Galaxy S6 edge, Nexus 6, LG G4."""

NOISY_BLOCKS, CLEAN_BLOCKS = "ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw"
_FOLDER = re.compile(r"(\d{4})_(\d{3})_([A-Z0-9]{2})_(\d+)_(\d+)_(\d+)_([A-Z])")
_NOISY = re.compile(r"((?:\d{4}_)?)NOISY_RAW_(\d{3})\.MAT", re.IGNORECASE)


@dataclass(frozen=True)
class _Frame:
    noisy: str
    clean: str
    scene: str
    cfa: str
    iso: float


class SiddScenes(NoisyPairs):
    """Full frames of SIDD-Small or SIDD-Medium raw.

    Args:
        url: the data set's folder, or its ``Data``.

    Raises:
        UsageError: no frames there, or a noisy one without its reference; the message names it.
        InputAccessError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        names = [name for name, _ in storage.walk_files(url)]
        known, self._frames = set(names), dict[str, _Frame]()
        for name in names:
            place, file = name.rpartition("/")[::2]
            noisy, folder = _NOISY.fullmatch(file), _FOLDER.fullmatch(place.rpartition("/")[2])
            if noisy is None or folder is None:
                continue
            clean = f"{place}/{file.replace('NOISY', 'GT').replace('noisy', 'gt')}"
            if clean not in known:
                raise UsageError(f"{url}: {name} has no reference {clean}; unpack the whole data set again.")
            if folder[3] not in PHONE_CFAS:
                raise UsageError(f"{url}: {name}: no phone of SIDD is called {folder[3]!r}: {', '.join(PHONE_CFAS)}.")
            self._frames[f"{folder[0]}/{noisy[2]}"] = _Frame(
                noisy=storage.join(url, name),
                clean=storage.join(url, clean),
                scene=folder[2],
                cfa=PHONE_CFAS[folder[3]],
                iso=float(folder[4]),
            )
        if not self._frames:
            wanted = "folders such as 0001_001_S6_00100_00060_3200_L with 0001_NOISY_RAW_010.MAT in them"
            raise UsageError(f"{url}: no frames of SIDD raw among {len(names)} files; wanted {wanted}.")
        self.keys = list(self._frames)
        self.scenes = [frame.scene for frame in self._frames.values()]

    def __getitem__(self, index: int) -> NoisyPair:
        """Read one frame; see :meth:`NoisyPairs.__getitem__`."""
        key = self.keys[index]
        frame = self._frames[key]
        noisy, clean = (_packed(read_array(place, "x"), place) for place in (frame.noisy, frame.clean))
        if noisy.shape != clean.shape:
            raise SampleError(f"{frame.noisy} and {frame.clean} differ in size; one of them is another frame's.")
        meta = {"camera": key.split("_")[2], "iso": frame.iso}
        return NoisyPair(key, frame.scene, noisy, clean, frame.cfa, meta)


class SiddBlocks(NoisyPairs):
    """The validation blocks, all in memory: 340 MB a file as they come.

    Args:
        url: folder of the two files.
        cfas: layout of each image; the files do not say it. Without it blocks are packed as if all were RGGB, which
            leaves scores as they are and misleads a denoiser that knows colours.

    Raises:
        UsageError: another number of layouts than of images.
        SampleError: the files are damaged or do not match.
        InputAccessError: they cannot be reached.
    """

    def __init__(self, url: str, *, cfas: list[str] | None = None) -> None:
        places = [storage.join(url, f"{name}.mat") for name in (NOISY_BLOCKS, CLEAN_BLOCKS)]
        arrays = [read_array(place, name) for place, name in zip(places, (NOISY_BLOCKS, CLEAN_BLOCKS), strict=True)]
        for place, array in zip(places, arrays, strict=True):
            if array.ndim != 4 or array.shape != arrays[0].shape or array.shape[2] % 2 or array.shape[3] % 2:
                raise SampleError(f"{place}: wanted images x blocks x even height x width, got {array.shape}.")
        self._noisy, self._clean = arrays
        images, blocks = self._noisy.shape[:2]
        self._cfas = ["RGGB"] * images if cfas is None else [check_cfa(cfa) for cfa in cfas]
        if len(self._cfas) != images:
            raise UsageError(f"{url} has {images} images; got layouts for {len(self._cfas)}.")
        self._places, self._blocks = places, blocks
        self.keys = [f"{image:02d}/{block:02d}" for image in range(images) for block in range(blocks)]
        self.scenes = [f"{image:02d}" for image in range(images) for _ in range(blocks)]

    def __getitem__(self, index: int) -> NoisyPair:
        """Return one block; see :meth:`NoisyPairs.__getitem__`."""
        image, block = divmod(range(len(self))[index], self._blocks)
        noisy, clean = (
            _packed(array[image, block], place)
            for array, place in zip((self._noisy, self._clean), self._places, strict=True)
        )
        return NoisyPair(self.keys[index], self.scenes[index], noisy, clean, self._cfas[image])


def open_sidd(url: str) -> NoisyPairs:
    """Open what is there: validation blocks, or scenes.

    Raises:
        UsageError: neither.
        SampleError: blocks that are damaged.
        InputAccessError: it cannot be reached.
    """
    if not storage.exists(url):
        raise InputAccessError(f"cannot read {url}: no such folder.")
    has_blocks = storage.exists(storage.join(url, f"{NOISY_BLOCKS}.mat"))
    return SiddBlocks(url) if has_blocks else SiddScenes(url)


def _packed(array: np.ndarray, place: str) -> Tensor:
    if array.ndim != 2 or array.shape[0] % 2 or array.shape[1] % 2:
        raise SampleError(f"{place}: a RAW image has two even sides; got {array.shape}.")
    mosaic = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if not bool(mosaic.isfinite().all()):
        raise SampleError(f"{place} holds NaN or infinity; read the data set again from its source.")
    return pack(mosaic)
