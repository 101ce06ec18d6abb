"""PSNR of planes, and what one factor of exposure forgives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.metrics import angular_error, exposure_fitted_psnr, plane_psnr, psnr, tonal_psnr

METRICS = [
    psnr,
    plane_psnr,
    lambda x, y: exposure_fitted_psnr(x, y)[0],
    lambda x, y: tonal_psnr(x, y)[2],
    lambda x, y: angular_error(x, y)[1],
]


def image(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape or (4, 6, 8), generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10**6), st.sampled_from([(4, 1, 1), (4, 6, 8), (3, 4, 5, 7), (2, 3, 4, 2, 2)]))
def test_psnr_is_that_of_scikit_image(seed: int, shape: tuple[int, ...]) -> None:
    x, y = image(seed, *shape), image(seed + 1, *shape)
    flat = zip(x.reshape(-1, *shape[-3:]).double().numpy(), y.reshape(-1, *shape[-3:]).double().numpy(), strict=True)
    pairs = list(flat)
    expected = [peak_signal_noise_ratio(b, a, data_range=1.0) for a, b in pairs]
    assert psnr(x, y).dtype == torch.float64 and psnr(x, y).shape == shape[:-3]
    np.testing.assert_allclose(psnr(x, y).reshape(-1), expected, rtol=1e-12)
    planes = [[peak_signal_noise_ratio(b[k], a[k], data_range=1.0) for k in range(4)] for a, b in pairs]
    np.testing.assert_allclose(plane_psnr(x, y).reshape(-1, 4), planes, rtol=1e-12)


def test_identical_images_score_999() -> None:
    x = image(0, 2, 4, 6, 8)
    assert psnr(x, x).tolist() == [999.0] * 2
    assert plane_psnr(x, x).tolist() == [[999.0] * 4] * 2
    fitted, factor = exposure_fitted_psnr(x, x)
    assert (fitted.tolist(), factor.tolist()) == ([999.0] * 2, [1.0] * 2)


def test_one_image_of_a_batch_may_be_identical() -> None:
    x = image(0, 2, 4, 6, 8)
    y = x.clone()
    y[1] += 0.125
    assert psnr(x, y).tolist() == pytest.approx([999.0, -20 * np.log10(0.125)], abs=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_a_black_result_has_no_exposure_to_fit(level: float) -> None:
    black, flat = torch.zeros(4, 5, 5), torch.full((4, 5, 5), level)
    fitted, factor = exposure_fitted_psnr(black, flat)
    assert factor.item() == 1.0
    assert fitted.item() == psnr(black, flat).item() == pytest.approx(-20 * np.log10(level) if level else 999.0)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_a_factor_of_exposure_changes_nothing(seed: int, factor: float) -> None:
    x, y = image(seed).double(), 0.3 * image(seed + 1).double()
    before, first = exposure_fitted_psnr(x, y)
    after, second = exposure_fitted_psnr(factor * x, y)
    assert after.item() == pytest.approx(before.item(), abs=1e-9)
    assert second.item() * factor == pytest.approx(first.item(), rel=1e-9)


@given(st.integers(0, 10**6), st.floats(0.1, 4.0))
def test_no_other_factor_does_better(seed: int, other: float) -> None:
    """The fit is the least-squares one, as numpy finds it, and beats every other factor where nothing clips."""
    x, y = image(seed).double(), 0.2 * image(seed + 1).double()
    fitted, factor = exposure_fitted_psnr(x, y)
    expected, *_ = np.linalg.lstsq(x.reshape(-1, 1).numpy(), y.reshape(-1).numpy(), rcond=None)
    assert factor.item() == pytest.approx(expected[0], rel=1e-9)
    assert fitted.item() >= psnr(other * x, y).item() - 1e-9


def test_a_fitted_result_is_clipped() -> None:
    """Half of the pixels asks for a factor of 2, which takes the others past white; there they are right."""
    x = torch.cat([torch.full((4, 4, 8), 0.5), torch.full((4, 4, 8), 0.75)], dim=1)
    y = torch.ones_like(x)
    fitted, factor = exposure_fitted_psnr(x, y)
    a = (0.5 + 0.75) / (0.25 + 0.5625)
    assert factor.item() == pytest.approx(a)
    assert fitted.item() == pytest.approx(-10 * np.log10((1 - 0.5 * a) ** 2 / 2))


def test_batch_equals_single() -> None:
    x, y = image(0, 3, 4, 6, 8), image(1, 3, 4, 6, 8)
    for metric in METRICS:
        single = torch.stack([metric(a, b) for a, b in zip(x, y, strict=True)])
        torch.testing.assert_close(metric(x, y), single, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["result", "reference"])
def test_what_is_not_finite_has_no_score(metric: object, bad: float, side: str) -> None:
    images = {"result": image(0), "reference": image(1)}
    images[side][2, 3, 4] = bad
    with pytest.raises(SampleError, match=f"{side} holds NaN or infinity"):
        metric(images["result"], images["reference"])  # type: ignore[operator]


BAD_SHAPES = [
    ("another size", torch.zeros(4, 6, 8), torch.zeros(4, 6, 7)),
    ("another batch", torch.zeros(4, 6, 8), torch.zeros(1, 4, 6, 8)),
    ("three planes", torch.zeros(3, 6, 8), torch.zeros(3, 6, 8)),
    ("one plane", torch.zeros(6, 8), torch.zeros(6, 8)),
    ("integers", torch.zeros(4, 6, 8, dtype=torch.int32), torch.zeros(4, 6, 8, dtype=torch.int32)),
    ("nothing", torch.zeros(4, 0, 8), torch.zeros(4, 0, 8)),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("x", "y"), [row[1:] for row in BAD_SHAPES], ids=[row[0] for row in BAD_SHAPES])
def test_what_cannot_be_compared_is_refused(metric: object, x: Tensor, y: Tensor) -> None:
    with pytest.raises(UsageError):
        metric(x, y)  # type: ignore[operator]


def test_shadows_and_highlights_are_sites_of_the_reference() -> None:
    """Against numpy's selection, on values all over the range, the bounds themselves left out."""
    generator = torch.Generator().manual_seed(3)
    y = torch.rand(2, 4, 40, 30, generator=generator)
    y[0, :, :5], y[0, :, 5:9] = 0.05, 0.8
    x = (y + 0.1 * torch.randn(y.shape, generator=generator)).clamp(0, 1)
    shadows, highlights, dark, bright = tonal_psnr(x, y)
    for k in range(2):
        made, true = x[k].double().numpy(), y[k].double().numpy()
        for chosen, score, count in ((true < 0.05, shadows, dark), (true > 0.8, highlights, bright)):
            mse = np.mean((made - true)[chosen] ** 2)
            assert (score[k].item(), count[k].item()) == (pytest.approx(-10 * np.log10(mse)), chosen.sum())


