"""The four Bayer layouts: packing, mosaicking, mirroring and cropping agree with the sensor image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.raw import cfa as cfa_module
from rawsynth.raw.cfa import BAYER_LAYOUTS, crop, flip_horizontal, flip_vertical, mosaic, pack, unpack

LAYOUTS = st.sampled_from(BAYER_LAYOUTS)
LEADS = st.lists(st.integers(1, 3), max_size=2).map(tuple)
HALVES = st.integers(1, 5)


def counted(*shape: int) -> Tensor:
    """Values that are all different."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


@given(LEADS, HALVES, HALVES)
def test_unpack_inverts_pack(lead: tuple[int, ...], h: int, w: int) -> None:
    sensor = counted(*lead, 2 * h, 2 * w)
    assert pack(sensor).shape == (*lead, 4, h, w)
    assert torch.equal(unpack(pack(sensor)), sensor)


@given(LEADS, HALVES, HALVES)
def test_pack_inverts_unpack(lead: tuple[int, ...], h: int, w: int) -> None:
    planes = counted(*lead, 4, h, w)
    assert unpack(planes).shape == (*lead, 2 * h, 2 * w)
    assert torch.equal(pack(unpack(planes)), planes)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.uint8,
        torch.int32,
        torch.float16,
        torch.float64,
        torch.uint16,
    ],
    ids=str,
)
def test_packing_keeps_the_dtype(dtype: torch.dtype) -> None:
    sensor = counted(4, 6).to(dtype)
    assert unpack(pack(sensor)).dtype == dtype
    assert torch.equal(unpack(pack(sensor)).int(), sensor.int())


def test_planes_are_in_reading_order() -> None:
    planes = pack(torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]))
    assert planes.tolist() == [[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]]


@pytest.mark.parametrize(
    ("cfa", "colors", "names"),
    [
        ("RGGB", (0, 1, 1, 2), ("R", "Gr", "Gb", "B")),
        ("BGGR", (2, 1, 1, 0), ("B", "Gb", "Gr", "R")),
        ("GRBG", (1, 0, 2, 1), ("Gr", "R", "B", "Gb")),
        ("GBRG", (1, 2, 0, 1), ("Gb", "B", "R", "Gr")),
    ],
)
def test_colours_and_names_come_out_of_the_string(cfa: str, colors: tuple[int, ...], names: tuple[str, ...]) -> None:
    assert cfa_module.check_cfa(cfa) == cfa
    assert cfa_module.color_indices(cfa) == colors
    assert cfa_module.plane_names(cfa) == names
    tile = mosaic(torch.tensor([10, 20, 30])[:, None, None].expand(3, 2, 2), cfa)
    assert tile.flatten().tolist() == [10 * (c + 1) for c in colors]


@given(LEADS, HALVES, HALVES, LAYOUTS)
def test_each_site_keeps_the_colour_that_the_tile_names(lead: tuple[int, ...], h: int, w: int, cfa: str) -> None:
    rgb = counted(*lead, 3, 2 * h, 2 * w)
    sensor = unpack(mosaic(rgb, cfa))
    for row in range(2 * h):
        for column in range(2 * w):
            color = "RGB".index(cfa[2 * (row % 2) + column % 2])
            assert torch.equal(sensor[..., row, column], rgb[..., color, row, column])


MIRRORS = pytest.mark.parametrize(("flip", "axis"), [(flip_horizontal, -1), (flip_vertical, -2)])


@MIRRORS
@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_mirrored_planes_are_the_mirrored_scene(flip, axis: int, cfa: str) -> None:  # type: ignore[no-untyped-def]
    rgb = counted(2, 3, 6, 8)
    planes, layout = flip(mosaic(rgb, cfa), cfa)
    assert torch.equal(unpack(planes), unpack(mosaic(rgb, cfa)).flip(axis))
    assert torch.equal(planes, mosaic(rgb.flip(axis), layout))
    assert layout != cfa
    back, original = flip(planes, layout)
    assert (original, torch.equal(back, mosaic(rgb, cfa))) == (cfa, True)


@given(st.data(), LEADS, HALVES, HALVES, LAYOUTS)
def test_a_crop_is_a_window_of_the_sensor(
    data: st.DataObject, lead: tuple[int, ...], h: int, w: int, cfa: str
) -> None:
    top, left = 2 * data.draw(st.integers(0, h - 1)), 2 * data.draw(st.integers(0, w - 1))
    height, width = 2 * data.draw(st.integers(1, h - top // 2)), 2 * data.draw(st.integers(1, w - left // 2))
    rgb = counted(*lead, 3, 2 * h, 2 * w)
    window = crop(mosaic(rgb, cfa), top, left, height, width)
    assert torch.equal(window, mosaic(rgb[..., top : top + height, left : left + width], cfa))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((1, 0, 2, 2), "even"),
        ((0, 3, 2, 2), "even"),
        ((0, 0, 1, 2), "even"),
        ((0, 0, 2, 5), "even"),
        ((-2, 0, 2, 2), "leaves the 6x8"),
        ((0, -2, 2, 2), "leaves the 6x8"),
        ((4, 0, 4, 2), "leaves the 6x8"),
        ((0, 6, 2, 4), "leaves the 6x8"),
        ((0, 0, -2, 2), "positive"),
        ((0, 0, 2, -2), "positive"),
        ((0, 0, 0, 2), "positive"),
    ],
)
def test_wrong_crops_are_refused(window: tuple[int, int, int, int], message: str | None) -> None:
    with pytest.raises(UsageError, match=message):
        crop(counted(4, 3, 4), *window)


@pytest.mark.parametrize("cfa", ["rggb", "RGB", "RGBG", "RGGBRGGB", "", "XTRANS"])
@pytest.mark.parametrize(
    "use",
    [
        cfa_module.check_cfa,
        cfa_module.color_indices,
        cfa_module.plane_names,
        lambda cfa: mosaic(torch.zeros(3, 2, 2), cfa),
        lambda cfa: flip_horizontal(torch.zeros(4, 1, 1), cfa),
        lambda cfa: flip_vertical(torch.zeros(4, 1, 1), cfa),
    ],
    ids=["check", "colors", "names", "mosaic", "horizontal", "vertical"],
)
def test_unknown_layouts_are_refused_with_the_choices(use, cfa: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnknownNameError, match="BGGR, GBRG, GRBG, RGGB"):
        use(cfa)


@pytest.mark.parametrize(
    ("use", "shape", "message"),
    [
        (pack, (3, 4), "3x4. Crop one row or column"),
        (pack, (4, 3), "4x3. Crop one row or column"),
        (unpack, (3, 2, 2), r"\(3, 2, 2\)"),
        (unpack, (2, 2), r"\(2, 2\)"),
        (lambda x: mosaic(x, "RGGB"), (4, 2, 2), r"\(4, 2, 2\)"),
        (lambda x: mosaic(x, "RGGB"), (3, 2, 3), r"\(3, 2, 3\)"),
        (lambda x: mosaic(x, "RGGB"), (3, 5, 2), r"\(3, 5, 2\)"),
        (lambda x: mosaic(x, "RGGB"), (2, 2), r"\(2, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(use, shape: tuple[int, ...], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=message):
        use(torch.zeros(shape))
