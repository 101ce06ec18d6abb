"""Noise of a camera by ISO: the one noise profile, with units in its names.

Digital numbers (DN) are those of the camera's own levels. Between two ISOs everything positive is interpolated in
log-log: the system gain is proportional to the ISO, and read noise in DN follows a power of it, within one conversion
gain. A sensor with two conversion gains (dual gain) reads with less noise from the second on, so no line is ever drawn
across ``high_gain_isos``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from rawsynth.errors import UsageError
from rawsynth.raw.noise_params import Planes, read_from_sigma, shot_from_gain
from rawsynth.raw.sensor_noise import NO_BIAS, SensorNoise

SPREAD_FIELDS = ("gain_dn_per_electron", "read_sigma_dn", "tukey_scale_dn", "row_sigma_dn", "column_sigma_dn")
# Half a percent: 6400 asked for against a table that ends at 6399.9 is no extrapolation.
_ISO_TOLERANCE = 0.005


@dataclass(frozen=True)
class NoisePoint:
    """Noise at one ISO.

    Attributes:
        iso: the setting.
        gain_dn_per_electron: system gain K a plane.
        read_sigma_dn: standard deviation of single pixels' read noise a plane, if it is taken as Gaussian; without
            rows, columns and quantisation.
        tukey_scale_dn: scale of Tukey-lambda read noise a plane, where it was measured; no standard deviation.
        tukey_lambda: shape of that distribution at this ISO, where the profile has one an ISO.
        row_sigma_dn, column_sigma_dn: standard deviation of what a sensor row or column has in common.
        color_bias_dn: what the dark level of a plane is off the black level by.
        flags: what to know of the figures, e.g. ``"read_floored"``: the source's read variance was not positive and
            stands at the quantisation variance.
    """

    iso: float
    gain_dn_per_electron: Planes
    read_sigma_dn: Planes
    tukey_scale_dn: Planes | None = None
    tukey_lambda: float | None = None
    row_sigma_dn: float = 0.0
    column_sigma_dn: float = 0.0
    color_bias_dn: Planes = NO_BIAS
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("gain_dn_per_electron", "read_sigma_dn", "tukey_scale_dn"):
            planes = getattr(self, name)
            if planes is not None and not (len(planes) == 4 and all(0 < value < math.inf for value in planes)):
                raise UsageError(f"ISO {self.iso:g}: {name} is positive in all four planes; got {planes!r}.")
        if not 0 < self.iso < math.inf:
            raise UsageError(f"an ISO is positive; got {self.iso!r}.")
        if self.tukey_lambda is not None and not -0.5 < self.tukey_lambda < math.inf:
            raise UsageError(f"ISO {self.iso:g}: tukey_lambda is above -0.5; got {self.tukey_lambda!r}.")
        for name in ("row_sigma_dn", "column_sigma_dn"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"ISO {self.iso:g}: {name} is a number >= 0; got {getattr(self, name)!r}.")
        if len(self.color_bias_dn) != 4 or not all(math.isfinite(bias) for bias in self.color_bias_dn):
            raise UsageError(f"ISO {self.iso:g}: color_bias_dn is four finite numbers; got {self.color_bias_dn!r}.")


@dataclass(frozen=True)
class NoiseProfile:
    """Noise of one camera by ISO.

    Attributes:
        points: by rising ISO.
        high_gain_isos: first ISO of each further conversion gain; nothing is interpolated across it.
        tukey_lambdas: shapes of the read noise that were measured, at whatever ISO; one is drawn for each sample. Where
            the points have a shape each, this is empty.
        log_spread: standard deviation of a field's natural logarithm about the table, by field of the points.
        nominal_iso: the source states gains, and the ISOs are an assumption that ``sources`` explains.

    Raises:
        UsageError: no points, an ISO twice, or fields that only some of the points have.
    """

    points: tuple[NoisePoint, ...]
    high_gain_isos: tuple[float, ...] = ()
    tukey_lambdas: tuple[float, ...] = ()
    log_spread: Mapping[str, float] = field(default_factory=dict)
    nominal_iso: bool = False

    def __post_init__(self) -> None:
        if not self.points:
            raise UsageError("a noise profile has at least one ISO.")
        object.__setattr__(self, "points", tuple(sorted(self.points, key=lambda point: point.iso)))
        if len({point.iso for point in self.points}) < len(self.points):
            raise UsageError("an ISO stands twice in a noise profile.")
        scales = sum(point.tukey_scale_dn is not None for point in self.points)
        shapes = sum(point.tukey_lambda is not None for point in self.points)
        shapes += len(self.points) if self.tukey_lambdas else 0
        if scales not in (0, len(self.points)) or shapes != scales:
            raise UsageError(
                "Tukey-lambda noise has tukey_scale_dn at every ISO, and tukey_lambda at every ISO or tukey_lambdas "
                "for all; give both or neither."
            )
        if any(not -0.5 < shape < math.inf for shape in self.tukey_lambdas):
            raise UsageError(f"tukey_lambdas are above -0.5, or the variance is infinite; got {self.tukey_lambdas}.")
        if any(not 0 < iso < math.inf for iso in self.high_gain_isos):
            raise UsageError(f"high_gain_isos are positive; got {self.high_gain_isos}.")
        unknown = sorted(set(self.log_spread) - set(SPREAD_FIELDS))
        if unknown or any(not 0 <= spread < math.inf for spread in self.log_spread.values()):
            names = ", ".join(SPREAD_FIELDS)
            raise UsageError(f"log_spread has numbers >= 0 for {names}; got {dict(self.log_spread)}.")

    @property
    def iso_range(self) -> tuple[float, float]:
        """Lowest and highest ISO of the table."""
        return self.points[0].iso, self.points[-1].iso

    @property
    def isos(self) -> tuple[float, ...]:
        """The ISOs of the table."""
        return tuple(point.iso for point in self.points)

    def at(self, iso: float, *, extrapolate: bool = False) -> NoisePoint:
        """Return the noise at an ISO: log-log interpolated within one conversion gain.

        Args:
            iso: within the table.
            extrapolate: go on beyond the table along the line of the nearest two points of that conversion gain.

        Raises:
            UsageError: the ISO lies outside the table.
        """
        low, high = self.iso_range
        inside = low * (1 - _ISO_TOLERANCE) <= iso <= high * (1 + _ISO_TOLERANCE)
        if not (0 < iso < math.inf) or not (inside or extrapolate):
            raise UsageError(
                f"ISO {iso:g} is outside the noise profile, {low:g} to {high:g}; choose an ISO within, "
                "measure this one, or allow extrapolation (extrapolate=True, --extrapolate)."
            )
        points = [point for point in self.points if self._gain_mode(point.iso) == self._gain_mode(iso)]
        if not points:
            raise UsageError(f"ISO {iso:g} is read with a conversion gain of which the noise profile has no ISO.")
        for point in points:
            if point.iso == iso:
                return point
        if len(points) == 1:
            return _amplified(points[0], iso)
        right = min(max(int(np.searchsorted([point.iso for point in points], iso)), 1), len(points) - 1)
        return _between(points[right - 1], points[right], iso)

    def sensor_noise(
        self,
        iso: float,
        *,
        range_dn: float,
        cfa: str,
        extrapolate: bool = False,
        rng: np.random.Generator | None = None,
    ) -> SensorNoise:
        """Return the noise at an ISO on the unit scale.

        Args:
            iso: see :meth:`at`.
            range_dn: white minus black of the camera, DN.
            cfa: the camera's layout, whose reading order the planes have.
            extrapolate: see :meth:`at`.
            rng: draws each figure from its spread about the table and, where the ISOs have none of their own, a
                Tukey-lambda shape from those measured; without it, the table itself and the middle shape.
        """
        point = self.at(iso, extrapolate=extrapolate)
        factors = {
            name: math.exp(self.log_spread.get(name, 0.0) * (0.0 if rng is None else float(rng.standard_normal())))
            for name in SPREAD_FIELDS
        }
        shape = point.tukey_lambda
        if self.tukey_lambdas:
            index = len(self.tukey_lambdas) // 2 if rng is None else int(rng.integers(len(self.tukey_lambdas)))
            shape = sorted(self.tukey_lambdas)[index]
        gain = _scaled(point.gain_dn_per_electron, factors["gain_dn_per_electron"])
        sigma = _scaled(point.read_sigma_dn, factors["read_sigma_dn"])
        tukey = None
        if point.tukey_scale_dn is not None:
            tukey = _scaled(point.tukey_scale_dn, factors["tukey_scale_dn"] / range_dn)
        return SensorNoise(
            shot=_mapped(gain, lambda k: shot_from_gain(k, range_dn)),
            read=_mapped(sigma, lambda s: read_from_sigma(s, range_dn)),
            tukey_scale=tukey,
            tukey_lambda=shape,
            row_sigma=point.row_sigma_dn * factors["row_sigma_dn"] / range_dn,
            column_sigma=point.column_sigma_dn * factors["column_sigma_dn"] / range_dn,
            color_bias=_scaled(point.color_bias_dn, 1.0 / range_dn),
            cfa=cfa,
            iso=iso,
        )

    def _gain_mode(self, iso: float) -> int:
        return sum(iso >= first for first in self.high_gain_isos)


def _mapped(planes: Planes, function: Callable[[float], float]) -> Planes:
    first, second, third, fourth = map(function, planes)
    return first, second, third, fourth


def _scaled(planes: Planes, factor: float) -> Planes:
    return _mapped(planes, lambda value: value * factor)


def _amplified(point: NoisePoint, iso: float) -> NoisePoint:
    """Amplify the one known point of a conversion gain: all in DN goes with the ISO, nothing in electrons changes."""
    factor = iso / point.iso
    return replace(
        point,
        iso=iso,
        gain_dn_per_electron=_scaled(point.gain_dn_per_electron, factor),
        read_sigma_dn=_scaled(point.read_sigma_dn, factor),
        tukey_scale_dn=None if point.tukey_scale_dn is None else _scaled(point.tukey_scale_dn, factor),
        row_sigma_dn=point.row_sigma_dn * factor,
        column_sigma_dn=point.column_sigma_dn * factor,
    )


def _between(left: NoisePoint, right: NoisePoint, iso: float) -> NoisePoint:
    """Interpolate, or go on along, the line through two points."""
    share = math.log(iso / left.iso) / math.log(right.iso / left.iso)
    values: dict[str, object] = {"iso": iso, "flags": tuple(dict.fromkeys((*left.flags, *right.flags)))}
    for name in (f.name for f in fields(NoisePoint) if f.name not in values):
        a, b = getattr(left, name), getattr(right, name)
        if name == "tukey_lambda":
            values[name] = None if a is None else a + (b - a) * min(max(share, 0.0), 1.0)
        elif name == "color_bias_dn":
            values[name] = tuple(x + (y - x) * min(max(share, 0.0), 1.0) for x, y in zip(a, b, strict=True))
        elif isinstance(a, tuple):
            values[name] = tuple(_log_line(x, y, share) for x, y in zip(a, b, strict=True))
        else:
            values[name] = None if a is None else _log_line(a, b, share)
    return NoisePoint(**values)  # type: ignore[arg-type]


def _log_line(a: float, b: float, share: float) -> float:
    # Rows or columns may have no noise at one of the two ISOs: a straight line then, as there is no logarithm.
    if a <= 0 or b <= 0:
        return max(a + (b - a) * min(max(share, 0.0), 1.0), 0.0)
    return math.exp(math.log(a) + (math.log(b) - math.log(a)) * share)


def planes_of(value: float | Sequence[float]) -> Planes:
    """Spread one number over four planes, or take four as they are, of either sign.

    Raises:
        UsageError: another count.
    """
    numbers = [float(value)] * 4 if isinstance(value, int | float) else [float(v) for v in value]
    if len(numbers) != 4:
        raise UsageError(f"one number, or four in the CFA's reading order; got {value!r}.")
    return numbers[0], numbers[1], numbers[2], numbers[3]
