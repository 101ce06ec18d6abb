"""Row and column noise: what the means of sensor rows and columns vary by beyond what single pixels explain.

In a difference of two frames of one light, a row's mean over W pixels has the variance ``2 (row^2 + white^2 / W)``: the
analysis of variance of two crossed factors. Rows are those of the sensor, which its colour planes share.
"""

from __future__ import annotations

import numpy as np

from rawsynth.calibration.bootstrap import block_weights, estimate
from rawsynth.calibration.measure import Array
from rawsynth.calibration.result import Estimate, Spectrum

_SPECTRUM_POINTS = 256


class RowColumnSums:
    """Sums over pairs of frames.

    Args:
        phases: 2 for a Bayer sensor, whose even and odd rows (columns) hold different planes, else 1.
    """

    def __init__(self, phases: int) -> None:
        self._phases = phases
        self._pairs = 0
        self._squares: list[Array] = []
        self._powers: list[Array] = []
        self._expected = np.zeros(2)

    def add(self, difference: Array, white_variance: float) -> None:
        """Add one pair.

        Args:
            difference: ``(H, W)`` DN of two frames of one light.
            white_variance: temporal variance of single pixels of one frame, mean over the planes, DN^2.
        """
        for axis in (0, 1):
            means = difference.mean(axis=1 - axis)
            for phase in range(self._phases):
                means[phase :: self._phases] -= means[phase :: self._phases].mean()
            power = np.abs(np.fft.rfft(means)) ** 2 / len(means)
            squares = means**2 / 2
            if len(self._squares) < 2:
                self._squares.append(squares)
                self._powers.append(power)
            else:
                self._squares[axis] += squares
                self._powers[axis] += power
            self._expected[axis] += white_variance / difference.shape[1 - axis]
        self._pairs += 1

    def sigma(self, axis: int, rng: np.random.Generator) -> Estimate:
        """Return the noise in DN that rows (axis 0) or columns (1) have in common."""
        squares = self._squares[axis] / self._pairs
        count = len(squares)
        weights = block_weights(count, rng=rng)
        variance = weights @ squares / (count - self._phases) - self._expected[axis] / self._pairs
        return estimate(np.sqrt(np.maximum(variance, 0.0)), count)

    def spectrum(self, axis: int) -> Spectrum:
        """Return the power of row (0) or column (1) means over what single pixels give, in at most 256 bands."""
        power = self._powers[axis][1:] / (2 * self._expected[axis])
        frequency = np.arange(1, len(power) + 1) / len(self._squares[axis])
        edges = np.unique(np.linspace(0, len(power), min(len(power), _SPECTRUM_POINTS) + 1).astype(int))
        counts = np.diff(edges)
        return Spectrum(
            frequency=tuple((np.add.reduceat(frequency, edges[:-1]) / counts).tolist()),
            power=tuple((np.add.reduceat(power, edges[:-1]) / counts).tolist()),
        )
