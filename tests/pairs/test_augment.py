"""augment: whatever is cut and mirrored, the RAW stays the RGGB mosaic of its own sRGB."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs import Pair, Scoring, augment_pair, crop_pair
from rawsynth.pipeline.decode import decode_srgb
from rawsynth.raw.cfa import mosaic


def pair_of(srgb: torch.Tensor) -> Pair:
    """The pair whose RAW is, value for value, the mosaic of its sRGB."""
    raw = mosaic(srgb, "RGGB").float()
    return Pair("scene_7", "scene", srgb, raw, {"iso": 100}, Scoring(0, 1023, 1024, True))


def numbered(height: int, width: int) -> Pair:
    """A pair in which every pixel's three bytes are its own place, so that any move can be read off."""
    rows, columns = np.mgrid[:height, :width]
    return pair_of(torch.from_numpy(np.stack([rows, columns, 255 - rows]).astype(np.uint8)))


def place(pair: Pair) -> tuple[int, int, int, int]:
    """Offsets of the window, and the steps (1 or -1) in which rows and columns follow."""
    row, column = pair.srgb[0].int(), pair.srgb[1].int()
    step_down, step_right = row[1, 0] - row[0, 0], column[0, 1] - column[0, 0]
    return int(row.min()), int(column.min()), int(step_down), int(step_right)


EVEN = st.integers(1, 12).map(lambda half: 2 * half)


