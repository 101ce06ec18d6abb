"""The cameras that come with the package: a table of colour matrices, and noise by ISO in one file a camera.

``color_matrices.tsv`` restates the figures of 330 cameras; ``profiles/*.toml`` those of cameras whose noise was
measured, each with its sources. A camera that is in both takes its colour from the table.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np

from rawsynth.cameras.profile import CameraProfile, camera_from_dict
from rawsynth.raw.levels import Levels

COLOR_SOURCE = "colour: XYZ-to-camera matrices of Adobe's DNG tables, as listed by dnglab"
_LEVEL_SOURCES = {
    "": "levels: as listed by dnglab",
    "black": "levels: white as listed by dnglab; black nominal, 512 at 14 bits",
    "both": "levels: nominal, black 512 and white 16383 at 14 bits",
}


@cache
def builtin_cameras() -> Mapping[str, CameraProfile]:
    """Return the profiles that come with the package, by name."""
    cameras = {camera.name: camera for camera in _color_table()}
    folder = resources.files("rawsynth.cameras") / "profiles"
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name):
        camera = camera_from_dict(tomllib.loads(file.read_text("utf-8")), file.name)
        listed = cameras.get(camera.name)
        if listed is not None and not camera.cam_from_xyz:
            camera = replace(camera, cam_from_xyz=listed.cam_from_xyz, sources=(*camera.sources, COLOR_SOURCE))
        cameras[camera.name] = camera
    return dict(sorted(cameras.items()))


def without_noise(name: str) -> CameraProfile:
    """Return layout, levels and colour of a built-in camera, or assumed ones where there is no such camera."""
    listed = builtin_cameras().get(name)
    if listed is None:
        assumed = "levels and layout: nominal (512 to 16383 at 14 bits, RGGB); set those of your camera"
        return CameraProfile(name, "RGGB", nominal_levels(), nominal_levels=True, sources=(assumed,))
    kept = tuple(source for source in listed.sources if source.startswith(("levels:", "colour:")))
    return replace(listed, noise=None, sources=kept)


def nominal_levels(white_level: int | None = None) -> Levels:
    """Return levels where a source has none, or a white level only.

    Black is a 32nd of the full range: 512 at 14 bits, 128 at 12. White is the highest code, and bits the fewest of 10,
    12, 14 and 16 that hold it.

    >>> nominal_levels()
    Levels(black_level=512, white_level=16383, bits=14)
    >>> nominal_levels(4000)
    Levels(black_level=128, white_level=4000, bits=12)
    """
    bits = 14 if white_level is None else next(bits for bits in (10, 12, 14, 16) if white_level < 2**bits)
    return Levels(2**bits // 32, 2**bits - 1 if white_level is None else white_level, bits)


def _color_table() -> Iterator[CameraProfile]:
    text = (resources.files("rawsynth.cameras") / "color_matrices.tsv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        matrices = {name: row[name] for name in ("D65", "A") if row[name]}
        yield CameraProfile(
            name=row["name"],
            cfa=row["cfa"],
            levels=Levels(int(row["black_level"]), int(row["white_level"]), int(row["bits"])),
            nominal_levels=bool(row["nominal"]),
            cam_from_xyz={k: np.array(v.split(), dtype=np.float64).reshape(3, 3) for k, v in matrices.items()},
            sources=(COLOR_SOURCE, _LEVEL_SOURCES[row["nominal"]]),
        )
