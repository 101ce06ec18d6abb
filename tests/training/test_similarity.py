"""SSIM and MS-SSIM against scikit-image, scipy and kornia, and where other forms of them fail."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data
from skimage.metrics import structural_similarity
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.training.similarity import ms_ssim_loss, ssim_loss
from rawsynth.transforms import ReverseISP

Array = NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES = (ssim_loss, ms_ssim_loss)


def raw(name: str = "astronaut", side: int = 96) -> Tensor:
    """A piece of a photograph as packed RAW ``(1, 4, side/2, side/2)``."""
    pixels = torch.from_numpy(getattr(data, name)()[60 : 60 + side, 160 : 160 + side].copy()).permute(2, 0, 1)
    return ReverseISP("unprocess", seed=0)(pixels[None], keys=[name]).packed


def damaged(target: Tensor, kind: str) -> Tensor:
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    return {
        "noise": target + 0.05 * noise,
        "faint noise": target + 1e-3 * noise,
        "blur": torch.from_numpy(ndimage.gaussian_filter(target.numpy(), (0, 0, 1.5, 1.5))),
        "gain": target * 1.2,
        "negative": -target,
        "another": raw("coffee", 2 * target.shape[-1]),
    }[kind]


KINDS = ("noise", "faint noise", "blur", "gain", "negative", "another")


def scipy_ms_ssim(x: Array, y: Array) -> float:
    """Zhao et al. 2017 for one plane: means, variances and the covariance in their plain form."""

    def mean(image: Array, sigma: float) -> Array:
        window = np.exp(-(np.arange(-8, 9) ** 2) / (2 * sigma**2))
        window /= window.sum()
        for axis in (0, 1):
            image = ndimage.correlate1d(image, window, axis=axis)
        return image[8:-8, 8:-8]

    product = np.ones((x.shape[0] - 16, x.shape[1] - 16))
    for sigma in (0.5, 1.0, 2.0, 4.0):
        mx, my = mean(x, sigma), mean(y, sigma)
        vx, vy, cov = mean(x * x, sigma) - mx**2, mean(y * y, sigma) - my**2, mean(x * y, sigma) - mx * my
        product *= (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
    return float((product * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_ssim_is_that_of_scikit_image_without_its_border(kind: str) -> None:
    target = raw()
    result = damaged(target, kind)
    maps = [
        structural_similarity(
            x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )[1][5:-5, 5:-5]
        for x, y in zip(result[0].double().numpy(), target[0].double().numpy(), strict=True)
    ]
    expected = 1 - np.mean(maps)
    assert ssim_loss(result, target).item() == pytest.approx(expected, rel=1e-3)
    assert ssim_loss(result.double(), target.double()).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_ms_ssim_is_that_of_each_plane_alone(kind: str) -> None:
    target = raw()
    result = damaged(target, kind)
    planes = zip(result[0].double().numpy(), target[0].double().numpy(), strict=True)
    expected = 1 - np.mean([scipy_ms_ssim(x, y) for x, y in planes])
    assert ms_ssim_loss(result, target).item() == pytest.approx(expected, rel=1e-3)
    assert ms_ssim_loss(result.double(), target.double()).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_ms_ssim_is_that_of_kornia_inside(kind: str) -> None:
    from kornia.losses import MS_SSIMLoss

    target = raw()
    result = damaged(target, kind)
    criterion = MS_SSIMLoss(sigmas=(0.5, 1.0, 2.0, 4.0), alpha=1.0, compensation=1.0, reduction="none")
    if criterion._g_masks.shape[0] != 4:
        pytest.skip("before 0.9, kornia compared each plane at one scale only")
    inside = criterion(result.double(), target.double())[:, 8:-8, 8:-8]
    # Its windows are float32.
    assert ms_ssim_loss(result.double(), target.double()).item() == pytest.approx(inside.mean().item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_planes_count_alike(loss: Loss) -> None:
    target, result = raw().double(), damaged(raw(), "noise").double()
    result[:, 2] = result[:, 2].roll(1, -1)  # so that the planes differ in their faults
    measured = [loss(result[:, list(order)], target[:, list(order)]).item() for order in permutations(range(4))]
    assert np.ptp(measured) < 1e-12
    alone = [loss(result[:, k : k + 1], target[:, k : k + 1]).item() for k in range(4)]
    assert np.mean(alone) == pytest.approx(measured[0], rel=1e-12)
    assert np.ptp(alone) > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_samples_count_alike(loss: Loss) -> None:
    target = torch.cat([raw("astronaut"), raw("coffee")]).double()
    result = damaged(target.float(), "blur").double()
    alone = [loss(result[k : k + 1], target[k : k + 1]).item() for k in range(2)]
    assert np.mean(alone) == pytest.approx(loss(result, target).item(), rel=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 1000.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_target_itself_costs_nothing_and_is_left_alone(loss: Loss, level: float) -> None:
    target = raw() + level
    result = target.clone().requires_grad_()
    cost = loss(result, target)
    cost.backward()
    assert cost.item() == 0
    assert result.grad is not None
    assert result.grad.abs().max() == 0


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("loss", LOSSES)
def test_digits_are_kept_close_to_the_target(loss: Loss, size: float) -> None:
    """Beside a bright level, 1 - (2 cov + C2) / (v(x) + v(y) + C2) in float32 is rounding noise from 1e-3 on."""
    target = 0.9 + 0.01 * raw()
    result = target + size * torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    assert loss(result, target).item() == pytest.approx(loss(result.double(), target.double()).item(), rel=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e2, 1e4, -1e6])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_result_gone_astray_costs_a_bounded_amount(loss: Loss, level: float) -> None:
    """There, float32 has no digits left for a variance: it comes out as anything, below 0 too."""
    result = (level + damaged(raw(), "noise")).requires_grad_()
    cost = loss(result, raw() + level * 0.999)
    cost.backward()
    assert 0 <= cost.item() <= 2
    assert result.grad is not None
    assert result.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["noise", "negative"])
def test_gradients_are_those_of_finite_differences(loss: Loss, kind: str) -> None:
    target = raw(side=40).double()
    result = damaged(target.float(), kind).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (result,), fast_mode=True)


def test_inverted_structure_is_the_worst_for_ssim_and_passes_ms_ssim() -> None:
    """The caution in the docstring: four negative contrasts multiply to a positive one."""
    texture = 0.2 * torch.randn(1, 4, 48, 48, generator=torch.Generator().manual_seed(3))
    assert ssim_loss(0.5 - texture, 0.5 + texture) > 1.8
    assert ms_ssim_loss(0.5 - texture, 0.5 + texture) < 0.3


@pytest.mark.parametrize(("loss", "taps"), [(ssim_loss, 11), (ms_ssim_loss, 17)])
def test_planes_smaller_than_the_window_are_refused(loss: Loss, taps: int) -> None:
    assert loss(torch.ones(1, 4, taps, taps), torch.zeros(1, 4, taps, taps)) > 0.9
    for height, width in ((taps - 1, 64), (64, taps - 1)):
        with pytest.raises(UsageError, match=f"{taps}x{taps}; planes are {height}x{width}"):
            loss(torch.zeros(1, 4, height, width), torch.zeros(1, 4, height, width))
