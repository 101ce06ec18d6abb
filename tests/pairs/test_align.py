"""Shifts between a photograph's RAW and a rendering of it, both made without rawsynth, are found to the pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rawsynth.errors import SampleError
from rawsynth.pairs.align import MIN_SCORE, Alignment, align, grid, local_alignment, mosaic_luma, srgb_luma
from rawsynth.pairs.correlation import Luma
from rawsynth.raw.cfa import BAYER_LAYOUTS
from tests import dng

NAMES = ("astronaut", "coffee", "chelsea", "rocket")
SCENES = {name: dng.photograph(name) for name in NAMES}
LOOKS = {name: dng.camera_look(photo) for name, photo in SCENES.items()}


def raw_luma(photo: np.ndarray, cfa: str = "RGGB", *, noise: float = 0.0, black: tuple[int, ...] = (512,) * 4) -> Luma:
    mosaic = dng.sensor(photo, cfa, noise=noise, black=black)
    return mosaic_luma(mosaic, cfa, black=black, white=dng.WHITE, white_balance=dng.GAINS)


def jpeg_luma(pixels: np.ndarray, quality: int = 75) -> Luma:
    return srgb_luma(dng.decoded(dng.jpeg(pixels, quality=quality)).transpose(2, 0, 1))


RAWS = {name: raw_luma(photo) for name, photo in SCENES.items()}


# ---- lumas ----


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_a_plain_colour_has_one_luma(cfa: str) -> None:
    """A quarter red, half green, a quarter blue at every site, whatever its own colour and black level."""
    scene = np.zeros((20, 24, 3), np.uint8)
    scene[...] = (200, 90, 40)
    luma = raw_luma(scene, cfa, black=(500, 505, 510, 515))
    linear = np.where(scene[0, 0] / 255 <= 0.04045, 0, ((scene[0, 0] / 255 + 0.055) / 1.055) ** 2.4) * 0.8
    red, green, blue = dng.CAM_FROM_SRGB @ linear
    assert np.abs(luma - 255 * np.sqrt((red + 2 * green + blue) / 4)).max() < 0.3
    assert np.allclose(srgb_luma(scene.transpose(2, 0, 1)), (200 + 2 * 90 + 40) / 4)


def test_no_white_balance_is_taken_as_ones() -> None:
    mosaic = dng.sensor(SCENES["coffee"])
    levels = {"black": (512,) * 4, "white": dng.WHITE}
    assert np.array_equal(
        mosaic_luma(mosaic, "RGGB", **levels), mosaic_luma(mosaic, "RGGB", **levels, white_balance=(1.0, 1.0))
    )


# ---- whole images ----


@settings(max_examples=15)
@given(name=st.sampled_from(NAMES), dy=st.integers(-40, 40), dx=st.integers(-40, 40), quality=st.integers(40, 98))
def test_any_shift_is_found(name: str, dy: int, dx: int, quality: int) -> None:
    """Both images lack what the other has at its borders, as if cut out of a larger scene."""
    look, photo = LOOKS[name], SCENES[name]
    height, width = photo.shape[:2]
    seen = look[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    raw = RAWS[name][max(0, -dy) :, max(0, -dx) :]
    # The first pixel of each side's cut: look row max(0, dy) lies in raw row max(0, dy) - max(0, -dy) = dy.
    found = align(jpeg_luma(seen, quality), raw)
    assert (found.dy, found.dx) == (dy, dx)
    assert found.score > 0.6 and found.residual_px < 0.3


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.03])
def test_layouts_and_noise(cfa: str, noise: float) -> None:
    found = align(jpeg_luma(LOOKS["coffee"][7:-12, 11:-3]), raw_luma(SCENES["coffee"], cfa, noise=noise))
    assert (found.dy, found.dx) == (7, 11) and found.score > MIN_SCORE


RENDERINGS = {
    "as it is": lambda x: x,
    "gamma": lambda x: x**0.4,
    "dark": lambda x: x**2.2,
    "hard contrast": lambda x: ((x - 0.5) * 2.5 + 0.5).clip(0, 1),
    "warm": lambda x: (x * [1.2, 1, 0.6]).clip(0, 1),
    "saturated": lambda x: (x.mean(axis=2, keepdims=True) * -1.5 + 2.5 * x).clip(0, 1),
    "pale": lambda x: x.mean(axis=2, keepdims=True) * 0.8 + 0.2 * x,
    "smooth": lambda x: ndimage.gaussian_filter(x, (1.5, 1.5, 0)),
    "sharp": lambda x: (x + 2 * (x - ndimage.gaussian_filter(x, (1, 1, 0)))).clip(0, 1),
    "no highlights": lambda x: x.clip(0, 0.5) * 2,
}


@pytest.mark.parametrize("name", RENDERINGS)
def test_renderings(name: str) -> None:
    look = np.rint(RENDERINGS[name](SCENES["chelsea"] / 255) * 255).astype(np.uint8)
    found = align(jpeg_luma(look[9:, 4:-20]), RAWS["chelsea"])
    assert (found.dy, found.dx) == (9, 4) and found.score > 0.4


@pytest.mark.parametrize("max_shift", [0, 10, 64])
def test_the_search_reaches_as_far_as_asked(max_shift: int) -> None:
    inside = LOOKS["astronaut"][64:-64, 64:-64]
    for reach in (0, max_shift):
        raw = RAWS["astronaut"][reach:]
        raw = np.pad(raw, ((0, reach), (0, 0)), mode="edge")
        found = align(jpeg_luma(inside), raw, max_shift=max_shift)
        assert (found.dy, found.dx) == (64 - reach, 64)


@pytest.mark.parametrize("first", NAMES)
def test_other_photographs_score_low(first: str) -> None:
    for second in NAMES:
        found = align(jpeg_luma(LOOKS[first]), RAWS[second])
        assert (found.score > 2 * MIN_SCORE) if first == second else (found.score < MIN_SCORE / 1.5), second


@pytest.mark.parametrize("half", [(0.5, 0.0), (0.0, 0.5), (0.25, 0.25)])
def test_what_lies_between_pixels_is_told(half: tuple[float, float]) -> None:
    moved = ndimage.shift(LOOKS["astronaut"].astype(float), (-half[0], -half[1], 0), order=3, mode="nearest")
    found = align(jpeg_luma(moved.clip(0, 255).astype(np.uint8), 95), RAWS["astronaut"])
    assert found.residual_px == pytest.approx(np.hypot(*half), abs=0.12)


FLAT = {
    "one colour": np.full((300, 400, 3), 120, np.uint8),
    "a ramp": np.broadcast_to(np.linspace(40, 200, 400).astype(np.uint8)[None, :, None], (300, 400, 3)),
    "faint noise": np.random.default_rng(0).normal(120, 1.5, (300, 400, 3)).astype(np.uint8),
}


@pytest.mark.parametrize("name", FLAT)
def test_flat_images_cannot_be_aligned(name: str) -> None:
    with pytest.raises(SampleError, match="too flat to align"):
        align(jpeg_luma(FLAT[name], 95), RAWS["chelsea"])


# ---- windows ----


def test_a_window_that_lies_as_the_image_does() -> None:
    image = align(jpeg_luma(LOOKS["astronaut"]), RAWS["astronaut"])
    for window in grid((0, 0, 512, 512), (128, 128)):
        local = local_alignment(jpeg_luma(LOOKS["astronaut"]), RAWS["astronaut"], image, window)
        if local is not None and local.score > MIN_SCORE:
            assert (local.dy, local.dx) == (0, 0) and local.residual_px < 0.4, window


@settings(max_examples=12)
@given(dy=st.integers(-6, 6), dx=st.integers(-6, 6))
def test_a_window_that_lies_otherwise(dy: int, dx: int) -> None:
    luma = srgb_luma(LOOKS["astronaut"].transpose(2, 0, 1))
    local = local_alignment(luma, RAWS["astronaut"], Alignment(-dy, -dx, 1, 0), (40, 180, 200, 200))
    assert local is not None and (local.dy, local.dx) == (0, 0)
    assert local.residual_px == pytest.approx(np.hypot(dy, dx), abs=0.2)


@pytest.mark.parametrize(("scale", "off"), [(1.0, 0.0), (1.01, 2.5)])
def test_a_scale_shows_although_the_middle_is_in_place(scale: float, off: float) -> None:
    """One per cent puts the corners of a crop of 512 px 3.6 px off, those of its quarters' middles 1.8 px."""
    shrink = np.array([1 / scale, 1 / scale, 1])
    offset = np.array([255.5, 255.5, 0]) * (1 - shrink)
    look = ndimage.affine_transform(LOOKS["astronaut"].astype(float), shrink, offset, order=1, mode="nearest")
    luma = srgb_luma(look.astype(np.uint8).transpose(2, 0, 1))
    local = local_alignment(luma, RAWS["astronaut"], Alignment(0, 0, 1, 0), (0, 0, 512, 512))
    assert local is not None and (local.residual_px < 0.3 if off == 0 else 1.2 < local.residual_px < off)


