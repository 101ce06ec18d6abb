"""Photographs as material for surrogates: read once, reduced in linear light, held in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_LEAST_SIDE = 256
_STEPS = 65535


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Attributes:
        name: path within its folder.
        codes: ``(3, H, W)`` uint16, sRGB-coded light; its linear values were averaged.
        sha256: of the file.
    """

    name: str
    codes: NDArray[np.uint16]
    sha256: str

    def srgb(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return ``(3, len(rows), len(columns))`` float32 sRGB in [0, 1] of some rows and columns."""
        picked = self.codes[:, rows.numpy()[:, None], columns.numpy()[None, :]]
        return torch.from_numpy(picked.astype(np.float32)) / _STEPS


def read_photographs(
    location: str,
    *,
    longer: int = 1600,
    least_reduction: float = 2.0,
    cache: str | None = None,
    observe: Callable[[str], None] | None = None,
) -> list[Photograph]:
    """Read the photographs of a folder, in the order of their names; hidden files are no photographs.

    Each is averaged over areas, in linear light, by ``least_reduction`` at least and to at most ``longer`` pixels on
    its longer side: that takes out JPEG blocks, demosaicing and sharpening, which are another ISP's.

    Args:
        location: folder or URL.
        longer: longest side that is kept.
        least_reduction: pictures of less than twice the least side are reduced by less.
        cache: folder or URL that keeps the reduced pictures, by their files' hashes; from a local one they are mapped
            into memory as they are used, so that any number of them can be had.
        observe: is told of every picture that is left out, and why.

    Raises:
        UsageError: there is none that can be used.
        InputAccessError: the folder cannot be listed, or a file cannot be read.
        OutputError: the cache cannot be written.
    """
    tell = observe or (lambda text: None)
    found: list[Photograph] = []
    seen: dict[str, str] = {}
    for name, _ in storage.walk_files(location):
        hidden = any(part.startswith(".") for part in name.split("/"))
        if hidden or not name.lower().endswith(SUFFIXES):
            continue
        data = storage.read_bytes(storage.join(location, name))
        sha256 = hashlib.sha256(data).hexdigest()
        if (before := seen.setdefault(sha256, name)) != name:
            # It might be learned from and kept back at once.
            tell(f"{name}: left out: the same file as {before}.")
            continue
        kept = None if cache is None else storage.join(cache, f"{sha256}-{longer}-{least_reduction:g}.npy")
        codes = _recalled(kept)
        if codes is None:
            try:
                reduced = _reduced(data, longer, least_reduction)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                tell(f"{name}: left out: {error}")
                continue
            codes = _kept(reduced, kept)
        if min(codes.shape[1:]) < _LEAST_SIDE:
            tell(f"{name}: left out: {codes.shape[2]}x{codes.shape[1]} after reduction, less than {_LEAST_SIDE}.")
            continue
        found.append(Photograph(name, codes, sha256))
    if not found:
        raise UsageError(f"{location}: no photograph of at least {_LEAST_SIDE} pixels a side in it.")
    return found


def decode_photograph(
    name: str, data: bytes, *, longer: int = 1600, least_reduction: float = 2.0
) -> Photograph:
    """Read one photograph's file as :func:`read_photographs` does.

    Raises:
        UsageError: it cannot be decoded.
    """
    try:
        codes = _reduced(data, longer, least_reduction)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{name}: no photograph that can be read: {error}") from error
    return Photograph(name, codes, hashlib.sha256(data).hexdigest())


def _recalled(kept: str | None) -> NDArray[np.uint16] | None:
    """Return what a cache holds; ``None`` where it holds nothing, or nothing whole."""
    if kept is None or not storage.exists(kept):
        return None
    local = storage.is_local(kept)
    try:
        codes = (
            np.load(storage.absolute(kept), mmap_mode="r", allow_pickle=False)
            if local
            else np.load(io.BytesIO(storage.read_bytes(kept)), allow_pickle=False)
        )
    except (ValueError, EOFError):
        return None
    return codes if codes.dtype == np.uint16 and codes.ndim == 3 and len(codes) == 3 else None


def _kept(codes: NDArray[np.uint16], kept: str | None) -> NDArray[np.uint16]:
    if kept is None:
        return codes
    buffer = io.BytesIO()
    np.save(buffer, codes, allow_pickle=False)
    storage.write_atomic(kept, buffer.getvalue())
    recalled = _recalled(kept)
    return codes if recalled is None else recalled


def _reduced(data: bytes, longer: int, least_reduction: float) -> NDArray[np.uint16]:
    with Image.open(io.BytesIO(data)) as opened:
        if opened.mode.startswith(("I", "F")):
            raise ValueError(f"grey of more than 8 bits ({opened.mode}) is no sRGB photograph.")
        image = ImageOps.exif_transpose(opened).convert("RGB")
    reduction = max(least_reduction, max(image.size) / longer)
    reduction = max(1.0, min(reduction, min(image.size) / _LEAST_SIDE))
    size = (round(image.width / reduction), round(image.height / reduction))
    codes = np.arange(256) / 255.0
    table = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4).astype(np.float32)
    planes = []
    for channel in image.split():
        light = Image.fromarray(table[np.asarray(channel)])
        x = np.asarray(light.resize(size, Image.Resampling.BOX)).clip(0, 1)
        coded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)
        planes.append((coded * _STEPS).round().astype(np.uint16))
    return np.stack(planes)
