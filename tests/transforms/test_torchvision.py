"""The transforms inside torchvision's own v2.Compose."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from skimage import data

from rawsynth import AddNoise, RawImage, ReverseISP
from tests.torchvision_ops import import_v2


@pytest.fixture(scope="module")
def v2() -> ModuleType:
    return import_v2()


@pytest.fixture
def photograph() -> torch.Tensor:
    """A real photograph, (3, 200, 300) uint8."""
    return torch.from_numpy(data.coffee()[:200, :300].copy()).permute(2, 0, 1)


def test_compose_flips_the_scene_before_the_mosaic(v2: ModuleType, photograph: torch.Tensor) -> None:
    to_raw = ReverseISP("unprocess", cam_from_srgb=torch.eye(3).tolist(), white_balance=(2.0, 1.6), rgb_gain=1.2)
    composed = v2.Compose([v2.RandomHorizontalFlip(1.0), to_raw])
    assert torch.equal(composed(photograph).packed, to_raw(photograph.flip(-1)).packed)


def test_compose_takes_batches_and_images_of_v2(v2: ModuleType, photograph: torch.Tensor) -> None:
    composed = v2.Compose([v2.RandomCrop((64, 96)), ReverseISP("unprocess"), AddNoise("heteroscedastic_gaussian")])
    image = composed(v2.functional.to_image(photograph))
    batch = composed(torch.stack([photograph] * 3))
    assert isinstance(image, RawImage) and image.packed.shape == (4, 32, 48)
    assert isinstance(batch, RawImage) and batch.packed.shape == (3, 4, 32, 48)
    assert len(set(batch.metadata.rgb_gain.tolist())) == 3


def test_compose_prints_what_is_fixed(v2: ModuleType) -> None:
    assert "white_balance=(2.0, 1.5)" in repr(v2.Compose([ReverseISP("unprocess", white_balance=(2.0, 1.5))]))
