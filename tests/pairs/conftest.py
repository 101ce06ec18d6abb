"""Shots as a camera leaves them: a DNG, and a JPEG of it that was rendered without rawsynth."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import dng

_TURNED_BACK = {6: 8, 8: 6}


@dataclass(frozen=True)
class Shot:
    """What is known of a shot: the DN, and the JPEG's pixels (H, W, 3) as they lie on the sensor."""

    stem: str
    cfa: str
    mosaic: np.ndarray
    pixels: np.ndarray
    shift: tuple[int, int]

    def check_pair(self, members: dict[str, bytes], meta: dict[str, Any]) -> None:
        """Assert that a pair has this shot's DN, red first, and the JPEG's pixels of the same place."""
        import io

        from PIL import Image

        top, left, height, width = meta["crop"]["raw"]
        assert self.cfa[top % 2 * 2 + left % 2] == "R"
        window = self.mosaic[top : top + height, left : left + width]
        planes = np.load(io.BytesIO(members["raw.npy"]), allow_pickle=False)
        assert planes.dtype == np.uint16 and planes.shape == (4, height // 2, width // 2)
        assert all(np.array_equal(planes[k], window[k // 2 :: 2, k % 2 :: 2]) for k in range(4))
        top, left = top - self.shift[0], left - self.shift[1]
        assert meta["crop"]["srgb"] == [top, left, height, width]
        stored = np.asarray(Image.open(io.BytesIO(members["srgb.png"])))
        assert np.array_equal(stored, self.pixels[top : top + height, left : left + width])


@pytest.fixture(scope="session")
def shoot() -> Callable[..., Shot]:
    """``shoot(folder, stem, ...)``: write ``STEM.dng`` and, unless ``stored`` is ``None``, ``STEM.jpg``.

    shift:  sRGB pixel (y, x) shows sensor pixel (y + dy, x + dx)
    stored: ``"tagged"``, pixels as they lie on the sensor and an orientation; ``"upright"``, turned and no tag
    """

    def make(
        folder: Path,
        stem: str = "IMG_1",
        *,
        photo: str = "coffee",
        size: tuple[int, int] = (256, 384),
        cfa: str = "RGGB",
        orientation: int = 1,
        shift: tuple[int, int] = (0, 0),
        stored: str | None = "tagged",
        quality: int = 90,
        look: Callable[[np.ndarray], np.ndarray] = dng.camera_look,
        **options: Any,
    ) -> Shot:
        folder.mkdir(parents=True, exist_ok=True)
        scene = dng.photograph(photo, *size)
        up, left = (max(0, -side) for side in shift)
        mosaic = dng.sensor(scene[up:, left:], cfa)
        (folder / f"{stem}.dng").write_bytes(dng.dng(mosaic, cfa, orientation=orientation, **options))
        pixels = look(scene)[max(0, shift[0]) :, max(0, shift[1]) :]
        if stored is not None:
            kept = pixels if stored == "tagged" else dng.seen(pixels, orientation)
            tag = orientation if stored == "tagged" else None
            encoded = dng.jpeg(kept, quality=quality, orientation=tag)
            (folder / f"{stem}.jpg").write_bytes(encoded)
            pixels = dng.decoded(encoded)
            if stored == "upright":
                pixels = dng.seen(pixels, _TURNED_BACK.get(orientation, orientation))
        return Shot(stem, cfa, mosaic, pixels, shift)

    return make
