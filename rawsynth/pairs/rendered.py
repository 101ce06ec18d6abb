"""Pairs of a real RAW and an sRGB that real software developed from it, pixel on site."""

from __future__ import annotations

import io
import itertools
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawsynth import seeding
from rawsynth.errors import SampleError
from rawsynth.pairs.align import MIN_SCORE, Alignment, align, mosaic_luma, srgb_luma
from rawsynth.pairs.camera import PairOptions, match
from rawsynth.pairs.developers import IN_PROCESS, DeveloperStyle, develop
from rawsynth.pairs.renditions import fits
from rawsynth.pairs.sources import RawSource
from rawsynth.raw.files import RawFile
from rawsynth.raw.orientation import between, upright

CAMERA = DeveloperStyle("camera", "jpeg")
"""The camera's own JPEG, which no program has to develop."""

Crop = tuple[int, int, int, int]
"""Top, left, height and width of a window in pixels of the sRGB, all even."""

_UNIT = 65535
_QUALITIES, _LOSSLESS_SHARE = (70, 98), 0.25
# A shift of more than half a pixel would be another whole one.
_MAX_RESIDUAL_PX = 0.6


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """One frame.

    Attributes:
        file: name of the RAW file.
        software, style: what developed it.
        coding: ``"png"``, or JPEG with its quality and chroma sampling, as ``"jpeg 83 4:2:0"``.
        srgb: ``(3, H, W)`` uint8, H and W even.
        packed: ``(4, H/2, W/2)`` uint16, RGGB: RAW in [0, 1] times 65535.
        cam_from_srgb: ``(3, 3)``, of the file; rows sum to 1.
        white_balance: as-shot gains (red, blue), green 1.
        score: of the alignment, see :func:`rawsynth.pairs.align.align`.
        shift: rows and columns by which the sRGB lay on the RAW before it was cut to fit.
    """

    file: str
    software: str
    style: str
    coding: str
    srgb: NDArray[np.uint8] = field(repr=False)
    packed: NDArray[np.uint16] = field(repr=False)
    cam_from_srgb: NDArray[np.float64]
    white_balance: tuple[float, float]
    score: float
    shift: tuple[int, int]

    def planes(self, crop: Crop) -> NDArray[np.float32]:
        """Return the RAW of a crop ``(top, left, h, w)`` in even pixels as ``(4, h/2, w/2)`` float32 in [0, 1]."""
        top, left, height, width = (value // 2 for value in crop)
        return self.packed[:, top : top + height, left : left + width].astype(np.float32) / np.float32(_UNIT)


def crops_of(height: int, width: int, *, side: int = 512, rows: int = 3, columns: int = 4) -> list[Crop]:
    """Return windows ``(top, left, height, width)`` spread evenly over a frame, on even pixels, none over another.

    >>> crops_of(1024, 600)
    [(0, 44, 512, 512), (512, 44, 512, 512)]
    """
    high, wide = min(side, height), min(side, width)
    tops, lefts = (_spread(full, size, n) for full, size, n in ((height, high, rows), (width, wide, columns)))
    return [(top, left, high, wide) for top, left in itertools.product(tops, lefts)]


def _spread(full: int, size: int, most: int) -> list[int]:
    n = min(most, full // size)
    return [int((k + 0.5) * full / n - size / 2) // 2 * 2 for k in range(n)]


def make_pair(raw: RawFile, style: DeveloperStyle, work: Path) -> RenderedPair:
    """Develop a file in one style, code it, and lay it on its RAW.

    Raises:
        SampleError: no white balance or matrix in the file, a program that fails, or an sRGB that does not fit.
    """
    coded, coding = code(develop(raw, style, work), f"{Path(raw.url).name}/{style.name}")
    raw_luma = mosaic_luma(raw.mosaic, raw.cfa, black=raw.black, white=raw.white, white_balance=raw.white_balance)
    # RawTherapee turns images, but does not mirror them.
    turns = {1} if style.software in ("libraw", IN_PROCESS) else {1, between(1, raw.orientation)}
    turned = [np.ascontiguousarray(upright(coded, turn)) for turn in sorted(turns)]
    tried = [(align(srgb_luma(srgb), raw_luma), srgb) for srgb in turned if fits(srgb.shape[1:], raw.mosaic.shape)]
    if not tried:
        raise SampleError(f"{raw.url}: {style.name} is {coded.shape[2]}x{coded.shape[1]}, not of the RAW's size.")
    laid, srgb = max(tried, key=lambda pair: pair[0].score)
    return _pair(raw, style, coding, srgb, laid)


def camera_pair(source: RawSource) -> RenderedPair:
    """Lay the camera's own JPEG, beside the file or in it, on the RAW.

    Raises:
        SampleError: there is none of full size, or it does not fit.
    """
    found = match(source, PairOptions(srgb="jpeg" if source.jpegs else "preview"))
    if found.fault is not None or found.srgb is None or found.alignment is None:
        raise SampleError(f"{source.url}: {found.fault.reason if found.fault else 'no sRGB image'}")
    return _pair(found.raw, CAMERA, "jpeg", found.srgb, found.alignment)


def _pair(
    raw: RawFile, style: DeveloperStyle, coding: str, srgb: NDArray[np.uint8], laid: Alignment
) -> RenderedPair:
    if raw.white_balance is None or raw.cam_from_srgb is None:
        raise SampleError(f"{raw.url}: no as-shot white balance or no colour matrix, so its RAW cannot be predicted.")
    if laid.score < MIN_SCORE or laid.residual_px > _MAX_RESIDUAL_PX:
        raise SampleError(
            f"{raw.url}: {style.name} does not lie on the RAW: score {laid.score:.2f}, wanted {MIN_SCORE}; "
            f"{laid.residual_px:.2f} px off, wanted {_MAX_RESIDUAL_PX} at most. Is lens correction or cropping on?"
        )
    srgb, packed = _cut(srgb, raw, laid.dy, laid.dx)
    return RenderedPair(
        Path(raw.url).name, style.software, style.style, coding, srgb, packed, raw.cam_from_srgb,
        raw.white_balance, laid.score, (laid.dy, laid.dx),
    )  # fmt: skip


def code(srgb: NDArray[np.uint8], key: str) -> tuple[NDArray[np.uint8], str]:
    """Store ``(3, H, W)`` as most photographs are: one in four lossless, the others JPEG, as the key decides.

    Returns:
        What a reader gets, and how it was coded: quality 70 to 98, chroma 4:2:0 or 4:4:4.
    """
    rng = seeding.scalar_rng(seeding.sample_seed(0, key, "rendering"))
    quality, sampling = int(rng.integers(_QUALITIES[0], _QUALITIES[1] + 1)), ("4:2:0", "4:4:4")[rng.integers(2)]
    if rng.random() < _LOSSLESS_SHARE:
        return srgb, "png"
    stream = io.BytesIO()
    Image.fromarray(srgb.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality, subsampling=sampling)
    decoded = np.asarray(Image.open(stream)).transpose(2, 0, 1)
    return np.ascontiguousarray(decoded), f"jpeg {quality} {sampling}"


def pair_name(file: str, style: DeveloperStyle) -> str:
    """Return what the pair of a RAW file and a style is stored as, without the suffix."""
    return f"{file}-{style.name}"


def save(pair: RenderedPair, path: Path) -> None:
    """Write a pair as ``.npz``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    fields: dict[str, Any] = {
        "srgb": pair.srgb, "raw": pair.packed, "cam_from_srgb": pair.cam_from_srgb,
        "white_balance": pair.white_balance, "raw_file": pair.file, "software": pair.software, "style": pair.style,
        "coding": pair.coding, "score": pair.score, "shift": pair.shift,
    }  # fmt: skip
    with part.open("wb") as stream:
        np.savez(stream, **fields)
    part.replace(path)


def load(path: Path) -> RenderedPair:
    """Read what :func:`save` wrote.

    Raises:
        SampleError: it is damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            fields: dict[str, Any] = {name: stored[name] for name in stored.files}
        return _from_fields(fields)
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SampleError(f"{path}: no pair that can be read ({error}); remove it, and it is made again.") from error


def _from_fields(fields: dict[str, Any]) -> RenderedPair:
    red, blue = fields["white_balance"].tolist()
    return RenderedPair(
        file=str(fields["raw_file"]), software=str(fields["software"]), style=str(fields["style"]),
        coding=str(fields["coding"]), srgb=fields["srgb"], packed=fields["raw"],
        cam_from_srgb=fields["cam_from_srgb"], white_balance=(red, blue), score=float(fields["score"]),
        shift=(int(fields["shift"][0]), int(fields["shift"][1])),
    )  # fmt: skip


def _cut(
    srgb: NDArray[np.uint8], raw: RawFile, dy: int, dx: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return what both show, from a red site on, with even sides."""
    site = raw.cfa.index("R")
    height, width = raw.mosaic.shape
    top, left = (_from_phase(start, phase) for start, phase in ((max(0, dy), site // 2), (max(0, dx), site % 2)))
    rows = (min(height, srgb.shape[1] + dy) - top) // 2 * 2
    columns = (min(width, srgb.shape[2] + dx) - left) // 2 * 2
    black = np.tile(np.reshape(raw.black, (2, 2)), (height // 2 + 1, width // 2 + 1))[:height, :width]
    unit = (raw.mosaic.astype(np.float32) - black) / (raw.white - black.astype(np.float32))
    mosaic = np.round(unit.clip(0, 1) * _UNIT).astype(np.uint16)[top : top + rows, left : left + columns]
    packed = np.stack([mosaic[k // 2 :: 2, k % 2 :: 2] for k in range(4)])
    return np.ascontiguousarray(srgb[:, top - dy : top - dy + rows, left - dx : left - dx + columns]), packed


def _from_phase(start: int, phase: int) -> int:
    return start + (phase - start) % 2
