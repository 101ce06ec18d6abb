"""The weighted photon-transfer fit: what a level may tell, which levels may not, and the line through the rest.

``var - var_dark = K * (mean - mean_dark)`` (Janesick, Photon Transfer, 2007, chapter 5), by least squares weighted with
the variance's own variance, ``2 var^2 / n``. Levels that are saturated, not linear or lit unevenly in time are left
out, and each says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.bootstrap import estimate
from rawsynth.calibration.measure import Array, Curve, TileSums, plane_curve
from rawsynth.calibration.result import Estimate, PlaneCalibration, TransferPoint
from rawsynth.calibration.sets import Level
from rawsynth.errors import SampleError
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2

LEAST_LEVELS = 3
FIT_SHARE = 0.7
CLIPPED_SHARE = 1e-4
LIGHT_TOLERANCE = 0.05
RESPONSE_TOLERANCE = 0.10
LINE_TOLERANCE = 0.03
ABOVE_FIT = "above 70 % of saturation"
_LINE_ERRORS = 5.0


@dataclass(frozen=True)
class DarkLevel:
    """One plane's dark frames.

    Attributes:
        variance: temporal variance of single pixels, quantisation included, ``(R,)`` DN^2; ``None`` without darks.
        offset_dn: mean of the dark frames, or the black level without them.
    """

    variance: Array | None
    offset_dn: float


def dark_level(levels: Sequence[Level], dark: Sequence[TileSums], plane: int, weights: Array) -> DarkLevel:
    """Gather one plane's dark frames: at no exposure time where more than two times were used, else at the shortest.

    Args:
        levels: light levels that the dark frames belong to.
        dark: sums of each one's dark frames.
        plane: index of the plane.
        weights: how often each tile counts, ``(R, tiles)``.
    """
    curve = plane_curve(levels, dark, None, plane, weights, white=True)
    times = np.array([level.exposure_s or 0.0 for level in curve.levels])
    shortest = int(np.argmin(times))
    variance = curve.variance[:, shortest]
    if len(np.unique(times)) > 2:
        # Dark current adds its shot noise in proportion to the time; brighter darks count less.
        weight = curve.count / curve.variance[0] ** 2
        centre = (weight @ times) / weight.sum()
        slope = curve.variance @ (weight * (times - centre)) / (weight @ (times - centre) ** 2)
        variance = curve.variance @ weight / weight.sum() - slope * centre
    return DarkLevel(variance, float(curve.mean[0, shortest]))


def fit_weighted(
    curve: Curve, dark: DarkLevel, plane: str, *, tiles: int, black_level: float = 0.0, white_level: float
) -> PlaneCalibration:
    """Fit one plane.

    Args:
        curve: the plane's levels, with single pixels' variance.
        dark: its dark frames; without any, the line's own intercept is the dark variance.
        plane: its name.
        tiles: how many blocks the bootstrap has.
        black_level: DN, for levels without dark frames.
        white_level: DN at which values are clipped.

    Raises:
        SampleError: darks brighter than the flats, saturated flats, too few levels, or a variance that does not rise.
    """
    signal = curve.signal(black_level)
    excess = curve.variance if curve.dark_variance is None else curve.variance - curve.dark_variance
    if signal[0, -1] <= 0:
        raise SampleError(
            f"plane {plane}: the dark frames are brighter than the brightest flat ({-signal[0, -1]:.4g} DN more); "
            "are they swapped? Capture darks with the lens capped, flats of an evenly lit white surface."
        )
    reasons = light_reasons(curve, signal[0], plane)
    error = _errors(curve, curve.variance[0])
    gain, offset, error = _fit_line(curve, signal, excess, reasons, error, plane, white_level - dark.offset_dn)
    if gain[0] <= 0:
        raise SampleError(
            f"plane {plane}: the variance does not rise with the signal (slope {gain[0]:.3g} DN/e-); capture RAW "
            "frames without noise reduction, two of each light with nothing changed in between."
        )
    variance = offset if dark.variance is None else dark.variance
    sigma = np.sqrt(np.maximum(variance, 0.0))
    read = np.sqrt(np.maximum(variance - QUANTIZATION_VARIANCE_DN2, 0.0))
    return PlaneCalibration(
        plane=plane,
        gain_dn_per_electron=estimate(gain, tiles),
        dark_sigma_dn=estimate(sigma, tiles),
        read_sigma_dn=estimate(read, tiles),
        dark_offset_dn=dark.offset_dn,
        offset_dn2=float(variance[0]),
        full_well_electrons=_full_well(curve, signal, gain, tiles, white_level - dark.offset_dn),
        points=_points(curve, signal[0], excess[0], error, reasons),
    )


def light_reasons(curve: Curve, signal: NDArray[np.float64], plane: str) -> list[str]:
    """Name what disqualifies a level whatever the line is; empty where nothing does.

    Raises:
        SampleError: nothing but saturated levels.
    """
    reasons = [""] * len(signal)
    peak = int(np.argmax(curve.variance[0]))
    response = _response(curve, signal)
    for k in range(len(signal)):
        below_peak = f"saturated: variance falls beyond {signal[peak]:.0f} DN"
        if curve.clipped[k] > CLIPPED_SHARE:
            reasons[k] = f"saturated: {100 * curve.clipped[k]:.2g} % of the pixels are clipped"
        elif k > peak and curve.variance[0, k] < (1 - LINE_TOLERANCE) * curve.variance[0, peak]:
            reasons[k] = below_peak
        elif signal[k] <= 0:
            reasons[k] = "no brighter than the dark frames"
        elif curve.light_ratio[k] > LIGHT_TOLERANCE:
            reasons[k] = f"the light changed by {100 * curve.light_ratio[k]:.2g} % between its frames"
        elif abs(response[k]) > RESPONSE_TOLERANCE:
            reasons[k] = f"response {100 * response[k]:+.2g} % off in proportion to the light"
    if all(reason.startswith("saturated") for reason in reasons):
        raise SampleError(f"plane {plane}: every flat is saturated; capture shorter exposures, from 1 % of white up.")
    return reasons


def _response(curve: Curve, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative deviation of signal over light from its median; 0 where the light is unknown or was varied otherwise."""
    none = np.zeros(len(signal))
    for noted in ("photons", "exposure_s"):
        light = [getattr(level, noted) or 0.0 for level in curve.levels]
        if min(light) > 0 and len(set(light)) == len(light):
            break
    else:
        return none
    ratio = signal / np.array(light)
    judged = signal > 0.05 * signal.max()
    deviation = np.where(judged, ratio / np.median(ratio[judged]) - 1, 0.0)
    return none if np.mean(np.abs(deviation[judged]) > RESPONSE_TOLERANCE) > 1 / 3 else deviation


