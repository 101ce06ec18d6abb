"""The Haar wavelet against numpy, and the laws of an orthonormal transform."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage import data
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.training.wavelet import haar, inverse_haar

BANDS = np.array(
    [[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [-0.5, -0.5]], [[0.5, -0.5], [0.5, -0.5]], [[0.5, -0.5], [-0.5, 0.5]]]
)
# Sums of four of these, halved, are exact in float32.
EXACT = st.integers(-(2**20), 2**20).map(lambda n: n / 1024)


def images(channels: st.SearchStrategy[int] = st.integers(1, 5)) -> st.SearchStrategy[Tensor]:
    sides = st.integers(1, 3).map(lambda half: 2 * half)
    shapes = st.tuples(st.integers(1, 2), channels, sides, sides)
    return shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=EXACT)).map(torch.from_numpy)


def photo() -> Tensor:
    return torch.from_numpy(data.coffee()).permute(2, 0, 1)[None] / 255.0


@settings(max_examples=40)
@given(images())
def test_the_inverse_gives_the_image_back(image: Tensor) -> None:
    assert torch.equal(inverse_haar(haar(image)), image)


@settings(max_examples=40)
@given(images(st.sampled_from([4, 8])))
def test_the_transform_of_an_inverse_gives_the_bands_back(bands: Tensor) -> None:
    assert torch.equal(haar(inverse_haar(bands)), bands)


@settings(max_examples=40)
@given(images())
def test_bands_are_inner_products_with_the_four_filters(image: Tensor) -> None:
    blocks = image.double().numpy()
    blocks = blocks.reshape(*blocks.shape[:2], blocks.shape[2] // 2, 2, blocks.shape[3] // 2, 2)
    expected = np.einsum("bcyixj,kij->bckyx", blocks, BANDS)
    bands = haar(image)
    assert bands.shape == (len(image), 4 * image.shape[1], image.shape[2] // 2, image.shape[3] // 2)
    for channel in range(image.shape[1]):
        for band in range(4):
            assert np.array_equal(bands[:, 4 * channel + band].numpy(), expected[:, channel, band])


@pytest.mark.parametrize(
    ("block", "bands"),
    [
        ([[1, 1], [1, 1]], [2, 0, 0, 0]),
        ([[1, 1], [0, 0]], [1, 1, 0, 0]),
        ([[1, 0], [1, 0]], [1, 0, 1, 0]),
        ([[1, 0], [0, 1]], [1, 0, 0, 1]),
        ([[8, 0], [0, 0]], [4, 4, 4, 4]),
        ([[0, 8], [0, 0]], [4, 4, -4, -4]),
        ([[0, 0], [8, 0]], [4, -4, 4, -4]),
        ([[0, 0], [0, 8]], [4, -4, -4, 4]),
    ],
)
def test_blocks_by_hand(block: list[list[float]], bands: list[float]) -> None:
    assert haar(torch.tensor([[block]], dtype=torch.float32)).flatten().tolist() == bands


def test_energy_is_kept() -> None:
    image = photo().double()
    bands = haar(image)
    assert bands.square().sum().item() == pytest.approx(image.square().sum().item(), rel=1e-12)
    smooth = bands.reshape(1, 3, 4, *bands.shape[2:])[:, :, 0]
    assert smooth.square().sum() > 0.98 * bands.square().sum()  # of a photograph, nearly all lies in its means


@settings(max_examples=40)
@given(images(), st.integers(-8, 8), st.integers(0, 2**32 - 1))
def test_the_transform_is_linear(image: Tensor, factor: int, seed: int) -> None:
    other = torch.randint(-1024, 1024, image.shape, generator=torch.Generator().manual_seed(seed)) / 1024
    assert torch.equal(haar(image + factor * other), haar(image) + factor * haar(other))


def test_gradients_of_an_orthonormal_map_are_its_inverse() -> None:
    image = photo().requires_grad_()
    upstream = torch.randn(1, 12, 200, 300, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad(haar(image), image, upstream)
    assert torch.allclose(slope, inverse_haar(upstream), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert haar(photo().to(dtype)).dtype == inverse_haar(photo().to(dtype)[:, [0, 1, 2, 0]]).dtype == dtype


def test_memory_layout_does_not_matter() -> None:
    image = photo()
    assert torch.equal(haar(image.contiguous(memory_format=torch.channels_last)), haar(image.contiguous()))


def test_both_compile_into_one_graph() -> None:
    there = torch.compile(haar, backend="eager", fullgraph=True)
    back = torch.compile(inverse_haar, backend="eager", fullgraph=True)
    assert torch.equal(back(there(photo())), inverse_haar(haar(photo())))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.zeros(1, 1, 3, 4), "3x4"),
        (torch.zeros(1, 1, 4, 5), "4x5"),
        (torch.zeros(1, 4, 4), r"\(1, 4, 4\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "uint8"),
    ],
)
def test_what_has_no_wavelet_is_refused(image: Tensor, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        haar(image)


@pytest.mark.parametrize("bands", [torch.zeros(1, 6, 2, 2), torch.zeros(4, 2, 2), torch.zeros(1, 4, 2, 2).int()])
def test_what_are_no_bands_is_refused(bands: Tensor) -> None:
    with pytest.raises(UsageError):
        inverse_haar(bands)
