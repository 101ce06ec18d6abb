"""The fit of EMVA Standard 1288 (release 3.1, and 4.0's linear model), as its reference implementation evaluates it.

Unweighted, through the origin: system gain from ``var - var_dark`` over ``mean - mean_dark`` up to 70 % of saturation
(equations 20 and 21), saturation where the temporal variance is largest (section 6.6), temporal dark noise from the
dark frames, extrapolated to no exposure time where there are more than two exposure times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.bootstrap import estimate
from rawsynth.calibration.measure import Array, Curve
from rawsynth.calibration.photon_transfer import ABOVE_FIT, FIT_SHARE
from rawsynth.calibration.result import PlaneCalibration, TransferPoint
from rawsynth.errors import SampleError, UsageError
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2

LEAST_DARK_VARIANCE_DN2 = 0.24
"""Below it quantisation hides the dark noise: the standard then states this value, as an upper limit."""


def fit_emva1288(curve: Curve, plane: str, *, tiles: int) -> PlaneCalibration:
    """Evaluate one plane by the standard.

    Args:
        curve: the plane's levels, with the variance of everything (rows, columns, quantisation).
        plane: its name.
        tiles: how many blocks the bootstrap has.

    Raises:
        UsageError: there are no dark frames.
        SampleError: fewer than three levels up to 70 % of saturation, or a variance that does not rise.
    """
    if curve.dark_mean is None or curve.dark_variance is None:
        raise UsageError("the EMVA1288 fit needs two dark frames a level, or two for all: capture them, lens capped.")
    signal, excess = curve.signal(), curve.variance - curve.dark_variance
    peak = saturation_index(curve.variance[0])
    below = np.flatnonzero(signal[0] <= FIT_SHARE * signal[0, peak])
    if signal[0, peak] <= 0:
        raise SampleError(f"plane {plane}: the bright frames are no brighter than the dark ones; are they swapped?")
    if len(below) == 0 or below[-1] < 2:
        raise SampleError(
            f"plane {plane}: {len(below)} levels up to 70 % of saturation, and a gain needs three or more; capture "
            "shorter exposures (the standard asks for 50 levels, evenly from dark to saturation)."
        )
    used = slice(0, below[-1] + 1)
    gain = _slope(signal[:, used], excess[:, used])
    if gain[0] <= 0:
        raise SampleError(f"plane {plane}: the variance does not rise with the signal; are the frames denoised?")
    measured = _dark_variance(curve)
    dark = np.maximum(measured, LEAST_DARK_VARIANCE_DN2)
    return PlaneCalibration(
        plane=plane,
        gain_dn_per_electron=estimate(gain, tiles),
        dark_sigma_dn=estimate(np.sqrt(dark), tiles),
        read_sigma_dn=estimate(np.sqrt(dark - QUANTIZATION_VARIANCE_DN2), tiles),
        dark_offset_dn=float(curve.dark_mean[0, 0]),
        offset_dn2=float(dark[0]),
        full_well_electrons=estimate(_saturation_signal(curve, signal, used, peak) / gain, tiles),
        points=_points(curve, signal, excess, int(below[-1]), peak),
    )


def saturation_index(variance: NDArray[np.float64]) -> int:
    """Return where the variance is largest, searched from the brightest level down.

    The search ends where two successive levels lie below the largest value so far, so that one noisy level does not
    hide the maximum and nothing below it counts.

    >>> saturation_index(np.array([1.0, 9.0, 2.0, 4.0, 5.0, 1.0]))
    4
    >>> saturation_index(np.array([1.0, 2.0, 4.0, 6.0, 5.0, 1.0]))
    3
    """
    found, peak = len(variance) - 1, 0.0
    for k in range(len(variance) - 1, -1, -1):
        if max(variance[k], variance[abs(k - 1)]) < peak:
            break
        found, peak = k, float(variance[k])
    return found


def _slope(x: Array, y: Array) -> Array:
    """Least squares through the origin, unweighted, a row each."""
    return np.asarray((x * y).sum(axis=1) / (x * x).sum(axis=1))


def _dark_variance(curve: Curve) -> Array:
    """Temporal dark variance, ``(R,)``: at no exposure time where more than two were used (section 6.6)."""
    assert curve.dark_variance is not None
    exposures = _numbers([level.exposure_s for level in curve.levels])
    if exposures is None or len(np.unique(exposures)) <= 2:
        first = 0 if exposures is None else int(np.argmin(exposures))
        return np.asarray(curve.dark_variance[:, first])
    centred = exposures - exposures.mean()
    slope = curve.dark_variance @ centred / (centred @ centred)
    return np.asarray(curve.dark_variance.mean(axis=1) - slope * exposures.mean())


def _saturation_signal(curve: Curve, signal: Array, used: slice, peak: int) -> Array:
    """Signal that the linear response has at saturation, ``(R,)`` DN; the signal itself where no light was noted."""
    light = _numbers([level.photons for level in curve.levels])
    if light is None:
        light = _numbers([level.exposure_s for level in curve.levels])
    if light is None or len(np.unique(light)) < 3:
        return np.asarray(signal[:, peak])
    lights = np.broadcast_to(light[used], signal[:, used].shape)
    return np.asarray(_slope(lights, signal[:, used]) * light[peak])


def _numbers(values: Sequence[float | None]) -> Array | None:
    known = [value for value in values if value is not None]
    return np.array(known) if len(known) == len(values) else None


def _points(curve: Curve, signal: Array, excess: Array, last: int, peak: int) -> tuple[TransferPoint, ...]:
    assert curve.dark_variance is not None and curve.dark_count is not None
    error = np.sqrt(2 * (curve.variance[0] ** 2 / curve.count + curve.dark_variance[0] ** 2 / curve.dark_count))
    return tuple(
        TransferPoint(
            level=level.name,
            mean_dn=float(curve.mean[0, k]),
            signal_dn=float(signal[0, k]),
            variance_dn2=float(curve.variance[0, k]),
            excess_dn2=float(excess[0, k]),
            error_dn2=float(error[k]),
            exposure_s=level.exposure_s,
            photons=level.photons,
            excluded="" if k <= last else _reason(k, peak),
        )
        for k, level in enumerate(curve.levels)
    )


def _reason(index: int, peak: int) -> str:
    if index <= peak:
        return ABOVE_FIT
    return "saturated: beyond the largest variance"
