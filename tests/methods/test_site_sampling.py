"""site_sampling: whichever way eager code takes, each value is the formula's float32, bit for bit."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rawsynth.methods import site_sampling
from rawsynth.methods.site_sampling import sample_sites
from rawsynth.methods.unprocess import linear_table

Floats = NDArray[np.float32]
LUMA = {
    "usual": [0.3, 0.5, 0.2],
    "negative": [1.4, -0.6, 0.2],
    "over one": [0.6, 0.6, 0.6],
    "nothing positive": [-0.2, -0.3, 0.0],
}


def formula(linear: Floats, rows: Floats, luma: Floats, gains: Floats) -> Floats:
    """One image ``(3, H, W)``, float32 all the way, in the order of the terms."""
    one, planes = np.float32(1), []
    for site in range(4):
        red, green, blue = linear[:, site // 2 :: 2, site % 2 :: 2]
        value = red * rows[site, 0] + green * rows[site, 1] + blue * rows[site, 2]
        level = red * luma[0] + green * luma[1] + blue * luma[2]
        mask = np.maximum((level - np.float32(0.9)) * np.float32(1 / (1 - 0.9)), 0)
        mask = mask * mask
        gain = np.maximum(mask + (one - mask) * gains[site], gains[site])
        planes.append(np.clip(value * gain, 0, 1))
    return np.stack(planes)


def drawn(seed: int, luma: str, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.33, 0.6, (batch, 4, 3)).astype(np.float32)
    lumas = np.array([LUMA[luma]] * batch, np.float32) * rng.uniform(0.9, 1.1, (batch, 3)).astype(np.float32)
    gains = rng.uniform(0.2, 1.4, (batch, 4)).astype(np.float32)
    return torch.from_numpy(rows), torch.from_numpy(lumas), torch.from_numpy(gains)


def codes(seed: int, bright_share: float, height: int = 18, width: int = 26) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    dim = rng.integers(0, 190, (3, 3, height, width))
    bright = rng.integers(190, 256, (3, 3, height, width))
    return np.where(rng.random((3, 1, height, width)) < bright_share, bright, dim).astype(np.uint8)


@pytest.mark.parametrize("luma", sorted(LUMA))
@pytest.mark.parametrize("bright_share", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("rows_a_block", [2, 4, 100])
def test_every_way_gives_the_formula_s_bits(
    monkeypatch: pytest.MonkeyPatch, luma: str, bright_share: float, kind: str, rows_a_block: int
) -> None:
    monkeypatch.setattr(site_sampling, "_BLOCK", rows_a_block * 26)
    table = linear_table()
    image = codes(1, bright_share)
    linear = table.numpy()[image]
    rows, lumas, gains = drawn(2, luma)
    given = (torch.from_numpy(image), table) if kind == "uint8" else (torch.from_numpy(linear), None)
    made = sample_sites(*given, rows, lumas, gains)
    assert made.dtype == torch.float32 and made.is_contiguous()
    for index in range(3):
        wanted = formula(linear[index], rows[index].numpy(), lumas[index].numpy(), gains[index].numpy())
        assert np.array_equal(made[index].numpy(), wanted)


def test_memory_layout_does_not_matter() -> None:
    image = torch.from_numpy(codes(3, 0.05))
    physics = drawn(4, "usual")
    plain = sample_sites(image, linear_table(), *physics)
    turned = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(sample_sites(turned, linear_table(), *physics), plain)
    wide = torch.zeros(3, 3, 20, 31, dtype=torch.uint8)
    wide[:, :, 1:19, 3:29] = image
    assert torch.equal(sample_sites(wide[:, :, 1:19, 3:29], linear_table(), *physics), plain)


def test_gradients_pass() -> None:
    image = torch.from_numpy(linear_table().numpy()[codes(5, 0.1)]).requires_grad_()
    sample_sites(image, None, *drawn(6, "usual")).sum().backward()
    assert image.grad is not None and bool(image.grad.abs().sum() > 0)