@given(sides=st.tuples(EVEN, EVEN), room=st.tuples(EVEN, EVEN), seed=st.integers(0, 2**32), flips=st.booleans())
def test_raw_stays_the_mosaic_of_srgb(
    sides: tuple[int, int], room: tuple[int, int], seed: int, flips: bool
) -> None:
    """``room`` is at least 2, which is what flips need."""
    pair = numbered(sides[0] + room[0], sides[1] + room[1])
    out = augment_pair(pair, np.random.default_rng(seed), crop=sides, flips=flips)
    assert out.srgb.shape == (3, *sides) and out.raw.shape == (4, sides[0] // 2, sides[1] // 2)
    assert torch.equal(out.raw, mosaic(out.srgb, "RGGB").float())
    top, left, step_down, step_right = place(out)
    window = pair.srgb[:, top : top + sides[0], left : left + sides[1]]
    mirrored = window.flip([dim for dim, step in ((-2, step_down), (-1, step_right)) if step < 0])
    assert torch.equal(out.srgb, mirrored)
    if not flips:
        assert (step_down, step_right) == (1, 1)


def test_a_photograph(photo: Callable[..., bytes]) -> None:
    srgb = torch.from_numpy(decode_srgb(photo(0, height=64, width=96), max_pixels=10**6))
    pair, rng = pair_of(srgb), np.random.default_rng(5)
    for _ in range(50):
        out = augment_pair(pair, rng, crop=(32, 48), flips=True)
        assert torch.equal(out.raw, mosaic(out.srgb, "RGGB").float())


@pytest.mark.parametrize("crop", [None, (6, 8), (4, 4)])
def test_nothing_else_changes(crop: tuple[int, int] | None) -> None:
    pair = numbered(6, 8)
    out = augment_pair(pair, np.random.default_rng(0), crop=crop, flips=False)
    assert (out.key, out.scene, out.meta, out.scoring) == (pair.key, pair.scene, pair.meta, pair.scoring)
    assert (out.srgb.dtype, out.raw.dtype) == (torch.uint8, torch.float32)
    if crop != (4, 4):
        assert torch.equal(out.srgb, pair.srgb) and torch.equal(out.raw, pair.raw)


@pytest.mark.parametrize("flips", [False, True])
def test_results_are_contiguous_and_hold_no_frame_alive(flips: bool) -> None:
    pair, rng = numbered(40, 60), np.random.default_rng(1)
    for _ in range(12):
        out = augment_pair(pair, rng, crop=(8, 10), flips=flips)
        for tensor in (out.srgb, out.raw):
            assert tensor.is_contiguous()
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    whole = augment_pair(pair, rng, crop=None, flips=False)
    whole.srgb.zero_()
    whole.raw.zero_()
    assert pair.srgb.any() and pair.raw.any()


def test_every_window_is_as_likely() -> None:
    """10x8 to 4x4: 4 x 3 windows on the grid as they are, one fewer a side when it is mirrored."""
    pair, rng, draws = numbered(10, 8), np.random.default_rng(2), 3000
    seen = Counter(place(augment_pair(pair, rng, crop=(4, 4), flips=True)) for _ in range(draws))
    rows = [(top, 1, 1 / 8) for top in (0, 2, 4, 6)] + [(top, -1, 1 / 6) for top in (1, 3, 5)]
    columns = [(left, 1, 1 / 6) for left in (0, 2, 4)] + [(left, -1, 1 / 4) for left in (1, 3)]
    wanted = {(y, x, down, right): p * q for y, down, p in rows for x, right, q in columns}
    assert seen.keys() == wanted.keys()
    for window, share in wanted.items():
        sigma = (share * (1 - share) / draws) ** 0.5
        assert abs(seen[window] / draws - share) < 4.5 * sigma, window


def test_equal_generators_draw_equal_windows() -> None:
    pair = numbered(20, 20)
    for seed in range(10):
        first, second = (
            augment_pair(pair, np.random.default_rng(seed), crop=(8, 8), flips=True) for _ in range(2)
        )
        assert torch.equal(first.srgb, second.srgb) and torch.equal(first.raw, second.raw)


@given(data=st.data(), height=EVEN, width=EVEN)
def test_a_crop_is_the_window(data: st.DataObject, height: int, width: int) -> None:
    pair = numbered(height, width)
    top, left = (data.draw(st.integers(0, side // 2 - 1).map(lambda half: 2 * half)) for side in (height, width))
    rows, columns = (2 * data.draw(st.integers(1, room // 2)) for room in (height - top, width - left))
    out = crop_pair(pair, top, left, rows, columns)
    assert torch.equal(out.srgb, pair.srgb[:, top : top + rows, left : left + columns])
    assert torch.equal(out.raw, mosaic(out.srgb, "RGGB").float())
    assert out.key == pair.key and out.srgb.is_contiguous() and out.raw.is_contiguous()


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        ((1, 0, 4, 4), UsageError, r"even in all four numbers; got \(1, 0, 4, 4\)"),
        ((0, 3, 4, 4), UsageError, "even in all four"),
        ((0, 0, 5, 4), UsageError, "even in all four"),
        ((0, 0, 4, 7), UsageError, "even in all four"),
        ((-2, 0, 4, 4), UsageError, "offsets from 0"),
        ((0, 0, 0, 4), UsageError, "positive sides"),
        ((0, 0, 4, -2), UsageError, "positive sides"),
        ((0, 0, 10, 4), SampleError, r"pair scene_7: wanted the window \(0, 0, 10, 4\).*got \(8, 12\)"),
        ((6, 10, 4, 2), SampleError, "pair scene_7"),
        ((0, 10, 4, 4), SampleError, "pair scene_7"),
    ],
)
def test_windows_that_do_not_fit(window: tuple[int, int, int, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        crop_pair(numbered(8, 12), *window)


@pytest.mark.parametrize(
    ("crop", "flips", "error", "message"),
    [
        (None, True, UsageError, "flips of a 8x12 pair need a crop of at most 6x10.*got 8x12, the whole pair"),
        ((8, 4), True, UsageError, "at most 6x10.*got 8x4"),
        ((4, 12), True, UsageError, "at most 6x10.*got 4x12"),
        ((10, 4), False, SampleError, "pair scene_7: wanted at least 10x4 pixels to crop, got 8x12"),
        ((4, 14), True, SampleError, "pair scene_7: wanted at least 4x14"),
        ((5, 4), False, UsageError, "positive even sides; got 5x4"),
        ((4, 0), False, UsageError, "positive even sides; got 4x0"),
        ((-2, 4), False, UsageError, "positive even sides"),
    ],
)
def test_crops_that_do_not_fit(
    crop: tuple[int, int] | None, flips: bool, error: type[Exception], message: str
) -> None:
    """Always, not only when the draw mirrors."""
    for seed in range(8):
        with pytest.raises(error, match=message):
            augment_pair(numbered(8, 12), np.random.default_rng(seed), crop=crop, flips=flips)
