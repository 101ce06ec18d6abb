"""InvISP: both directions undo each other; what comes back is mosaicked and made linear."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor, nn

from rawsynth.methods.invisp import ColorMixing, InvertibleISP
from rawsynth.raw.cfa import mosaic


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A real photograph, (1, 3, 64, 80) float in [0, 1]."""
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 20:84, 130:210].float() / 255


def drawn(blocks: int = 8, growth: int = 8) -> InvertibleISP:
    """A network far from the identity: wide couplings, mixtures with permutations, negative signs and gains."""
    torch.manual_seed(3)
    network = InvertibleISP(blocks, growth=growth)
    for k, module in enumerate(m for m in network.modules() if isinstance(m, ColorMixing)):
        module.p.copy_(torch.eye(3)[[(k + j) % 3 for j in range(3)]])
        module.sign_s.copy_(torch.tensor([1.0, -1.0, 1.0]))
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.6 / module.weight[0].numel() ** 0.5)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("blocks", "growth"), [(1, 4), (8, 8), (8, 32)])
def test_both_directions_undo_each_other(photo: Tensor, blocks: int, growth: int) -> None:
    network = drawn(blocks, growth)
    rendered, reversed_ = network.render(photo), network.reverse(photo)
    # Each direction alone is no identity, or there would be nothing to undo.
    assert float((rendered - photo).abs().max()) > 0.1 and float((reversed_ - photo).abs().max()) > 0.1
    assert float((network.reverse(rendered) - photo).abs().max()) < 1e-4
    assert float((network.render(reversed_) - photo).abs().max()) < 1e-4


def test_the_method_is_the_inverse_made_linear_and_mosaicked(photo: Tensor) -> None:
    network = drawn()
    encoded = mosaic(network.reverse(photo), "RGGB")
    torch.testing.assert_close(network(photo), encoded.sign() * encoded.abs() ** 2.2)
    network.gamma = 1.0
    torch.testing.assert_close(network(photo), encoded)


def test_a_fresh_network_begins_close_to_the_picture(photo: Tensor) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        result = InvertibleISP(growth=8)(photo).clamp(0, 1)
    assert float((result - mosaic(photo, "RGGB") ** 2.2).abs().mean()) < 0.05