def test_straight_edges_say_nothing_along_themselves() -> None:
    """Stripes are the same at any shift along them, which noise must not turn into a misalignment."""
    stripes = np.broadcast_to((np.arange(400) // 25 % 2 * 120 + 60).astype(np.uint8)[:, None, None], (400, 400, 3))
    raw = raw_luma(np.ascontiguousarray(stripes), noise=0.002)
    image = Alignment(0, 0, 1, 0)
    for window in grid((0, 0, 400, 400), (128, 128)):
        local = local_alignment(jpeg_luma(stripes), raw, image, window)
        assert local is not None and local.residual_px < 0.5, window


def test_a_flat_window_is_not_judged() -> None:
    look = LOOKS["astronaut"].copy()
    look[200:400, 200:400] = 90
    window = (210, 210, 180, 180)
    assert local_alignment(srgb_luma(look.transpose(2, 0, 1)), RAWS["astronaut"], Alignment(0, 0, 1, 0), window) is None


@given(
    top=st.integers(0, 9), left=st.integers(0, 9), height=st.integers(0, 300), width=st.integers(0, 300),
    size=st.integers(1, 40).map(lambda half: 2 * half),
)  # fmt: skip
def test_a_grid_fills_its_area_in_phase(top: int, left: int, height: int, width: int, size: int) -> None:
    windows = grid((top, left, height, width), (size, size))
    assert len(windows) == (height // size) * (width // size) == len(set(windows))
    covered = np.zeros((top + height, left + width), int)
    for y, x, h, w in windows:
        assert (h, w) == (size, size) and (y - top) % 2 == (x - left) % 2 == 0
        covered[y : y + h, x : x + w] += 1
    assert covered.max(initial=0) <= 1 and covered.sum() == len(windows) * size * size