def test_too_few_sites_make_no_score() -> None:
    y = torch.full((4, 10, 10), 0.5)
    y[0, :, :9] = 0.01
    y[1] = 0.9
    x = y + 0.1
    shadows, highlights, dark, bright = tonal_psnr(x, y)
    assert (dark.item(), bright.item()) == (90, 100)
    assert np.isnan(shadows.item()) and highlights.item() == pytest.approx(20.0, abs=1e-4)


def test_angles_between_colours() -> None:
    """Known vectors in camera RGB: a right angle, 45 degrees, an exposure alone, and black."""
    red, yellow, white = (torch.tensor(c)[:, None, None].expand(4, 10, 12) * 0.5 for c in (
        [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]))  # fmt: skip
    rows = [
        (red, red.flip(0), 90.0),
        (yellow, red, 45.0),
        (0.1 * white, white, 0.0),
        (0 * white, white, 90.0),
        (white, red, np.degrees(np.arccos(1 / np.sqrt(3)))),
    ]
    for made, true, degrees in rows:
        angle, cells = angular_error(made, true)
        assert (angle.item(), cells.item()) == (pytest.approx(degrees, abs=1e-9), 120)


def test_cells_that_are_dark_or_saturated_have_no_colour() -> None:
    y = torch.full((4, 20, 20), 0.5)
    y[:, :4] = 0.019
    y[2, 4:7] = 0.98
    x = y.clone()
    x[0, :7] = 0.0
    angle, cells = angular_error(x, y)
    assert (angle.item(), cells.item()) == (0.0, 20 * 13)
    assert np.isnan(angular_error(torch.zeros(4, 20, 20), torch.zeros(4, 20, 20))[0].item())


@given(st.integers(0, 10**6), st.floats(1e-3, 1.0))
def test_an_angle_does_not_see_exposure(seed: int, factor: float) -> None:
    x, y = image(seed, 4, 12, 10).double(), image(seed + 1, 4, 12, 10).double()
    assert angular_error(factor * x, y)[0].item() == pytest.approx(angular_error(x, y)[0].item(), abs=1e-9, nan_ok=True)