def _errors(curve: Curve, variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of each level's excess variance, Gaussian: ``var(s^2) = 2 sigma^4 / n``."""
    squares = 2 * variance**2 / curve.count
    if curve.dark_variance is not None and curve.dark_count is not None:
        squares = squares + 2 * curve.dark_variance[0] ** 2 / curve.dark_count
    return np.sqrt(squares)


def _fit_line(
    curve: Curve, signal: Array, excess: Array, reasons: list[str], error: Array, plane: str, span_dn: float
) -> tuple[Array, Array, Array]:
    """Fit, leave out the level that is farthest off, and fit again until none is.

    Returns:
        Gain and offset, ``(R,)``, and the levels' errors under the line; ``reasons`` gains what was left out. As in the
        standard, levels above 70 % of saturation are not fitted where enough are below: many sensors bend there.
    """
    free = curve.dark_variance is None
    saturated = [signal[0, k] for k, reason in enumerate(reasons) if reason.startswith("saturated")]
    limit = FIT_SHARE * min([span_dn, *saturated])
    while True:
        usable = [k for k, reason in enumerate(reasons) if not reason]
        if len(usable) < LEAST_LEVELS + free:
            raise _too_few(plane, curve, reasons, LEAST_LEVELS + free)
        low = [k for k in usable if signal[0, k] <= limit]
        core = low if len(low) >= LEAST_LEVELS + free else usable
        gain, offset, error = _weighted(curve, signal, excess, core, error, free)
        residual = excess[0] - gain[0] * signal[0] - offset[0]
        total = np.abs(gain[0] * signal[0]) + (0.0 if curve.dark_variance is None else curve.dark_variance[0])
        excessive = np.abs(residual) / np.maximum(_LINE_ERRORS * error, LINE_TOLERANCE * total)
        worst = max(usable, key=lambda k: float(excessive[k]))
        if excessive[worst] <= 1:
            for k in set(usable) - set(core):
                reasons[k] = ABOVE_FIT
            return gain, offset, error
        share = 100 * residual[worst] / max(total[worst], 1e-12)
        reasons[worst] = f"not linear: variance {share:+.2g} % off the line"


def _weighted(
    curve: Curve, signal: Array, excess: Array, levels: list[int], error: Array, free: bool
) -> tuple[Array, Array, Array]:
    """Least squares weighted by the line's own variance, twice over, as the measured one would favour low outliers."""
    x, y = signal[:, levels], excess[:, levels]
    gain, offset = np.zeros(len(x)), np.zeros(len(x))
    for _ in range(3):
        weight = 1.0 / error[levels] ** 2
        if free:
            centre = (weight * x).sum(axis=1, keepdims=True) / weight.sum()
            gain = (weight * (x - centre) * y).sum(axis=1) / (weight * (x - centre) ** 2).sum(axis=1)
            offset = (weight * y).sum(axis=1) / weight.sum() - gain * centre[:, 0]
        else:
            gain = (weight * x * y).sum(axis=1) / (weight * x * x).sum(axis=1)
        dark = offset[0] if curve.dark_variance is None else curve.dark_variance[0]
        model = gain[0] * signal[0] + dark
        error = _errors(curve, np.where(model > 0, model, curve.variance[0]))
    return gain, offset, error


def _too_few(plane: str, curve: Curve, reasons: list[str], needed: int) -> SampleError:
    left_out = "; ".join(f"{curve.levels[k].name}: {reason}" for k, reason in enumerate(reasons[:12]) if reason)
    usable = sum(not reason for reason in reasons)
    return SampleError(
        f"plane {plane}: {usable} usable light levels of {len(reasons)}, and a fit needs {needed} or more"
        f"{f' ({left_out})' if left_out else ''}. Capture flats at 8 or more exposures from 1 % to 70 % of white."
    )


def _full_well(curve: Curve, signal: Array, gain: Array, tiles: int, span_dn: float) -> Estimate | None:
    """Signal at saturation: all up to white where levels are clipped, else where the variance begins to fall."""
    if curve.clipped.max() > 0.5:
        return estimate(span_dn / gain, tiles)
    peak = int(np.argmax(curve.variance[0]))
    falls = curve.variance[0, -1] < (1 - LINE_TOLERANCE) * curve.variance[0, peak]
    return estimate(signal[:, peak] / gain, tiles) if falls else None


def _points(
    curve: Curve, signal: Array, excess: Array, error: Array, reasons: list[str]
) -> tuple[TransferPoint, ...]:
    return tuple(
        TransferPoint(
            level=level.name,
            mean_dn=float(curve.mean[0, k]),
            signal_dn=float(signal[k]),
            variance_dn2=float(curve.variance[0, k]),
            excess_dn2=float(excess[k]),
            error_dn2=float(error[k]),
            exposure_s=level.exposure_s,
            photons=level.photons,
            excluded=reasons[k],
        )
        for k, level in enumerate(curve.levels)
    )
