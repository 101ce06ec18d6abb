"""Photographs as material: reduced in linear light, in a fixed order, cached, with what cannot be used named."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pairs.photographs import read_photographs


def encoded(pixels: Any, fmt: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, one below a folder, and what is none: small, damaged, hidden, a copy, 16-bit grey, a text."""
    path = tmp_path / "photographs"
    (path / "b" / ".thumbnails").mkdir(parents=True)
    (path / "b" / "astronaut.png").write_bytes(encoded(data.astronaut()))
    (path / "a.JPG").write_bytes(encoded(data.coffee(), "JPEG"))
    (path / "small.png").write_bytes(encoded(data.coffee()[:200]))
    (path / "damaged.png").write_bytes(encoded(data.coffee())[:5000])
    (path / "b" / ".thumbnails" / "c.png").write_bytes(encoded(data.coffee()))
    (path / "b" / "copy.jpg").write_bytes((path / "a.JPG").read_bytes())
    (path / "grey.png").write_bytes(encoded(data.camera().astype(np.uint16) * 257))
    (path / "licence.txt").write_text("CC0")
    return path


def test_what_is_read_and_what_is_left_out(folder: Path) -> None:
    told: list[str] = []
    found = read_photographs(str(folder), observe=told.append)
    assert [p.name for p in found] == ["a.JPG", "b/astronaut.png"]
    assert [p.sha256 for p in found] == [hashlib.sha256((folder / p.name).read_bytes()).hexdigest() for p in found]
    assert [text.split(":")[0] for text in told] == ["b/copy.jpg", "damaged.png", "grey.png", "small.png"]
    assert "the same file as a.JPG" in told[0] and "more than 8 bits" in told[2]
    # Halved at least, but not below 256 pixels a side.
    assert [p.codes.shape for p in found] == [(3, 256, 384), (3, 256, 256)]
    assert max(read_photographs(str(folder), longer=300)[0].codes.shape) == 384


def test_light_is_averaged_linearly(tmp_path: Path) -> None:
    """A chequerboard of black and white is half the light, which sRGB codes as 0.7354, not 0.5."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    (tmp_path / "board.png").write_bytes(encoded(np.repeat(board[..., None], 3, axis=2).astype(np.uint8)))
    (codes,) = (p.codes for p in read_photographs(str(tmp_path)))
    assert codes.shape == (3, 256, 256)
    np.testing.assert_allclose(codes / 65535, 0.735357, atol=2e-5)


def test_orientation_is_undone(tmp_path: Path) -> None:
    image = Image.fromarray(data.coffee())
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert read_photographs(str(tmp_path))[0].codes.shape == (3, 384, 256)


def test_rows_and_columns(folder: Path) -> None:
    photograph = read_photographs(str(folder))[0]
    rows, columns = torch.tensor([3, 200, 7]), torch.tensor([380, 0])
    picked = photograph.srgb(rows, columns)
    assert picked.shape == (3, 3, 2) and picked.dtype == torch.float32
    assert picked[1, 1, 0] == np.float32(photograph.codes[1, 200, 380]) / np.float32(65535)


@pytest.mark.parametrize("remote", [False, True])
def test_a_cache_changes_nothing_and_is_used(folder: Path, tmp_path: Path, memory: Any, remote: bool) -> None:
    cache = "memory://cache" if remote else str(tmp_path / "cache")
    plain = read_photographs(str(folder))
    made = read_photographs(str(folder), cache=cache)
    names = [f"{p.sha256}-1600-2.npy" for p in plain]
    for photograph, name in zip(plain, names, strict=True):
        stored = np.load(io.BytesIO(_stored(cache, name, memory)), allow_pickle=False)
        assert np.array_equal(stored, photograph.codes)
    again = read_photographs(str(folder), cache=cache)
    for sets in (made, again):
        assert all(np.array_equal(a.codes, b.codes) for a, b in zip(plain, sets, strict=True))
    if not remote:
        assert isinstance(again[0].codes, np.memmap)
        # Damaged or foreign files in it are made again.
        (tmp_path / "cache" / names[0]).write_bytes(b"\x93NUMPY no")
        (tmp_path / "cache" / names[1]).write_bytes((tmp_path / "cache" / names[1]).read_bytes()[:-100])
        healed = read_photographs(str(folder), cache=cache)
        assert all(np.array_equal(a.codes, b.codes) for a, b in zip(plain, healed, strict=True))


def _stored(cache: str, name: str, memory: Any) -> bytes:
    return bytes(memory.cat_file(f"/cache/{name}")) if "://" in cache else (Path(cache) / name).read_bytes()


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no photograph of at least 256"):
        read_photographs(str(tmp_path))
    with pytest.raises((UsageError, InputAccessError), match="nowhere"):
        read_photographs(str(tmp_path / "nowhere"))
