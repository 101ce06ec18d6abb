"""The official AIM 2022 scores, against their published outputs and against SciPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data
from torch import Tensor

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.aim22 import aim22_psnr, aim22_ssim, reference_values, stored_values
from rawsynth.pairs import Scoring

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared/golden/aim22_scoring.npz"
S7, P20 = Scoring(0, 1023, 1024, floor=True), Scoring(60, 1020, 1024, floor=True)


@pytest.mark.skipif(not GOLDEN.exists(), reason="needs ../shared/golden/aim22_scoring.npz")
def test_official_scores_of_four_patches() -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        dn = {name: torch.from_numpy(golden[name].astype(np.float64)) for name in ("result", "reference")}
        expected = golden["psnr_db"], golden["ssim"]
    result, reference = (dn[name].permute(0, 3, 1, 2) / 1024 for name in ("result", "reference"))
    np.testing.assert_allclose(aim22_psnr(result, reference), expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(aim22_ssim(result, reference), expected[1], rtol=0, atol=1e-6)


def scipy_ssim(x: NDArray[np.float64], y: NDArray[np.float64], truncate: float = 4) -> float:
    """SSIM of one plane as older scikit-image had it: a Gaussian cut at 4 sigma, mirrored borders, 5 pixels cropped."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, 1.5, truncate=truncate, mode="reflect"))

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    top = (2 * mx * my + 0.01**2) * (2 * vxy + 0.03**2)
    bottom = (mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)
    return float((top / bottom)[5:-5, 5:-5].mean())


def photo(height: int, width: int, top: int = 40) -> NDArray[np.float64]:
    """Packed piece of a photograph in [0, 1]."""
    pixels = data.astronaut()[top : top + 2 * height, 100 : 100 + 2 * width, 1] / 255.0
    return np.stack([pixels[k // 2 :: 2, k % 2 :: 2] for k in range(4)])


@pytest.mark.parametrize("size", [(11, 11), (11, 40), (12, 13), (17, 11), (40, 60), (128, 97)])
@pytest.mark.parametrize("sigma", [0.002, 0.05, 0.4])
def test_ssim_is_that_of_scipy(size: tuple[int, int], sigma: float) -> None:
    x = photo(*size)
    y = (x + np.random.default_rng(0).normal(0, sigma, x.shape)).clip(0, 1)
    expected = np.mean([scipy_ssim(x[k], y[k]) for k in range(4)])
    assert float(aim22_ssim(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(expected, abs=1e-12)


def test_eleven_taps_would_be_another_score() -> None:
    """What tells this SSIM from that of newer scikit-image is larger than the tolerance it is checked to."""
    x = photo(40, 60)
    y = (x + np.random.default_rng(0).normal(0, 0.05, x.shape)).clip(0, 1)
    eleven = np.mean([scipy_ssim(x[k], y[k], truncate=3.5) for k in range(4)])
    assert abs(float(aim22_ssim(torch.from_numpy(x), torch.from_numpy(y))) - eleven) > 1e-6


def test_large_planes_are_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.from_numpy(np.stack([photo(20, 30, top) for top in (0, 40, 80)]))
    y = (x + 0.1 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)).clamp(0, 1)
    whole = aim22_ssim(x, y)
    monkeypatch.setattr("rawsynth.evaluation.aim22._CHUNK", 1)
    torch.testing.assert_close(aim22_ssim(x, y), whole, rtol=0, atol=1e-14)
    single = torch.stack([aim22_ssim(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(single, whole, rtol=0, atol=1e-14)


@given(st.permutations(range(4)), st.integers(0, 1000))
def test_the_order_of_planes_does_not_matter(order: list[int], seed: int) -> None:
    x = torch.from_numpy(photo(16, 20))
    y = (x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)
    for score in (aim22_psnr, aim22_ssim):
        assert score(x[order], y[order]).item() == pytest.approx(score(x, y).item(), abs=1e-12)
        assert score(x, y).item() == pytest.approx(score(y, x).item(), abs=1e-12)


def test_more_noise_scores_less() -> None:
    x = torch.from_numpy(photo(40, 60))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for score in (aim22_psnr, aim22_ssim):
        scores = [score((x + sigma * noise).clamp(0, 1), x).item() for sigma in (0, 0.001, 0.01, 0.1, 1.0)]
        assert scores == sorted(scores, reverse=True) and len(set(scores)) == 5


CONSTANTS = [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.0, 1.0), (0.25, 0.5), (0.0, 0.001)]


@pytest.mark.parametrize(("first", "second"), CONSTANTS)
def test_constant_images_have_the_luminance_term_only(first: float, second: float) -> None:
    x, y = torch.full((4, 20, 20), first), torch.full((4, 20, 20), second)
    first, second = x[0, 0, 0].item(), y[0, 0, 0].item()
    expected = (2 * first * second + 1e-4) / (first**2 + second**2 + 1e-4)
    assert aim22_ssim(x, y).item() == pytest.approx(expected, abs=1e-9)
    assert aim22_psnr(x, y).item() == (999.0 if first == second else pytest.approx(-20 * np.log10(second - first)))


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1)])
def test_images_smaller_than_the_window_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="11 pixels or more"):
        aim22_ssim(torch.zeros(4, *size), torch.zeros(4, *size))


def test_nan_has_no_score() -> None:
    x = torch.zeros(4, 20, 20)
    y = x.clone()
    y[0, 0, 0] = torch.nan
    for score in (aim22_psnr, aim22_ssim):
        with pytest.raises(SampleError, match="reference"):
            score(x, y)


@pytest.mark.parametrize("scoring", [S7, P20, Scoring(0, 1024, 1024, True), Scoring(512, 65535, 65535, True)])
def test_a_perfect_result_is_stored_as_its_reference(scoring: Scoring) -> None:
    """Every DN comes back from the float32 unit scale as itself, on both sides."""
    dn = torch.arange(int(scoring.black_dn), int(scoring.white_dn) + 1)
    unit = (dn.float() - scoring.black_dn) / (scoring.white_dn - scoring.black_dn)
    expected = dn.double() / scoring.peak_dn
    assert torch.equal(stored_values(unit, scoring), expected)
    assert torch.equal(reference_values(unit, scoring), expected)


def test_stored_values_are_rounded_down_and_clipped() -> None:
    unit = torch.tensor([-1.0, 0.0, 0.99 / 960, 1.01 / 960, 0.999, 1.0, 2.0], dtype=torch.float64)
    assert (stored_values(unit, P20) * 1024).tolist() == [0, 60, 60, 61, 1019, 1020, 1024]
    assert (reference_values(unit, P20) * 1024).tolist() == [0, 60, 61, 61, 1019, 1020, 1024]
    plain: Tensor = stored_values(unit, Scoring())
    assert plain.tolist() == unit.clamp(0, 1).tolist()
