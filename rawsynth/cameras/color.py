"""Colour of a camera under a light of any correlated colour temperature (CCT).

A profile has matrices ``cam_from_xyz`` for one or two illuminants. What a photograph taken at another temperature T
needs follows in three steps (DNG specification 1.4, chapter 6, "Mapping Camera Color Space to CIE XYZ Space"):

1. the camera's matrix M(T), linear in 1/T between the two (:func:`interpolate_matrices`);
2. the chromaticity of the light, W(T) (:func:`white_xy`);
3. the photograph is white-balanced: its white (1, 1, 1) *was* the light W(T) in the scene. So linear sRGB is taken to
   XYZ under D65, adapted from D65 to W(T) by Bradford's transform, and seen by the camera::

       R(T) = M(T) Bradford(W(6504 K) -> W(T)) XYZ_from_sRGB        n = R(T) (1, 1, 1)

   ``n`` is the camera's response to the scene's white. ``cam_from_srgb = diag(n)**-1 R(T)`` has rows that sum to 1, and
   the gains that the division took out are ``n_G / n_R`` and ``n_G / n_B``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth.errors import UsageError
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

Matrix = NDArray[np.float64]

ILLUMINANT_CCT_K: Mapping[str, float] = {"A": 2856.0, "D50": 5003.0, "D55": 5503.0, "D65": 6504.0, "D75": 7504.0}
"""Correlated colour temperature of the illuminants that matrices are stated for (CIE 15:2004)."""

LOWEST_CCT_K, HIGHEST_CCT_K = 2000.0, 12000.0
_PLANCK_UP_TO_K, _DAYLIGHT_FROM_K = 4000.0, 5000.0

# Lam, "Metamerism and colour constancy", PhD thesis, Bradford 1985; the figures as in ICC.1:2010, annex E.
_BRADFORD: Matrix = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def white_xy(cct_k: float) -> tuple[float, float]:
    """Return the CIE 1931 chromaticity of the light of a correlated colour temperature.

    Up to 4000 K a Planckian radiator, as incandescent lamps nearly are (Krystek, "An algorithm to calculate correlated
    colour temperature", Color Research and Application 10, 1985: rational functions for CIE 1960 u and v, within 1e-4);
    from 5000 K up daylight (CIE 15:2004, the locus of D50 to D75, within 2e-4 of their tabulated chromaticities). The
    two loci run side by side, 0.003 apart in CIE 1960 uv with daylight the greener, and never meet; so in between they
    are blended in uv, linearly in 1/T, in which equal steps are about equal steps along either.

    Args:
        cct_k: in kelvin, 2000 to 12000.

    Raises:
        UsageError: outside of that.

    >>> [round(value, 4) for value in white_xy(6504)]
    [0.3127, 0.3291]
    """
    check_cct(cct_k)
    if cct_k >= _DAYLIGHT_FROM_K:
        return _daylight_xy(cct_k)
    planck = np.array(_planckian_uv(cct_k))
    if cct_k <= _PLANCK_UP_TO_K:
        return _xy_from_uv(*planck)
    weight = _reciprocal_weight(cct_k, _PLANCK_UP_TO_K, _DAYLIGHT_FROM_K)
    return _xy_from_uv(*((1.0 - weight) * planck + weight * np.array(_uv_from_xy(*_daylight_xy(cct_k)))))


def interpolate_matrices(cam_from_xyz: Mapping[str, Any], cct_k: float) -> Matrix:
    """Return a camera's XYZ-to-camera matrix at a temperature.

    Linear in 1/CCT between the two illuminants around it, the nearest one's beyond the last (DNG specification 1.4,
    chapter 6); with a single illuminant, its matrix throughout.

    Args:
        cam_from_xyz: 3x3 matrices by illuminant: ``"A"`` (2856 K), ``"D50"``, ``"D55"``, ``"D65"`` (6504 K), ``"D75"``.
        cct_k: in kelvin.

    Raises:
        UsageError: there is no matrix, one is not 3x3, or its illuminant is not known.
    """
    check_cct(cct_k)
    if not cam_from_xyz:
        raise UsageError("this camera has no colour matrix; choose one that has, or leave its colour out.")
    for name, matrix in cam_from_xyz.items():
        if name not in ILLUMINANT_CCT_K or np.shape(matrix) != (3, 3) or not np.isfinite(matrix).all():
            known = ", ".join(ILLUMINANT_CCT_K)
            raise UsageError(f"colour matrices are finite, 3x3 and named {known}; got {name!r} of {np.shape(matrix)}.")
    names = sorted(cam_from_xyz, key=lambda name: ILLUMINANT_CCT_K[name])
    matrices = [np.asarray(cam_from_xyz[name], dtype=np.float64) for name in names]
    temperatures = [ILLUMINANT_CCT_K[name] for name in names]
    if cct_k <= temperatures[0]:
        return matrices[0].copy()
    for k in range(1, len(names)):
        if cct_k <= temperatures[k]:
            weight = _reciprocal_weight(cct_k, temperatures[k - 1], temperatures[k])
            return (1.0 - weight) * matrices[k - 1] + weight * matrices[k]
    return matrices[-1].copy()


def camera_color(cam_from_xyz: Mapping[str, Any], cct_k: float) -> tuple[Matrix, tuple[float, float]]:
    """Return a camera's colour for a photograph whose scene was lit at a temperature; the maths are the module's.

    Args:
        cam_from_xyz: 3x3 matrices by illuminant, as :func:`interpolate_matrices` takes them.
        cct_k: in kelvin, 2000 to 12000.

    Returns:
        ``cam_from_srgb`` (3x3, linear sRGB to camera RGB; white stays white: rows sum to 1) and the white-balance gains
        (red, blue) that make the scene's white neutral in the RAW.

    Raises:
        UsageError: no usable matrix, a temperature out of bounds, or a camera that the matrix lets see no such light.
    """
    from_srgb = interpolate_matrices(cam_from_xyz, cct_k) @ bradford(
        # D65 as the locus has it (within 2e-4 of sRGB's white), so that 6504 K leaves colours exactly as they are.
        white_xy(ILLUMINANT_CCT_K["D65"]),
        white_xy(cct_k),
    )
    from_srgb = from_srgb @ XYZ_FROM_SRGB
    response = from_srgb.sum(axis=1)
    if not (response > 0).all():
        raise UsageError(
            f"the colour matrix gives no positive response to white at {cct_k:g} K, but {response.tolist()}; "
            "use a temperature nearer to its illuminant's, 2850 to 7500 K."
        )
    gains = (float(response[1] / response[0]), float(response[1] / response[2]))
    return from_srgb / response[:, None], gains


def bradford(source_xy: tuple[float, float], target_xy: tuple[float, float]) -> Matrix:
    """Return the 3x3 that adapts XYZ from one white to another (Lam 1985; ICC.1:2010, annex E).

    Cone-like responses are scaled so that the source's white becomes the target's of the same luminance.
    """
    source, target = (_BRADFORD @ np.array([x / y, 1.0, (1.0 - x - y) / y]) for x, y in (source_xy, target_xy))
    adapted: Matrix = np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD
    return adapted


def draw_cct(rng: np.random.Generator, *, low: float = 2850.0, high: float = 7500.0) -> float:
    """Draw a correlated colour temperature, uniformly in 1/T.

    Equal steps of 1/T (mired) are about equal steps of chromaticity (Priest, JOSA 23, 1933), which gains and matrices
    follow; a uniform T would put three quarters of the draws beyond 4000 K, and lamps would hardly occur.

    Args:
        rng: generator of the sample's scalars.
        low, high: in kelvin; the default runs from incandescent lamps to shade.

    Raises:
        UsageError: not ``2000 <= low <= high <= 12000``.
    """
    check_cct(low)
    check_cct(high)
    if low > high:
        raise UsageError(f"colour temperatures are drawn from low to high; got {low:g} to {high:g} K.")
    # Rounding 1/T and back may leave the range by a bit.
    return min(max(1.0 / float(rng.uniform(1.0 / high, 1.0 / low)), low), high)


def check_cct(cct_k: float) -> None:
    """Raise UsageError for a colour temperature in kelvin that no white point is known for."""
    if not LOWEST_CCT_K <= cct_k <= HIGHEST_CCT_K:
        raise UsageError(
            f"a colour temperature is {LOWEST_CCT_K:g} to {HIGHEST_CCT_K:g} K; got {cct_k!r}. "
            "Candle light has 2000, incandescent lamps 2850, daylight 5500, shade 7500."
        )


def _reciprocal_weight(cct_k: float, low: float, high: float) -> float:
    return (1.0 / low - 1.0 / cct_k) / (1.0 / low - 1.0 / high)


def _planckian_uv(t: float) -> tuple[float, float]:
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t * t) / (
        1.0 + 8.42420235e-4 * t + 7.08145163e-7 * t * t
    )
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t * t) / (
        1.0 - 2.89741816e-5 * t + 1.61456053e-7 * t * t
    )
    return u, v


def _daylight_xy(t: float) -> tuple[float, float]:
    if t <= 7000.0:
        x = -4.6070e9 / t**3 + 2.9678e6 / t**2 + 0.09911e3 / t + 0.244063
    else:
        x = -2.0064e9 / t**3 + 1.9018e6 / t**2 + 0.24748e3 / t + 0.237040
    return x, -3.000 * x * x + 2.870 * x - 0.275


def _uv_from_xy(x: float, y: float) -> tuple[float, float]:
    scale = -2.0 * x + 12.0 * y + 3.0
    return 4.0 * x / scale, 6.0 * y / scale


def _xy_from_uv(u: float, v: float) -> tuple[float, float]:
    scale = 2.0 * u - 8.0 * v + 4.0
    return float(3.0 * u / scale), float(2.0 * v / scale)
