"""Synthetic pairs: decided by seed and key, RAW of the camera that they state, sRGB laid on it."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from rawsynth.errors import UsageError
from rawsynth.pairs.photographs import Photograph, decode_photograph
from rawsynth.pairs.synthetic import SyntheticPairs, packaged_photographs


@pytest.fixture(scope="module")
def photographs() -> list[Photograph]:
    return packaged_photographs()[:2]


def test_what_the_packaged_ones_are() -> None:
    names = [photograph.name for photograph in packaged_photographs()]
    assert names == ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]


def test_a_pair_is_decided_by_its_key_and_the_seed(photographs: list[Photograph]) -> None:
    both, one = (SyntheticPairs(some, crop=64, renditions=2) for some in (photographs, photographs[1:]))
    assert both.keys[2:] == one.keys == ["chelsea.png/0", "chelsea.png/1"]
    assert both.scenes == ["astronaut.png"] * 2 + ["chelsea.png"] * 2
    first, again = both[2], one[0]
    assert torch.equal(first.srgb, again.srgb) and torch.equal(first.raw, again.raw) and first.meta == again.meta
    other = SyntheticPairs(photographs, crop=64, renditions=2, seed=1)[2]
    assert other.meta != first.meta and not torch.equal(other.raw, first.raw)
    assert both[3].meta["camera"] != first.meta["camera"] or both[3].meta["cct"] != first.meta["cct"]


def test_shapes_and_ranges(photographs: list[Photograph]) -> None:
    pairs = SyntheticPairs(photographs, crop=300, renditions=3)
    for pair in pairs:
        height, width = pair.srgb.shape[1:]
        assert pair.srgb.dtype == torch.uint8 and min(height, width) >= 256 and max(height, width) <= 300
        assert pair.raw.shape == (4, height // 2, width // 2) and pair.raw.dtype == torch.float32
        assert 0 <= pair.raw.min() and pair.raw.max() <= 1
        assert pair.frame is not None and pair.frame.shape[0] == 3 and pair.frame.dtype == torch.uint8
        assert np.sum(pair.meta["cam_from_srgb"], axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
        assert "rgb_gain" not in pair.meta


def test_srgb_lies_on_its_raw(photographs: list[Photograph]) -> None:
    """Brightness of the picture follows the RAW's green, pixel on site."""
    for pair in SyntheticPairs(photographs, crop=128, renditions=3):
        green = pair.raw[1].flatten().double()
        level = pair.srgb[1, ::2, 1::2].flatten().double()
        ranks = [values.argsort().argsort().double() for values in (green, level)]
        assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.8


@pytest.mark.parametrize("options", [{"renditions": 0}, {"crop": 30}, {"crop": 65}])
def test_wrong_options(photographs: list[Photograph], options: dict) -> None:
    with pytest.raises(UsageError, match="synthetic pairs take"):
        SyntheticPairs(photographs, **options)
    with pytest.raises(UsageError):
        SyntheticPairs([])


def test_a_file_that_is_no_photograph() -> None:
    with pytest.raises(UsageError, match="x.png"):
        decode_photograph("x.png", b"no picture")
    import io

    buffer = io.BytesIO()
    Image.fromarray(data.coffee()).save(buffer, "PNG")
    assert decode_photograph("coffee.png", buffer.getvalue()).codes.shape[0] == 3
