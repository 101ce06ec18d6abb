"""The oracle: exact where a cubic made the RAW, and never worse than what any other cubic leaves."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from rawsynth.evaluation.oracle import polynomial_oracle

Array = NDArray[np.float32]


def photograph(name: str, side: int = 64) -> NDArray[np.uint8]:
    return np.ascontiguousarray(getattr(data, name)()[100 : 100 + side, 100 : 100 + side].transpose(2, 0, 1))


def packed(rgb: NDArray[np.float64]) -> Array:
    """RGGB planes of an image (3, H, W)."""
    sites = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))
    return np.stack([rgb[c, i::2, j::2] for i, j, c in sites]).astype(np.float32)


def cubic(srgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A map of single pixels with cross terms, in [0, 1]."""
    r, g, b = srgb / 255
    return np.stack([0.1 + 0.3 * r**3 + 0.2 * r * g * b, 0.6 * g**2 + 0.1 * r * b, 0.05 + 0.4 * b - 0.1 * g * b**2])


def test_a_cubic_is_found_exactly() -> None:
    srgb = photograph("astronaut")
    raw = packed(cubic(srgb))
    assert np.abs(polynomial_oracle([srgb], [raw])[0] - raw).max() < 1e-4


def test_windows_share_one_polynomial() -> None:
    """Fitted to both, two windows of one map are right; of two maps neither is."""
    first, second = photograph("astronaut"), photograph("coffee")
    same = [packed(cubic(first)), packed(cubic(second))]
    for made, raw in zip(polynomial_oracle([first, second], same), same, strict=True):
        assert np.abs(made - raw).max() < 1e-4
    other = [same[0], 0.5 * same[1]]
    made = polynomial_oracle([first, second], other)
    assert all(np.abs(x - y).mean() > 1e-3 for x, y in zip(made, other, strict=True))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_no_cubic_of_ones_own_does_better(name: str) -> None:
    srgb = photograph(name)
    light = np.where(srgb / 255 <= 0.04045, srgb / 255 / 12.92, ((srgb / 255 + 0.055) / 1.055) ** 2.4)
    raw = packed(0.7 * light)
    error = np.square(polynomial_oracle([srgb], [raw])[0] - raw).mean()
    for guess in (0.7 * (srgb / 255) ** 2, 0.7 * (srgb / 255) ** 3, 0.35 * ((srgb / 255) ** 2 + (srgb / 255) ** 3)):
        assert error < np.square(packed(guess) - raw).mean()


def test_what_it_makes_is_clipped() -> None:
    srgb = photograph("coffee")
    raw = np.random.default_rng(0).integers(0, 2, (4, 32, 32)).astype(np.float32)
    made = polynomial_oracle([srgb], [raw])[0]
    assert made.dtype == np.float32 and 0 <= made.min() and made.max() <= 1
