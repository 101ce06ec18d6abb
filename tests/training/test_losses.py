"""The loss: what its terms are, how they add up, and what it refuses."""

import math
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.training.losses import LOSSES, LossWeights, ReconstructionLoss, compand, total_variation
from rawsynth.transforms import ReverseISP

TERMS = ("l1", "companded_l1", "ssim", "ms_ssim", "tv")
NOTHING = dict.fromkeys(TERMS, 0.0)


@cache
def raw(name: str, side: int) -> Tensor:
    """A photograph's corner as packed RAW, ``(1, 4, side, side)``."""
    pixels = torch.from_numpy(getattr(data, name)()[: 2 * side, : 2 * side].copy()).permute(2, 0, 1)
    return ReverseISP("unprocess", seed=0)(pixels[None], keys=[name]).packed


def median(planes: Tensor) -> Tensor:
    return torch.from_numpy(ndimage.median_filter(planes.numpy(), (1, 1, 3, 3)))


def only(**weights: float) -> ReconstructionLoss:
    return ReconstructionLoss(LossWeights(**{**NOTHING, **weights}))


@pytest.mark.parametrize("weights", LOSSES.values(), ids=LOSSES)
def test_terms_add_up_under_their_weights(weights: LossWeights) -> None:
    target = raw("coffee", 64)
    total, parts = ReconstructionLoss(weights)(median(target).requires_grad_(), target)
    in_use = {name: weight for name, weight in asdict(weights).items() if name in TERMS and weight}
    assert set(parts) == set(in_use)
    assert total.item() == pytest.approx(sum(weight * parts[name].item() for name, weight in in_use.items()), rel=1e-6)
    assert total.requires_grad
    assert not any(part.requires_grad or part.dim() for part in parts.values())


def test_the_published_weights() -> None:
    """200 (0.025 (1 - MS-SSIM) + 0.975 L1) + 1e-3 TV, adversarial 1e-3, gradient penalty 10."""
    published = LOSSES["published"]
    assert (published.l1, published.ms_ssim) == (pytest.approx(200 * 0.975), pytest.approx(200 * 0.025))
    assert (published.tv, published.adversarial, published.gradient_penalty) == (1e-3, 1e-3, 10.0)
    assert (published.ssim, published.companded_l1) == (0.0, 0.0)


def test_the_default_has_neither_variation_nor_discriminator() -> None:
    assert LOSSES["default"] == LossWeights()
    assert (LossWeights().tv, LossWeights().adversarial) == (0.0, 0.0)


@pytest.mark.parametrize("term", ["l1", "companded_l1", "ssim", "ms_ssim"])
def test_planes_count_alike(term: str) -> None:
    target, order = raw("coffee", 64), [2, 0, 3, 1]
    result = target + 0.1 * torch.rand(1, 4, 1, 1, generator=torch.Generator().manual_seed(0)) * target
    there, back = (only(**{term: 1.0})(result[:, o], target[:, o])[0].item() for o in (range(4), order))
    assert there == pytest.approx(back, rel=1e-5) != 0


@pytest.mark.parametrize("weights", LOSSES.values(), ids=LOSSES)
def test_autocast_and_half_precision_change_nothing(weights: LossWeights) -> None:
    loss, target = ReconstructionLoss(weights), raw("coffee", 64)
    result = median(target).bfloat16()
    expected, _ = loss(result.float(), target)
    with torch.autocast("cpu", torch.bfloat16):
        for half in (result, result.float()):
            total, parts = loss(half, target)
            assert total.item() == expected.item()
            assert {total.dtype, *(part.dtype for part in parts.values())} == {torch.float32}
    assert loss(result.double(), target.double())[0].dtype == torch.float64
    assert loss(result.double(), target.double())[0].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("weights", LOSSES.values(), ids=LOSSES)
def test_the_loss_compiles_into_one_graph(weights: LossWeights) -> None:
    loss, target = ReconstructionLoss(weights), raw("coffee", 64)
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    assert compiled(median(target), target)[0].item() == pytest.approx(loss(median(target), target)[0].item(), rel=1e-6)


