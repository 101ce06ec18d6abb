"""Noise of one sample as a record, and the conversions between the units that people state noise in.

The common model is signal-dependent Gaussian noise on the unit scale (Foi et al., "Practical Poissonian-Gaussian noise
modeling and fitting for single-image raw-data", IEEE TIP 2008): ``var(x) = shot * x + read`` with black 0 and white 1.
``shot`` (S) and ``read`` (O) are variances. The same noise in other units, with ``range = white - black`` in DN:

=====================  =============================  ======================================
system gain            K = S * range                  DN per electron
read noise             sigma = sqrt(O) * range        DN
read noise             sigma / K                      electrons
DNG NoiseProfile       S, O for R, G, B               DNG 1.4, tag 51041: N(x) = sqrt(S x + O)
=====================  =============================  ======================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rawsynth.errors import UsageError

Planes = tuple[float, float, float, float]

QUANTIZATION_VARIANCE_DN2 = 1.0 / 12.0
"""Variance of rounding to DN, in DN squared: uniform on one step."""


def shot_from_gain(gain_dn_per_electron: float, range_dn: float) -> float:
    """Return S for a system gain K in DN per electron and a white-minus-black range in DN: ``K / range``."""
    return gain_dn_per_electron / range_dn


def gain_from_shot(shot: float, range_dn: float) -> float:
    """Return the system gain in DN per electron: ``S * range``."""
    return shot * range_dn


def read_from_sigma(read_sigma_dn: float, range_dn: float) -> float:
    """Return O, a variance on the unit scale, for a read noise in DN: ``(sigma / range)**2``."""
    return (read_sigma_dn / range_dn) ** 2


def sigma_from_read(read: float, range_dn: float) -> float:
    """Return the read noise in DN for the variance O: ``sqrt(O) * range``."""
    return float(read**0.5 * range_dn)


def electrons_from_dn(sigma_dn: float, gain_dn_per_electron: float) -> float:
    """Return a noise in electrons: ``sigma / K``."""
    return sigma_dn / gain_dn_per_electron


def dn_from_electrons(sigma_electrons: float, gain_dn_per_electron: float) -> float:
    """Return a noise in DN: ``sigma * K``."""
    return sigma_electrons * gain_dn_per_electron


def dng_noise_profile(shot: Planes, read: Planes, cfa: str) -> tuple[float, ...]:
    """Return the six numbers of a DNG NoiseProfile tag: S and O of red, green and blue.

    The tag has one entry a colour, so the two green planes are averaged (DNG 1.4, NoiseProfile, tag 51041).

    >>> dng_noise_profile((1e-3, 2e-3, 4e-3, 3e-3), (1e-6,) * 4, "RGGB")
    (0.001, 1e-06, 0.003, 1e-06, 0.003, 1e-06)
    """
    out: list[float] = []
    for color in "RGB":
        sites = [site for site, letter in enumerate(cfa) if letter == color]
        out += [sum(planes[site] for site in sites) / len(sites) for planes in (shot, read)]
    return tuple(out)


def planes_from_dng(values: Sequence[float], cfa: str) -> tuple[Planes, Planes]:
    """Return S and O a CFA plane from a DNG NoiseProfile tag of one or three pairs.

    Raises:
        UsageError: another count, or values that no noise has (S > 0 and O >= 0 are wanted).
    """
    numbers = [float(v) for v in values]
    if len(numbers) not in (2, 6):
        raise UsageError(f"a NoiseProfile has 2 or 6 numbers (S, O for all or for R, G, B); got {len(numbers)}.")
    pairs = [numbers[0:2]] * 3 if len(numbers) == 2 else [numbers[0:2], numbers[2:4], numbers[4:6]]
    if any(shot <= 0 for shot, _ in pairs):
        raise UsageError(f"a NoiseProfile has S > 0; got {numbers}.")
    shot, read = ([pairs["RGB".index(color)][which] for color in cfa] for which in (0, 1))
    return four_planes(shot, "shot"), four_planes(read, "read")


def four_planes(value: float | Sequence[float], name: str) -> Planes:
    """Spread one number over the four CFA planes, or check that there are four.

    Raises:
        UsageError: another count, or a value that is negative or not finite.
    """
    try:
        array = np.asarray(value, dtype=np.float64) if not isinstance(value, str) else np.empty(0)
    except (TypeError, ValueError):
        array = np.empty(0)
    values = [float(v) for v in (np.full(4, array) if array.ndim == 0 else array.reshape(-1))]
    if len(values) != 4 or array.ndim > 1 or not all(0.0 <= v < float("inf") for v in values):
        raise UsageError(f"{name} is one number >= 0, or four in the CFA's reading order; got {value!r}.")
    return values[0], values[1], values[2], values[3]


@dataclass(frozen=True)
class NoiseRecord:
    """What was added to one sample, enough to add it again.

    Attributes:
        model: name in the table of noise models.
        params: the model's own parameters, JSON-ready.
        seed: the per-pixel draws' seed, in [0, 2**63).
        rng: the generator's version, :data:`rawsynth.seeding.RNG_VERSION` when it was drawn.
        shot: S a CFA plane, derived from ``params`` by the model.
        read: O a CFA plane, a variance, derived likewise.
    """

    model: str
    params: Mapping[str, Any]
    seed: int
    rng: str
    shot: Planes
    read: Planes

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {
            "model": self.model,
            "params": dict(self.params),
            "seed": self.seed,
            "rng": self.rng,
            "shot": list(self.shot),
            "read": list(self.read),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NoiseRecord:
        """Read what :meth:`to_json` wrote."""
        return cls(
            model=data["model"],
            params=dict(data["params"]),
            seed=int(data["seed"]),
            rng=data["rng"],
            shot=four_planes(data["shot"], "shot"),
            read=four_planes(data["read"], "read"),
        )
