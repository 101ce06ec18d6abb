"""The stages of a sensor's noise, one function each, after Wei et al., "A Physics-based Noise Formation Model for
Extreme Low-light Raw Denoising", CVPR 2020 (IEEE TPAMI 2021), eq. 1-9, and the EMVA Standard 1288.

Every stage is a pure function of the samples' key words: it draws from a stream of its own, so that no stage's values
depend on which others are in use. All are on the unit scale: black 0, white 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth import seeding
from rawsynth.noise.poisson_gaussian import poisson_signal
from rawsynth.noise.tukey_lambda import tukey_from_bits

SHOT_STREAM, READ_STREAM, ROW_STREAM, COLUMN_STREAM, QUANTIZATION_STREAM = range(5)


def poisson_shot(clean: Tensor, words: Tensor, shot: Tensor) -> Tensor:
    """Replace the light by photon counts: ``S Poisson(x / S)``, the photo-electrons' Poisson law (EMVA 1288, eq. 1).

    Args:
        clean: ``(B, 4, h, w)`` float32; values below 0 hold no photons and pass.
        words: ``(B, 2)`` int32 key words.
        shot: ``(B, 4)`` float32, S.

    Returns:
        ``(B, 4, h, w)`` float32, a tensor of its own.
    """
    normal = seeding.normal_planes(words, clean.shape[-2], clean.shape[-1], SHOT_STREAM)
    return poisson_signal(clean, shot[..., None, None], normal)


def gaussian_shot(clean: Tensor, words: Tensor, shot: Tensor) -> Tensor:
    """Add the Gaussian approximation of shot noise, ``x + sqrt(S x) z`` (Foi et al., IEEE TIP 2008, eq. 5-7).

    Mean and variance are the Poisson law's; its skewness, ``sqrt(S / x)``, is missing. Arguments and result are those
    of :func:`poisson_shot`.
    """
    normal = seeding.normal_planes(words, clean.shape[-2], clean.shape[-1], SHOT_STREAM)
    deviation = clean.clamp(min=0).mul_(shot[..., None, None]).sqrt_()
    return normal.mul_(deviation).add_(clean)


def gaussian_read(words: Tensor, scale: Tensor, height: int, width: int) -> Tensor:
    """Draw Gaussian read noise of standard deviation ``scale``, ``(B, 4)``: Johnson-Nyquist and source-follower noise.

    Returns:
        ``(B, 4, height, width)`` float32.
    """
    return seeding.normal_planes(words, height, width, READ_STREAM).mul_(scale[..., None, None])


def tukey_read(words: Tensor, scale: Tensor, tukey_lambda: Tensor, height: int, width: int) -> Tensor:
    """Draw Tukey-lambda read noise (Wei et al. 2020, eq. 6).

    Args:
        words: ``(B, 2)`` int32 key words.
        scale: ``(B, 4)`` float32; the variance is ``scale**2`` times that of
            :func:`rawsynth.noise.tukey_lambda.tukey_variance`.
        tukey_lambda: ``(B,)`` float32 shapes, above -0.5.
        height, width: of a packed plane.

    Returns:
        ``(B, 4, height, width)`` float32.
    """
    law = _tukey_law(tukey_lambda)
    drawn = seeding.random_planes(words, height, width, stream=READ_STREAM, law=law)
    return drawn.mul_(scale[..., None, None])


def mixed_read(
    words: Tensor, scale: Tensor, tukey_lambda: Tensor, is_tukey: Tensor, height: int, width: int
) -> Tensor:
    """Draw :func:`tukey_read` for the samples where ``is_tukey``, bool ``(B,)``, holds, else :func:`gaussian_read`."""
    tukey_law, choice = _tukey_law(tukey_lambda), is_tukey[:, None]

    def law(bits0: Tensor, bits1: Tensor) -> tuple[Tensor, Tensor]:
        tukey, gaussian = tukey_law(bits0, bits1), seeding.box_muller(bits0, bits1)
        return torch.where(choice, tukey[0], gaussian[0]), torch.where(choice, tukey[1], gaussian[1])

    drawn = seeding.random_planes(words, height, width, stream=READ_STREAM, law=law)
    return drawn.mul_(scale[..., None, None])


def _tukey_law(tukey_lambda: Tensor) -> seeding.Law:
    shapes = tukey_lambda[:, None]
    return lambda bits0, bits1: (tukey_from_bits(bits0, shapes), tukey_from_bits(bits1, shapes))


def row_noise(words: Tensor, sigma: Tensor, height: int) -> Tensor:
    """Draw one Gaussian offset a sensor row (Wei et al. 2020, eq. 7): rows are read out one after the other.

    Sensor row ``2 i + p // 2`` is row ``i`` of packed plane ``p``: planes 0 and 1 share theirs, as 2 and 3 do.

    Args:
        words: ``(B, 2)`` int32 key words.
        sigma: ``(B,)`` float32 standard deviations.
        height: of a packed plane.

    Returns:
        ``(B, 4, height, 1)`` float32.
    """
    even, odd = seeding.normal_pairs(words, height, ROW_STREAM)
    return torch.stack([even, even, odd, odd], dim=1)[..., None] * sigma[:, None, None, None]


def column_noise(words: Tensor, sigma: Tensor, width: int) -> Tensor:
    """Draw one Gaussian offset a sensor column, as column-parallel converters leave; see :func:`row_noise`.

    Sensor column ``2 j + p % 2`` is column ``j`` of packed plane ``p``: planes 0 and 2 share theirs, as 1 and 3 do.

    Returns:
        ``(B, 4, 1, width)`` float32.
    """
    even, odd = seeding.normal_pairs(words, width, COLUMN_STREAM)
    return torch.stack([even, odd, even, odd], dim=1)[:, :, None] * sigma[:, None, None, None]


def color_bias(bias: Tensor) -> Tensor:
    """Spread a constant offset a plane, ``(B, 4)``, of either sign (Wei et al. 2020, 3.2: the dark current's part).

    Returns:
        ``(B, 4, 1, 1)`` float32.
    """
    return bias[..., None, None]


def uniform_quantization(words: Tensor, step: Tensor, height: int, width: int) -> Tensor:
    """Draw the surrogate of rounding, ``U(-q / 2, q / 2)`` of variance ``q**2 / 12`` (EMVA 1288, 2.2; Widrow 1956).

    For consumers of floats that are never rounded: where a codec rounds, this would count the step twice.

    Args:
        words: ``(B, 2)`` int32 key words.
        step: ``(B,)`` float32, one DN on the unit scale.
        height, width: of a packed plane.

    Returns:
        ``(B, 4, height, width)`` float32.
    """
    law = seeding.uniform_from_bits
    drawn = seeding.random_planes(words, height, width, stream=QUANTIZATION_STREAM, law=law)
    return drawn.mul_(step[:, None, None, None])
