"""Compiled transforms give what eager ones give, for both dtypes and for another batch size."""

from collections.abc import Iterator

import pytest
import torch
from skimage import data as photos
from torch import Tensor

from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.transforms import AddNoise, ReverseISP

pytestmark = pytest.mark.slow
# Batch, height, width: one dynamic graph serves them all. A first batch of 2, 3 or 4 would be taken for the number of
# key words, colours or planes, and the next would be compiled anew.
SIZES = ((5, 64, 80), (4, 64, 80), (2, 38, 50))


def photo(batch: int, height: int, width: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    pixels = torch.from_numpy(photos.astronaut()).permute(2, 0, 1)
    images = torch.stack([pixels[:, 40 * k : 40 * k + height, 150 : 150 + width] for k in range(batch)])
    return images if dtype == torch.uint8 else (images / 255.0).to(dtype)


def keys(batch: int) -> list[str]:
    return [str(k) for k in range(batch)]


@pytest.fixture(autouse=True, scope="module")
def fresh_graphs() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def compiled() -> ReverseISP:
    return ReverseISP("unprocess", seed=0).compile_kernels(dynamic=True)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_reverse_isp(compiled: ReverseISP, dtype: torch.dtype, size: tuple[int, int, int]) -> None:
    srgb = photo(*size, dtype)
    layouts = {"cfa": (list(BAYER_LAYOUTS) * 2)[: size[0]]}
    fast = compiled(srgb, keys=keys(size[0]), overrides=layouts)
    plain = ReverseISP("unprocess", seed=0)(srgb, keys=keys(size[0]), overrides=layouts)
    assert fast.packed.dtype == torch.float32
    assert (fast.packed - plain.packed).abs().max() <= 1e-6
    assert fast.metadata.to_json() == plain.metadata.to_json()


# The physics models take minutes to compile; tests/noise/test_physics.py does so once.
@pytest.fixture(scope="module", params=["heteroscedastic_gaussian", "poisson_gaussian"])
def compiled_noise(request: pytest.FixtureRequest) -> AddNoise:
    return AddNoise(request.param, camera="Sony ILCE-7SM2", seed=0).compile_kernels(dynamic=True)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_add_noise(compiled_noise: AddNoise, size: tuple[int, int, int]) -> None:
    """The last bit of log and cos may differ, so that one count in millions may fall to the other side of an edge."""
    model, shape = compiled_noise.model.name, (size[0], 4, size[1] // 2, size[2] // 2)
    clean = ReverseISP("unprocess", seed=0)(photo(*size), keys=keys(size[0]))
    assert clean.shape == shape
    fast = compiled_noise(clean, keys=keys(size[0]))
    plain = AddNoise(model, camera="Sony ILCE-7SM2", seed=0)(clean, keys=keys(size[0]))
    off = (fast.packed - plain.packed).abs()
    close = off <= 1e-5 * plain.packed.abs() + 1e-6
    assert close.float().mean() > 1.0 - 1e-4
    assert (off <= 1.01 * plain.metadata.shot[..., None, None] + 1e-5).all()
    assert fast.metadata.to_json() == plain.metadata.to_json()
    if model == "heteroscedastic_gaussian":
        assert close.all()


def test_compiled_noise_replays_bit_for_bit(compiled_noise: AddNoise) -> None:
    clean = ReverseISP("unprocess", seed=0)(photo(*SIZES[0]), keys=keys(5))
    params = compiled_noise.make_params(5, keys=keys(5))
    first, again = (compiled_noise.apply_params(clean, params).packed for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, clean.packed)
