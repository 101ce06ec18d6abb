"""Distances between a RAW and its reference, in float64, one value an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rawsynth.errors import SampleError, UsageError

IDENTICAL_DB = 999.0
"""PSNR of images without any difference, as AIM 2022 scores them; JSON has no infinity."""

SHADOWS_BELOW, HIGHLIGHTS_ABOVE = 0.05, 0.8
"""Values of the reference, on the unit scale, below and above which sites are shadows and highlights."""

DARK_BELOW, SATURATED_FROM = 0.02, 0.98
"""Values of the reference between which a cell has a colour to speak of."""

LEAST_SITES = 100
"""Fewer sites or cells than this make no score of a part of an image."""

_IMAGE = (-3, -2, -1)


def psnr(result: Tensor, reference: Tensor) -> Tensor:
    """Return the PSNR over all planes, ``10 log10(1 / MSE)`` for a peak of 1.

    Args:
        result: ``(..., 4, h, w)`` float on the unit scale.
        reference: of the same shape.

    Returns:
        ``(...)`` float64 in dB; 999 where nothing differs.

    Raises:
        UsageError: other shapes or integers.
        SampleError: a value that is not finite.

    >>> psnr(torch.full((4, 2, 2), 0.6), torch.full((4, 2, 2), 0.5)).item()
    20.00
    """
    x, y = check_planes(result, reference)
    return decibel((x - y).square().mean(dim=_IMAGE))


def plane_psnr(result: Tensor, reference: Tensor) -> Tensor:
    """Return the PSNR of each plane, ``(..., 4)`` float64 in dB; see :func:`psnr`."""
    x, y = check_planes(result, reference)
    return decibel((x - y).square().mean(dim=(-2, -1)))


def exposure_fitted_psnr(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the PSNR that is left when one factor of exposure is forgiven, and that factor.

    The factor is the least-squares one over all planes, ``a = <x, y> / <x, x>`` for the result x and the reference y;
    ``a x`` is clipped to [0, 1]. For a black result there is nothing to fit, and a = 1.

    Args:
        result: ``(..., 4, h, w)`` float on the unit scale: black is 0, or the factor would mean nothing.
        reference: of the same shape.

    Returns:
        ``(...)`` float64 in dB, and ``(...)`` float64 factors.

    Raises:
        UsageError, SampleError: as :func:`psnr`.

    >>> image = torch.rand(4, 8, 8)
    >>> [value.item() for value in exposure_fitted_psnr(0.5 * image, image)]
    [999.0, 2.0]
    """
    x, y = check_planes(result, reference)
    power = x.square().sum(dim=_IMAGE)
    factor = torch.where(power > 0, (x * y).sum(dim=_IMAGE) / power.where(power > 0, 1.0), 1.0)
    fitted = (x * factor[..., None, None, None]).clamp(0.0, 1.0)
    return decibel((fitted - y).square().mean(dim=_IMAGE)), factor


def tonal_psnr(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the PSNR of shadows and of highlights, each over the sites of all planes that the reference says are such.

    Args:
        result: ``(..., 4, h, w)`` float on the unit scale.
        reference: of the same shape; below 0.05 is shadow, above 0.8 is highlight.

    Returns:
        ``(...)`` float64 each: the shadows' PSNR in dB, the highlights', and how many sites are shadows and highlights;
        NaN in place of a PSNR of fewer than 100 sites.

    Raises:
        UsageError, SampleError: as :func:`psnr`.
    """
    x, y = check_planes(result, reference)
    squares, found = (x - y).square(), []
    for chosen in (y < SHADOWS_BELOW, y > HIGHLIGHTS_ABOVE):
        count = chosen.double().sum(dim=_IMAGE)
        score = decibel((squares * chosen).sum(dim=_IMAGE) / count.clamp(min=1.0))
        found.append((score.where(count >= LEAST_SITES, math.nan), count))
    (shadows, dark), (highlights, bright) = found
    return shadows, highlights, dark, bright


def angular_error(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean angle between the camera colours of result and reference, and over how many cells.

    A cell's colour is (R, (Gr + Gb) / 2, B) of its four sites, before white balance. Cells count where all four sites
    of the reference are below 0.98 and the largest of its three colours is at least 0.02. The angle does not see
    exposure; a cell that the result leaves black is 90 degrees off.

    Args:
        result: ``(..., 4, h, w)`` float on the unit scale, RGGB.
        reference: of the same shape.

    Returns:
        ``(...)`` float64 each: degrees, NaN where fewer than 100 cells count, and the number of cells.

    Raises:
        UsageError, SampleError: as :func:`psnr`.

    >>> image = torch.full((4, 10, 10), 0.5)
    >>> [value.item() for value in angular_error(0.3 * image, image)]
    [0.0, 100.0]
    """
    x, y = check_planes(result, reference)
    made, true = _cell_colors(x), _cell_colors(y)
    counted = (y < SATURATED_FROM).all(dim=-3) & (true.amax(dim=-3) >= DARK_BELOW)
    across = torch.linalg.vector_norm(torch.linalg.cross(made, true, dim=-3), dim=-3)
    # The arc cosine would lose half the digits of a small angle.
    angle = torch.rad2deg(torch.atan2(across, (made * true).sum(dim=-3)))
    angle = angle.where(made.abs().amax(dim=-3) > 0, 90.0)
    cells = counted.double().sum(dim=(-2, -1))
    mean = (angle * counted).sum(dim=(-2, -1)) / cells.clamp(min=1.0)
    return mean.where(cells >= LEAST_SITES, math.nan), cells


def _cell_colors(planes: Tensor) -> Tensor:
    red, first, second, blue = planes.unbind(dim=-3)
    return torch.stack([red, (first + second) / 2, blue], dim=-3)


def decibel(mse: Tensor) -> Tensor:
    """Return ``10 log10(1 / MSE)``, and 999 for 0."""
    return torch.where(mse > 0, -10.0 * torch.log10(mse.where(mse > 0, 1.0)), IDENTICAL_DB)


def check_planes(result: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float64.

    Raises:
        UsageError: not two floating-point tensors ``(..., 4, h, w)`` of one shape, with something in them.
        SampleError: a value that is not finite.
    """
    for name, image in (("result", result), ("reference", reference)):
        if image.dim() < 3 or image.shape[-3] != 4 or 0 in image.shape or not image.is_floating_point():
            raise UsageError(f"{name}: packed RAW is float (..., 4, h, w); got {image.dtype} {tuple(image.shape)}.")
    if result.shape != reference.shape:
        raise UsageError(
            f"a result is scored against a reference of its shape; got {tuple(result.shape)} and "
            f"{tuple(reference.shape)}. Crop them to the same pixels first."
        )
    for name, image in (("result", result), ("reference", reference)):
        if not bool(image.isfinite().all()):
            raise SampleError(f"the {name} holds NaN or infinity; there is no score for that.")
    return result.double(), reference.double()
