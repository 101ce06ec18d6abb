"""Make a Bayer mosaic smaller, as a sensor with larger pixels would see the scene: colour by colour, in its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import SampleError, UsageError


def reduce_sites(packed: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average sites of one plane so that a mosaic has ``1 / factor`` of its sides and the same CFA.

    A new site stands for a square of ``factor`` x ``factor`` old ones. Its value is the mean over that square of its
    own plane, interpolated bilinearly between the plane's sites: a weighted mean of sites of one colour, whose centre
    is that of the square. Plain means of a plane's blocks are not this: their centres do not form a Bayer mosaic, so
    that edges get colours.

    Args:
        packed: ``(4, h, w)``, planes in the CFA's reading order.
        factor: whole number from 1 up.

    Returns:
        ``(4, h // factor, w // factor)`` float32; what is left over at the bottom and right is dropped.

    Raises:
        UsageError: another factor.
        SampleError: nothing would be left.

    >>> reduce_sites(np.arange(16, dtype=np.float32).reshape(4, 2, 2), 2).ravel().tolist()
    [0.75, 5.25, 9.75, 14.25]
    """
    if factor < 1 or factor != int(factor):
        raise UsageError(f"a mosaic is reduced by a whole number from 1 up; got {factor}.")
    rows, columns = (side // factor for side in packed.shape[1:])
    if not rows or not columns:
        raise SampleError(f"reducing {packed.shape[1:]} tiles by {factor} leaves none: filter small images out")
    out = np.empty((4, rows, columns), np.float32)
    for k, plane in enumerate(packed):
        shorter = _line_means(plane, factor, count=rows, offset=k // 2)
        out[k] = _line_means(shorter.T, factor, count=columns, offset=k % 2).T
    return out


def _line_means(lines: NDArray[np.float32], factor: int, *, count: int, offset: int) -> NDArray[np.float32]:
    """Average lines ``(n, m)`` of a plane that begins at sensor line ``offset`` to ``(count, m)``.

    New line i of the plane covers ``factor`` sensor lines from ``(2 i + offset) factor`` on; each lies on a line of the
    plane or halfway between two.
    """
    total = np.zeros((count, lines.shape[1]), np.float32)
    for line in range(factor):
        halves = (2 * np.arange(count) + offset) * factor + line - offset
        total += lines[halves // 2] + lines[(halves + 1) // 2]
    return total / np.float32(2 * factor)