@pytest.mark.parametrize("fill", [-1e4, -0.5, 0.0, 1.0, 1e4])
@pytest.mark.parametrize("weights", LOSSES.values(), ids=LOSSES)
def test_gradients_are_finite_wherever_the_result_has_gone(weights: LossWeights, fill: float) -> None:
    result = torch.full((2, 4, 32, 32), fill, requires_grad=True)
    total, _ = ReconstructionLoss(weights)(result, torch.zeros(2, 4, 32, 32))
    total.backward()
    assert torch.isfinite(total)
    assert result.grad is not None
    assert torch.isfinite(result.grad).all()


def test_the_companded_curve_is_the_power_above_its_toe() -> None:
    values = np.linspace(0.0032, 4.0, 1000)
    assert np.allclose(compand(torch.from_numpy(values)).numpy(), values ** (1 / 2.2), rtol=1e-12)


def test_the_companded_curve_rises_everywhere_with_a_bounded_and_continuous_slope() -> None:
    values = torch.cat([torch.linspace(-2, 0.02, 4001), torch.tensor([0.0, 0.0031308])]).double().sort().values
    values.requires_grad_()
    (slope,) = torch.autograd.grad(compand(values).sum(), values)
    assert slope.min() > 0
    assert slope.max().item() == pytest.approx(0.0031308 ** (1 / 2.2 - 1) / 2.2, rel=1e-9)
    assert slope[values < 0.0031308].min() == slope.max()
    assert slope.diff().abs().max() < 0.1 * slope.max()
    assert compand(values).diff().min() > 0


def test_dark_errors_cost_more_than_bright_ones_when_companded() -> None:
    dark, bright = torch.full((1, 4, 8, 8), 0.01), torch.full((1, 4, 8, 8), 0.8)
    loss = only(companded_l1=1.0)
    assert loss(dark + 0.005, dark)[0] > 5 * loss(bright + 0.005, bright)[0]


def test_total_variation_is_the_sum_of_steps() -> None:
    batch = torch.cat([raw("coffee", 24), raw("rocket", 24)])
    expected = 0.0
    for image in batch.double().numpy():
        for plane in image:
            expected += sum(abs(b - a) for row in plane for a, b in zip(row, row[1:], strict=False))
            expected += sum(abs(b - a) for row in plane.T for a, b in zip(row, row[1:], strict=False))
    assert total_variation(batch).item() == pytest.approx(expected / 2, rel=1e-5)
    assert total_variation(torch.full((2, 4, 5, 7), 0.3)) == 0


def test_terms_without_weight_are_not_computed() -> None:
    tiny = torch.rand(1, 4, 2, 2)
    total, parts = ReconstructionLoss(LossWeights(ssim=0.0))(tiny, tiny / 2)
    assert set(parts) == {"l1", "companded_l1"}
    with pytest.raises(UsageError, match=r"11x11; planes are 2x2. .* set the weight of this term to 0"):
        ReconstructionLoss()(tiny, tiny)


@pytest.mark.parametrize("name", asdict(LossWeights()))
@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, "1", None, True])
def test_weights_are_checked(name: str, weight: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} is a finite number from 0; got {weight!r}"):
        LossWeights(**{name: weight})


def test_something_must_look_at_the_target() -> None:
    with pytest.raises(UsageError, match="nothing ties the result to its target"):
        LossWeights(l1=0, companded_l1=0, ssim=0, tv=1, adversarial=1)


GOOD = torch.zeros(2, 4, 16, 16)


@pytest.mark.parametrize(
    ("result", "target", "said"),
    [
        (GOOD[:1], GOOD, "one shape"),
        (GOOD[..., :1], GOOD, "one shape"),
        (GOOD[:, :3], GOOD[:, :3], r"result is packed RAW.*\(2, 3, 16, 16\)"),
        (GOOD[0], GOOD[0], "result is packed RAW"),
        (GOOD, GOOD.int(), "target is packed RAW.*int32"),
        (GOOD[:0], GOOD[:0], "result is packed RAW"),
    ],
)
def test_what_cannot_be_compared_is_refused(result: Tensor, target: Tensor, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ReconstructionLoss()(result, target)


def test_the_loss_leaves_nothing_in_a_checkpoint_and_names_its_weights() -> None:
    assert not ReconstructionLoss().state_dict()
    assert "l1=1.0, companded_l1=0.5" in repr(ReconstructionLoss())
