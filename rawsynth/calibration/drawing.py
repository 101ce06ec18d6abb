"""Pictures of a calibration: photon transfer, quantiles of the darks, spectra of rows and columns, figures over ISO."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rawsynth.calibration.result import Estimate, IsoCalibration, PlaneCalibration, TukeyFit
from rawsynth.calibration.sets import MONO
from rawsynth.calibration.tukey import tukey_cdf
from rawsynth.evaluation.charts import (
    COLORS,
    MUTED,
    Series,
    fit_chart,
    line_chart,
    panel_chart,
    spectrum_chart,
)

_BLUE, _RED, _GREEN, _BRIGHT_GREEN = COLORS[0], COLORS[1], COLORS[2], COLORS[4]
PLANE_COLORS = {"R": _RED, "Gr": _GREEN, "Gb": _BRIGHT_GREEN, "B": _BLUE, MONO: _BLUE}
_GRID = 1 << 14

Array = NDArray[np.float64]


def draw_photon_transfer(iso: IsoCalibration) -> bytes:
    """Draw variance over signal a plane, the fit, and what the fit leaves in percent of the variance."""
    series, residuals = [], []
    for plane in iso.planes:
        color = PLANE_COLORS[plane.plane]
        gain, start = plane.gain_dn_per_electron.value, _intercept(plane)
        signal, excess, variance, error = _columns(plane)
        used = np.array([not point.excluded for point in plane.points])
        left = 100 * (excess - gain * signal - start) / np.maximum(variance, 1e-12)
        spread = 100 * error / np.maximum(variance, 1e-12)
        reach = np.array([0.0, signal[used].max()])
        series += [
            Series(plane.plane, signal[used], excess[used], style="dots", color=color),
            Series("", signal[~used], excess[~used], style="crosses", color=color),
            Series("", reach, start + gain * reach, color=color),
        ]
        x, y, half = signal[used], left[used], 2 * spread[used]
        residuals.append(Series("", x, y, y - half, y + half, style="dots", color=color))
    if any(point.excluded for plane in iso.planes for point in plane.points):
        series.append(Series("left out (see the table)", [], [], style="crosses", color=MUTED))
    return fit_chart(
        series,
        residuals,
        x_label="signal above the dark frames, DN",
        y_label="variance above the dark frames, DN\N{SUPERSCRIPT TWO}",
        residual_label="residual, %",
    )


def _columns(plane: PlaneCalibration) -> tuple[Array, Array, Array, Array]:
    rows = [(point.signal_dn, point.excess_dn2, point.variance_dn2, point.error_dn2) for point in plane.points]
    signal, excess, variance, error = np.array(rows).T
    return signal, excess, variance, error


def _intercept(plane: PlaneCalibration) -> float:
    """Return the line's value at no signal: nothing where the dark frames' variance was taken off each level."""
    without_darks = all(point.excess_dn2 == point.variance_dn2 for point in plane.points)
    return plane.offset_dn2 if without_darks else 0.0


def draw_dark_quantiles(planes: Sequence[PlaneCalibration], tukey: TukeyFit) -> bytes:
    """Draw the darks' quantiles over those of the Gaussian that fits their middle half, and the Tukey-lambda fit's.

    The lower panel has the same without the Gaussian, where tails can be seen.
    """
    series, residuals = [], []
    for k, plane in enumerate(planes):
        color = PLANE_COLORS[plane.plane]
        observed, theory = np.array(tukey.observed[k]), np.array(tukey.theory[k])
        normal = _normal_quantiles(_shares(theory, tukey.shape.value, tukey.scale_dn[k].value))
        middle = np.abs(normal) < NormalDist().inv_cdf(0.75)
        middle = middle if middle.sum() > 2 else np.ones_like(middle)
        gaussian = normal * float(normal[middle] @ observed[middle] / (normal[middle] @ normal[middle]))
        series += [
            Series(plane.plane, gaussian, observed, style="dots", color=color),
            Series("", gaussian, theory, color=color),
        ]
        residuals += [
            Series("", gaussian, observed - gaussian, style="dots", color=color),
            Series("", gaussian, theory - gaussian, color=color),
        ]
    ends = np.concatenate([np.asarray(one.x) for one in series])
    span = [float(ends.min()), float(ends.max())]
    return fit_chart(
        [Series("Gaussian", span, span, style="dashes", color=MUTED), *series],
        residuals,
        x_label="quantile of the Gaussian that fits the middle half, DN",
        y_label="quantile of two darks' difference / \N{SQUARE ROOT}2, DN",
        residual_label="over Gaussian, DN",
    )


def _shares(quantiles: Array, shape: float, scale_dn: float) -> Array:
    """Return the probability below each quantile of a rounded difference of two Tukey-lambda variables, over sqrt 2."""
    difference = quantiles * math.sqrt(2)
    reach = 8 * float(np.abs(difference).max()) + 8 * scale_dn
    edges = np.linspace(-reach, reach, _GRID + 1)
    mass = np.fft.fft(np.diff(tukey_cdf(shape)(edges / scale_dn)))
    # Rounding two values moves their difference as one uniform variable does, between whole numbers.
    rounding = np.sinc(np.fft.fftfreq(_GRID, edges[1] - edges[0]))
    law = np.fft.fftshift(np.fft.ifft(np.abs(mass) ** 2 * rounding).real)
    below = np.cumsum(law)
    return np.asarray(np.interp(difference, edges[1:], below / below[-1]))


def _normal_quantiles(shares: Array) -> Array:
    return np.array([NormalDist().inv_cdf(min(max(float(share), 1e-9), 1 - 1e-9)) for share in shares])


def draw_spectra(iso: IsoCalibration) -> bytes:
    """Draw the power of row and column means of differences of darks, white noise at 1."""
    assert iso.dark is not None
    rows, columns = iso.dark.row_spectrum, iso.dark.column_spectrum
    return spectrum_chart(
        [
            Series("rows", rows.frequency, rows.power, color=_BLUE),
            Series("columns", columns.frequency, columns.power, color=_RED),
        ],
        x_label="cycles a sensor row or column",
        y_label="power over that of single pixels' noise",
        level=1.0,
    )


def draw_gain_over_iso(isos: Sequence[IsoCalibration]) -> bytes:
    """Draw the system gain a plane over ISO, with its intervals."""
    series = []
    for k, plane in enumerate(isos[0].planes):
        gains = [one.planes[k].gain_dn_per_electron for one in isos]
        series.append(_over_iso(plane.plane, isos, gains, PLANE_COLORS[plane.plane]))
    return line_chart(series, x_label="ISO", y_label="system gain, DN/e-", log_x=True, log_y=True)


def draw_read_noise_over_iso(isos: Sequence[IsoCalibration]) -> bytes:
    """Draw the read noise a plane over ISO, in DN and in electrons."""
    panels: list[tuple[str, list[Series]]] = [("in DN", []), ("in electrons", [])]
    for k, plane in enumerate(isos[0].planes):
        planes, color = [one.planes[k] for one in isos], PLANE_COLORS[plane.plane]
        sigmas = [one.read_sigma_dn for one in planes]
        electrons = [one.read_sigma_dn.scaled(1 / one.gain_dn_per_electron.value) for one in planes]
        panels[0][1].append(_over_iso(plane.plane, isos, sigmas, color))
        panels[1][1].append(_over_iso(plane.plane, isos, electrons, color))
    return panel_chart(panels, x_label="ISO", y_label="read noise", log_x=True, log_y=True)


def _over_iso(name: str, isos: Sequence[IsoCalibration], figures: Sequence[Estimate], color: str) -> Series:
    x = [one.iso or 1.0 for one in isos]
    low, high = ([getattr(figure, end) for figure in figures] for end in ("low", "high"))
    return Series(name, x, [figure.value for figure in figures], low, high, style="dots", color=color)
