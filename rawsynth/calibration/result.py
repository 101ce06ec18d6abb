"""What a calibration found: figures with their intervals, by plane and ISO."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from rawsynth.calibration.profiles import to_profile
from rawsynth.cameras.profile import CameraProfile

FORMAT_VERSION = 1
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap interval of 95 %, over pixels.

    Attributes:
        value: the figure.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """Return it in another unit, ``factor`` > 0."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class TransferPoint:
    """One point of a plane's photon-transfer curve.

    Attributes:
        level: name of the light level.
        mean_dn: mean of the bright frames as stored, DN.
        signal_dn: the same minus the dark frames' mean.
        variance_dn2: temporal variance of the bright frames, quantisation included.
        excess_dn2: the same minus the variance in the dark: what is fitted, ``K * signal_dn``.
        error_dn2: standard error of ``excess_dn2``.
        exposure_s, photons: of the level, where known.
        excluded: why the fit leaves it out, in words; empty where it is used.
    """

    level: str
    mean_dn: float
    signal_dn: float
    variance_dn2: float
    excess_dn2: float
    error_dn2: float
    exposure_s: float | None = None
    photons: float | None = None
    excluded: str = ""


@dataclass(frozen=True)
class PlaneCalibration:
    """One CFA plane at one ISO.

    Attributes:
        plane: ``"R"``, ``"Gr"``, ``"Gb"``, ``"B"`` or ``"mono"``.
        gain_dn_per_electron: system gain K.
        dark_sigma_dn: temporal dark noise with quantisation. Of single pixels, without row and column noise, from the
            weighted fit; of everything, as the standard has it, from ``emva1288``.
        read_sigma_dn: the same without quantisation.
        dark_offset_dn: mean of the dark frames, DN as stored.
        offset_dn2: variance that the line has at no signal: ``dark_sigma_dn**2``, or the fit's own where no darks are.
        full_well_electrons: signal at saturation over K; ``None`` where no level reached it.
        points: the photon-transfer curve, by rising signal; ``excluded`` names what the fit left out.
    """

    plane: str
    gain_dn_per_electron: Estimate
    dark_sigma_dn: Estimate
    read_sigma_dn: Estimate
    dark_offset_dn: float
    offset_dn2: float
    full_well_electrons: Estimate | None
    points: tuple[TransferPoint, ...]

    @property
    def read_sigma_electrons(self) -> float:
        """Dark noise without quantisation, in electrons."""
        return self.read_sigma_dn.value / self.gain_dn_per_electron.value

    @property
    def snr_max_db(self) -> float | None:
        """Signal to noise at saturation, ``20 log10 sqrt(full well)`` (EMVA1288, section 2.5)."""
        return None if self.full_well_electrons is None else 10.0 * math.log10(self.full_well_electrons.value)

    @property
    def dynamic_range_db(self) -> float | None:
        """Saturation over the absolute sensitivity threshold, ``dark noise + 1/2`` electron (EMVA1288, section 2.6)."""
        if self.full_well_electrons is None:
            return None
        threshold = self.dark_sigma_dn.value / self.gain_dn_per_electron.value + 0.5
        return 20.0 * math.log10(self.full_well_electrons.value / threshold)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        derived = {name: getattr(self, name) for name in ("read_sigma_electrons", "snr_max_db", "dynamic_range_db")}
        return {**asdict(self), **derived}


@dataclass(frozen=True)
class TukeyFit:
    """Tukey-lambda law of single pixels' read noise, by the probability plot's correlation (PPCC).

    Attributes:
        shape: lambda; 0 is the logistic law, 0.14 nearly the Gaussian one, -0.5 has no variance any more.
        scale_dn: scale a plane in reading order; not a standard deviation.
        ppcc: correlation of the probability plot at that lambda, mean over the planes; 1 is a perfect fit.
        gaussian_ppcc: the same for a Gaussian.
        theory: quantiles of what the law predicts for a difference of two darks over sqrt(2), in DN, with quantisation,
            plane by plane.
        observed: what was measured there, DN: a Q-Q plot is ``observed`` over ``theory``.
    """

    shape: Estimate
    scale_dn: tuple[Estimate, ...]
    ppcc: float
    gaussian_ppcc: float
    theory: tuple[tuple[float, ...], ...] = field(repr=False)
    observed: tuple[tuple[float, ...], ...] = field(repr=False)


@dataclass(frozen=True)
class Spectrum:
    """Power of what differs between two darks, by frequency, over what single pixels alone would give.

    Attributes:
        frequency: cycles a sensor row or column, 0 to 0.5.
        power: 1 is white noise; a peak is a banding, a rise everywhere is row (column) noise.
    """

    frequency: tuple[float, ...] = field(repr=False)
    power: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class DarkNoise:
    """What dark frames tell beside their variance.

    Attributes:
        frames: how many were used.
        row_sigma_dn, column_sigma_dn: temporal noise that a sensor row or column has in common, over all planes.
        row_spectrum, column_spectrum: of the means of rows and columns.
        tukey: law of single pixels' noise; ``None`` where quantisation hides it or there are too few pixels.
    """

    frames: int
    row_sigma_dn: Estimate
    column_sigma_dn: Estimate
    row_spectrum: Spectrum
    column_spectrum: Spectrum
    tukey: TukeyFit | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object, without the curves for plots."""
        figures: dict[str, Any] = {
            "frames": self.frames,
            "row_sigma_dn": asdict(self.row_sigma_dn),
            "column_sigma_dn": asdict(self.column_sigma_dn),
            "tukey": None,
        }
        if self.tukey is not None:
            figures["tukey"] = {k: v for k, v in asdict(self.tukey).items() if k not in ("theory", "observed")}
        return figures


@dataclass(frozen=True)
class IsoCalibration:
    """One ISO.

    Attributes:
        name: of the set of captures.
        iso: the setting, ``None`` where the captures do not say.
        cfa: Bayer layout, ``None`` for a sensor without a colour filter.
        fit: ``"weighted"``, ``"emva1288"`` or ``"burst"``.
        white_level: DN at which values were taken to be clipped.
        bits: of a stored value, where known.
        planes: in reading order; one for a sensor without a colour filter.
        dark: rows, columns and tails; ``None`` without a series of darks (a burst has rows and columns, no tails).
        warnings: what to know before trusting the figures, each a sentence.
    """

    name: str
    iso: float | None
    cfa: str | None
    fit: str
    white_level: int
    bits: int | None
    planes: tuple[PlaneCalibration, ...]
    dark: DarkNoise | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything but the plots' curves as a JSON object."""
        return {
            "name": self.name,
            "iso": self.iso,
            "cfa": self.cfa,
            "fit": self.fit,
            "white_level": self.white_level,
            "bits": self.bits,
            "planes": [plane.to_json() for plane in self.planes],
            "dark": None if self.dark is None else self.dark.to_json(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Calibration:
    """One sensor at one or more ISOs.

    Attributes:
        isos: by rising ISO; one may have none.
    """

    isos: tuple[IsoCalibration, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings, with the set that each is about."""
        return tuple(f"{iso.name}: {text}" for iso in self.isos for text in iso.warnings)

    def to_profile(self, name: str, *, iso: float | None = None, cfa: str | None = None) -> CameraProfile:
        """Return the camera that noise models draw from; see :func:`rawsynth.calibration.profiles.to_profile`."""
        return to_profile(self.isos, name, iso=iso, cfa=cfa)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the plots' curves as a JSON object."""
        return {"format": FORMAT_VERSION, "confidence": CONFIDENCE, "isos": [iso.to_json() for iso in self.isos]}
