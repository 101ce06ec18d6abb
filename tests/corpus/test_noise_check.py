"""noise_check: noise of known variance measures as what it is, and other noise does not."""

import pytest
import torch

from rawsynth.corpus.noise_check import Ratio, check_noise, ratio_of
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import dequantize, quantize

LEVELS = Levels(512, 16383, 14)
SHOT, READ = (4e-3, 2e-3, 1e-3, 5e-4), (1e-4, 2e-4, 3e-5, 1e-5)


def pair(factor: float = 1.0, *, top: float = 0.6, levels: Levels = LEVELS) -> tuple[torch.Tensor, torch.Tensor]:
    """A ramp in each plane, with Gaussian noise of S x + O times a factor, rounded to DN."""
    rng = torch.Generator().manual_seed(0)
    clean = torch.linspace(0.05, top, 200).expand(4, 200, 200).clone()
    shot, read = (torch.tensor(values)[:, None, None] for values in (SHOT, READ))
    noisy = clean + (factor * (shot * clean + read)).sqrt() * torch.randn(clean.shape, generator=rng)
    return clean, dequantize(quantize(noisy, levels), levels)


def entry(levels: Levels = LEVELS) -> dict[str, object]:
    return {"levels": levels.to_json(), "shot": list(SHOT), "read": list(READ)}


@pytest.mark.parametrize("factor", [1.0, 1.5, 0.5])
def test_the_ratio_is_that_of_the_variances(factor: float) -> None:
    checks = check_noise(*pair(factor), entry(), "RGGB")
    assert [check.plane for check in checks] == ["R", "Gr", "Gb", "B"]
    for check in checks:
        ratio = ratio_of([check])
        assert ratio is not None and abs(ratio.value - factor) < 2 * ratio.error < 0.1 * factor
    assert str(Ratio(0.99, 0.0123)) == "0.990 ± 0.012"


def test_bins_follow_the_model_level_by_level() -> None:
    red = check_noise(*pair(), entry(), "RGGB")[0]
    assert len(red.level) == 12 and (red.pixels > 3000).all() and not red.clipped.any()
    assert (abs(red.measured - red.model) < 3 * red.error).all()
    assert red.model[-1] > 4 * red.model[0]


def test_rounding_to_few_bits_is_part_of_the_model() -> None:
    coarse = Levels(4, 255, 8)
    checks = check_noise(*pair(levels=coarse), entry(coarse), "RGGB")
    ratio = ratio_of(checks)
    assert ratio is not None and abs(ratio.value - 1) < 0.02


def test_values_cut_off_at_white_are_left_out() -> None:
    checks = check_noise(*pair(top=1.0), entry(), "BGGR")
    assert all(check.clipped[-1] and not check.clipped[0] for check in checks)
    ratio = ratio_of(checks)
    assert ratio is not None and abs(ratio.value - 1) < 0.03


def test_nothing_but_white_has_no_ratio() -> None:
    white = torch.ones(4, 8, 8)
    assert ratio_of(check_noise(white, white, entry(), "RGGB")) is None
