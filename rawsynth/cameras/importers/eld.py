"""Noise of a camera from a parameter file of ELD (Wei et al., "A Physics-based Noise Formation Model for Extreme
Low-light Raw Denoising", CVPR 2020; github.com/Vandermode/ELD, MIT).

Such a ``.npy`` file is a pickled dictionary, read by :mod:`.pickled_numbers`, which runs nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rawsynth.cameras.builtin import without_noise
from rawsynth.cameras.importers.pickled_numbers import read_pickled_numbers
from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile
from rawsynth.cameras.profile import CameraProfile
from rawsynth.errors import UsageError
from rawsynth.raw.noise_params import Planes
from rawsynth.raw.sensor_noise import NO_BIAS

SOURCE = "noise: ELD (Wei et al., CVPR 2020; parameter files, MIT), Profile-1; laws in K, 14-bit DN, one for all planes"
ISO_SOURCE = "ISO: nominal; ELD states gains only, taken as K = Kmin at ISO 100 and proportional to the ISO"
_LOWEST_ISO = 100.0
# Columns of ELD's color_bias are R, Gr, B, Gb.
_READING_ORDER = (0, 1, 3, 2)
_FIELDS = {"read_sigma_dn": "g_scale", "tukey_scale_dn": "G_scale", "row_sigma_dn": "R_scale"}


def import_eld(url: str, name: str) -> CameraProfile:
    """Read an ELD parameter file.

    ELD states laws: ``ln sigma = slope ln K + bias + N(0, spread)`` for the Gaussian read noise (``g_scale``, a
    standard deviation), the scale of the Tukey-lambda read noise (``G_scale``, no standard deviation) and the rows
    (``R_scale``), in DN of 14 bits less black. The profile has their medians at each doubling of K from ``Kmin`` to
    ``Kmax``, the spreads in ``log_spread`` and the shapes in ``tukey_lambdas``. Rows of ``color_bias`` come in pairs,
    one pair a doubling; the profile has their means.

    Args:
        url: the ``.npy`` file, path or URL.
        name: what the camera is called; levels and colour are those of the built-in camera, or nominal.

    Raises:
        InputAccessError: the file cannot be read.
        UsageError: it is no such file, or holds more than numbers.
    """
    data = read_pickled_numbers(url)
    try:
        k_min, k_max = float(data["Kmin"]), float(data["Kmax"])
        if not 0 < k_min <= k_max < math.inf:
            raise ValueError(f"0 < Kmin <= Kmax; they are {k_min:g} and {k_max:g}")
        laws = {field: data["Profile-1"][law] for field, law in _FIELDS.items()}
        laws = {field: {key: float(law[key]) for key in ("slope", "bias", "sigma")} for field, law in laws.items()}
        shapes = tuple(float(shape) for shape in data["G_shape"])
        bias = np.asarray(data.get("color_bias", np.zeros((0, 4))), dtype=np.float64)
        points = [_point(k_min, step, laws, bias) for step in range(1 + int(math.log2(k_max / k_min) + 1e-6))]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise UsageError(f"{url}: not the parameters of an ELD camera (missing or wrong: {error}).") from error
    noise = NoiseProfile(
        tuple(points),
        tukey_lambdas=shapes,
        log_spread={field: law["sigma"] for field, law in laws.items()},
        nominal_iso=True,
    )
    camera = without_noise(name)
    return replace(camera, noise=noise, sources=(SOURCE, ISO_SOURCE, *camera.sources))


def _point(k_min: float, step: int, laws: Mapping[str, Mapping[str, float]], bias: NDArray[np.float64]) -> NoisePoint:
    gain = k_min * 2.0**step
    medians = {field: math.exp(law["slope"] * math.log(gain) + law["bias"]) for field, law in laws.items()}
    pair = bias[2 * step : 2 * step + 2]
    mean = pair.mean(axis=0)[list(_READING_ORDER)] if len(pair) == 2 else np.array(NO_BIAS)
    return NoisePoint(
        iso=_LOWEST_ISO * 2.0**step,
        gain_dn_per_electron=(gain,) * 4,
        read_sigma_dn=(medians["read_sigma_dn"],) * 4,
        tukey_scale_dn=(medians["tukey_scale_dn"],) * 4,
        row_sigma_dn=medians["row_sigma_dn"],
        color_bias_dn=_planes(mean),
    )


def _planes(values: NDArray[np.float64]) -> Planes:
    first, second, third, fourth = (float(value) for value in values)
    return first, second, third, fourth
