"""The orthonormal Haar wavelet, which splits every 2x2 block into its mean and three kinds of detail."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rawsynth.errors import UsageError


def haar(image: Tensor) -> Tensor:
    """Transform images with the orthonormal Haar wavelet, one level.

    A block ``[[a, b], [c, d]]`` becomes four bands: ``(a + b + c + d) / 2``, twice its mean; ``(a + b - c - d) / 2``,
    the step between its rows; ``(a - b + c - d) / 2``, between its columns; ``(a - b - c + d) / 2``, between its
    diagonals. The matrix of the four is orthonormal, so energy is kept, and symmetric, so it is its own inverse.

    Args:
        image: ``(B, C, H, W)`` float of even sides.

    Returns:
        ``(B, 4 C, H/2, W/2)`` in the input's dtype; channel ``4 c + k`` is band ``k`` of channel ``c``.

    Raises:
        UsageError: not such a tensor.

    >>> haar(torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])).flatten().tolist()
    [5.5, -2.5, -1.5, 0.5]
    """
    check_float_batch(image)
    if image.shape[-2] % 2 or image.shape[-1] % 2:
        raise UsageError(f"the Haar wavelet takes even sides; got {image.shape[-2]}x{image.shape[-1]}. Crop or pad.")
    return mix_quads(functional.pixel_unshuffle(image, 2))


def inverse_haar(bands: Tensor) -> Tensor:
    """Undo :func:`haar`.

    Args:
        bands: ``(B, 4 C, h, w)`` float, channel ``4 c + k`` being band ``k`` of channel ``c``.

    Returns:
        ``(B, C, 2 h, 2 w)`` in the input's dtype.

    Raises:
        UsageError: not such a tensor.
    """
    check_float_batch(bands)
    if bands.shape[1] % 4:
        raise UsageError(f"Haar bands come in fours; got {bands.shape[1]} channels.")
    return functional.pixel_shuffle(mix_quads(bands), 2)


def mix_quads(quads: Tensor) -> Tensor:
    """Multiply each four successive channels of ``(B, 4 C, h, w)`` by the Hadamard matrix of order 4, halved."""
    a, b, c, d = quads.reshape(quads.shape[0], -1, 4, *quads.shape[2:]).unbind(2)
    upper, lower, left, right = a + b, c + d, a - b, c - d
    bands = (upper + lower, upper - lower, left + right, left - right)
    return torch.stack(bands, dim=2).flatten(1, 2) * 0.5


def check_float_batch(image: Tensor) -> None:
    """Raise UsageError unless this is a batch of images of floats."""
    if image.dim() != 4 or not image.is_floating_point():
        raise UsageError(f"a wavelet takes a float tensor (B, C, H, W); got {image.dtype} {tuple(image.shape)}.")
