"""What is known of a sensor's noise at one setting: the one form between camera profiles and noise models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import check_cfa, plane_names
from rawsynth.raw.noise_params import Planes, four_planes

NO_BIAS: Planes = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SensorNoise:
    """Noise of one sensor at one setting, on the unit scale: black 0, white 1.

    Attributes:
        shot: S a plane, the system gain over the range: ``K / (white - black)``.
        read: O a plane, the variance of what is read noise of single pixels, if it is taken as Gaussian; without rows,
            columns and quantisation.
        tukey_scale: scale of Tukey-lambda read noise a plane, or ``None`` where it is Gaussian. A scale is no standard
            deviation: the variance is ``scale**2`` times the distribution's own.
        tukey_lambda: shape of that distribution, above -0.5; 0 is the logistic.
        row_sigma, column_sigma: standard deviation of what a sensor row or column has in common.
        color_bias: constant offset a plane, of either sign.
        quantization_step: one DN; 0 leaves rounding to the codec.
        cfa: what order the planes have.
        iso: the setting, where it has one.

    Raises:
        UsageError: a negative or non-finite value, or a Tukey-lambda scale without a shape.

    >>> SensorNoise.white(shot=0.01, read=1e-4).total_read()
    (0.0001, 0.0001, 0.0001, 0.0001)
    """

    shot: Planes
    read: Planes
    tukey_scale: Planes | None = None
    tukey_lambda: float | None = None
    row_sigma: float = 0.0
    column_sigma: float = 0.0
    color_bias: Planes = NO_BIAS
    quantization_step: float = 0.0
    cfa: str = "RGGB"
    iso: float | None = None

    def __post_init__(self) -> None:
        check_cfa(self.cfa)
        for name in ("shot", "read", "tukey_scale"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, four_planes(getattr(self, name), name))
        for name in ("row_sigma", "column_sigma", "quantization_step"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is a number >= 0; got {getattr(self, name)!r}.")
        if len(self.color_bias) != 4 or not all(math.isfinite(bias) for bias in self.color_bias):
            raise UsageError(f"color_bias is four finite numbers; got {self.color_bias!r}.")
        if (self.tukey_scale is None) != (self.tukey_lambda is None):
            raise UsageError("Tukey-lambda read noise has a scale and a shape; give tukey_scale and tukey_lambda.")
        if self.tukey_lambda is not None and not -0.5 < self.tukey_lambda < math.inf:
            raise UsageError(f"tukey_lambda is above -0.5, or the variance is infinite; got {self.tukey_lambda!r}.")

    @classmethod
    def white(cls, shot: float | Sequence[float], read: float | Sequence[float]) -> SensorNoise:
        """Noise of which only S and O are known."""
        return cls(four_planes(shot, "shot"), four_planes(read, "read"))

    def total_read(self) -> Planes:
        """Return the variance of all that does not depend on light, a plane, as a Gaussian model has it."""
        banding = self.row_sigma**2 + self.column_sigma**2
        first, second, third, fourth = (read + banding for read in self.read)
        return first, second, third, fourth

    def in_layout(self, cfa: str) -> SensorNoise:
        """Return the same noise with planes in the order of another layout; see :func:`plane_order`."""
        if cfa == self.cfa:
            return self
        order = plane_order(self.cfa, cfa)

        def reordered(planes: Planes) -> Planes:
            return planes[order[0]], planes[order[1]], planes[order[2]], planes[order[3]]

        return replace(
            self,
            shot=reordered(self.shot),
            read=reordered(self.read),
            tukey_scale=None if self.tukey_scale is None else reordered(self.tukey_scale),
            color_bias=reordered(self.color_bias),
            cfa=cfa,
        )


def plane_order(source: str, target: str) -> tuple[int, ...]:
    """Return which plane of ``source`` each plane of ``target`` is: colour by colour, green by the row that it is in.

    >>> plane_order("RGGB", "GBRG")
    (2, 3, 0, 1)
    """
    names = plane_names(source)
    return tuple(names.index(name) for name in plane_names(target))
