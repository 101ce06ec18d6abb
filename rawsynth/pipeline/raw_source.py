"""Camera RAW files as sources: no reverse ISP, only levels, phase and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.cameras import builtin_cameras
from rawsynth.errors import SampleError
from rawsynth.raw.files import RawFile, decode_raw
from rawsynth.raw.levels import Levels
from rawsynth.raw.metadata import float32
from rawsynth.raw.reduction import reduce_sites

RAW_METHOD = "raw"
"""Stands in a sample's JSON in the place of a reverse ISP."""

RAW_CLEAN_LEVELS = Levels(black_level=4096, white_level=65535, bits=16)
"""Levels of a clean image that a sensor took: its own noise goes below black, and clipping it would add light."""

_VERSION = "1"


@dataclass(frozen=True)
class RawChoices:
    """What of a configuration concerns camera RAW.

    Attributes:
        cfa: layout that the planes get, or ``"camera"`` for the sensor's own.
        cameras: names of the cameras whose noise can be added, where each image gets that of its own camera.
    """

    cfa: str = "RGGB"
    cameras: frozenset[str] | None = None


@dataclass(frozen=True)
class RawSource:
    """A decoded RAW file.

    Attributes:
        packed: ``(4, h, w)`` float32 on the unit scale, in sensor orientation.
        raw: what a sample's JSON has under ``raw``.
        source: what it has under ``source``, besides where the file lies.
    """

    packed: NDArray[np.float32]
    raw: Mapping[str, Any]
    source: Mapping[str, Any]


def decode_source(data: bytes, name: str, *, max_pixels: int, downscale: float, choices: RawChoices) -> RawSource:
    """Decode a camera RAW file.

    Args:
        data: the file's bytes.
        name: what messages call it.
        max_pixels: most sites, checked before any is decoded.
        downscale: whole number by which :func:`~rawsynth.raw.reduction.reduce_sites` makes it smaller.
        choices: layout and cameras.

    Raises:
        SampleError: damaged, too large, no 2x2 Bayer mosaic, a downscale that is no whole number, or a camera whose
            noise is wanted and not known.
    """
    if downscale != int(downscale):
        raise SampleError(f"camera RAW is made smaller by whole numbers, downscale is {downscale:g}; give it alone")
    file = decode_raw(data, name, max_pixels=max_pixels)
    if choices.cameras is not None and _camera(file) not in choices.cameras:
        raise SampleError(
            f"the noise is to be of each image's camera, and there is none of {_camera(file)!r} at the ISO asked for; "
            "name one with --noise-camera (see `rawsynth cameras --with noise`)"
        )
    cfa, top, left = _phase(file.cfa, choices.cfa)
    packed = reduce_sites(_unit_planes(file, top, left), int(downscale))
    height, width = file.mosaic.shape
    source = {"height": height, "width": width, "sensor": _sensor(file), "phase": [top, left]}
    if file.orientation != 1:
        source["orientation"] = file.orientation
    if downscale > 1:
        source["downscale"] = downscale
    return RawSource(packed, _raw(file, cfa), source)


def _phase(own: str, wanted: str) -> tuple[str, int, int]:
    """Return the layout, and how many rows and columns to drop for it: every Bayer layout is a shift of every other."""
    if wanted == "camera":
        return own, 0, 0
    shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
    found = next(
        (top, left)
        for top, left in shifts
        if "".join(own[2 * ((k // 2 + top) % 2) + (k % 2 + left) % 2] for k in range(4)) == wanted
    )
    return wanted, *found


def _unit_planes(file: RawFile, top: int, left: int) -> NDArray[np.float32]:
    """Return the planes from a site on, on the unit scale; each site by its own black level."""
    rows, columns = ((side - drop) // 2 for side, drop in zip(file.mosaic.shape, (top, left), strict=True))
    if rows < 1 or columns < 1:
        raise SampleError(f"want a whole 2x2 tile, got {file.mosaic.shape[1]}x{file.mosaic.shape[0]} sites")
    planes = np.empty((4, rows, columns), np.float32)
    for k in range(4):
        row, column = k // 2 + top, k % 2 + left
        black = file.black[2 * (row % 2) + column % 2]
        if file.white <= black:
            raise SampleError(f"its white level {file.white} is not above its black level {black}")
        sites = file.mosaic[row::2, column::2][:rows, :columns]
        planes[k] = (sites.astype(np.float32) - black) / np.float32(file.white - black)
    return planes


def _raw(file: RawFile, cfa: str) -> dict[str, Any]:
    """What is not in the file stands as in :meth:`RawMetadata.neutral`; ``source.sensor`` says so."""
    matrix = np.eye(3) if file.cam_from_srgb is None else file.cam_from_srgb
    return {
        "method": RAW_METHOD,
        "method_version": _VERSION,
        "camera": _camera(file),
        "cct": None,
        "cfa": cfa,
        "cam_from_srgb": float32(matrix),
        "white_balance": float32(file.white_balance or (1.0, 1.0)),
        "rgb_gain": 1.0,
    }


def _camera(file: RawFile) -> str | None:
    """Name of the built-in camera that the file is of, or what the file says."""
    named = file.camera
    known = {name.lower(): name for name in builtin_cameras()}
    return None if named is None else known.get(named.lower(), named)


def _sensor(file: RawFile) -> dict[str, Any]:
    return {
        "cfa": file.cfa,
        "black_level": list(file.black),
        "white_level": file.white,
        "make": file.make,
        "model": file.model,
        "iso": file.iso,
        "exposure_s": file.exposure_s,
        "states_matrix": file.cam_from_srgb is not None,
        "states_white_balance": file.white_balance is not None,
    }
