import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.denoising import correct_illuminance, eld_scores, sidd_scores
from rawsynth.raw.cfa import unpack


def images(seed: int = 0, height: int = 24, width: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy result that leaves [0, 1], and a smooth reference."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0.05, 0.6, width) * np.linspace(0.5, 1.0, height)[:, None] * np.ones((4, 1, 1))
    result = ramp + rng.normal(0, 0.08, ramp.shape)
    return torch.from_numpy(result.astype(np.float32)), torch.from_numpy(ramp.astype(np.float32))


def test_sidd_scores_are_scikit_images_of_the_mosaic() -> None:
    pairs = [images(seed) for seed in range(3)]
    result, reference = (torch.stack(column) for column in zip(*pairs, strict=True))
    psnrs, ssims = sidd_scores(result, reference)
    assert psnrs.shape == ssims.shape == (3,)
    for k in range(3):
        x, y = (unpack(image[k]).double().numpy() for image in (result.clamp(0, 1), reference))
        assert psnrs[k].item() == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1), abs=1e-9)
        wanted = structural_similarity(
            y, x, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssims[k].item() == pytest.approx(wanted, abs=1e-9)


def test_eld_scores_are_scikit_images_after_the_correction() -> None:
    result, reference = images()
    result = result * 0.7
    psnr, ssim = eld_scores(result, reference)
    x, y = result.double().clamp(0, 1).numpy(), reference.double().numpy()
    x = (x * (x * y).sum() / (x * x).sum()).clip(0, 1)
    # As the published evaluation: on the scale of 255, channels last.
    x, y = (image.transpose(1, 2, 0) * 255 for image in (x, y))
    assert psnr.item() == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255), abs=1e-9)
    wanted = structural_similarity(y, x, data_range=255, channel_axis=-1)
    assert ssim.item() == pytest.approx(wanted, abs=1e-9)


def test_the_correction_leaves_saturated_values_out_of_the_fit() -> None:
    reference = torch.full((4, 8, 8), 0.4)
    reference[:, :4] = 1.0
    result = torch.where(reference == 1.0, 0.9, 0.2)
    corrected = correct_illuminance(result, reference)
    assert corrected[:, 4:].unique().tolist() == pytest.approx([0.4])
    assert corrected[:, :4].unique().tolist() == [1.0]


def test_the_correction_of_a_black_result_changes_nothing() -> None:
    reference = torch.full((4, 8, 8), 0.4)
    assert correct_illuminance(torch.full((4, 8, 8), -0.1), reference).abs().max() == 0


def test_what_cannot_be_scored_is_refused() -> None:
    result, reference = images()
    with pytest.raises(UsageError, match="11 pixels"):
        sidd_scores(result[:, :4, :4], reference[:, :4, :4])
    with pytest.raises(UsageError, match="7 pixels"):
        eld_scores(result[:, :6], reference[:, :6])
    with pytest.raises(UsageError, match="one image"):
        eld_scores(result[None], reference[None])
    with pytest.raises(SampleError, match="NaN"):
        sidd_scores(result * torch.nan, reference)
