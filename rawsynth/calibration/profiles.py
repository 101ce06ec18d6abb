"""From a calibration to the camera profile that noise models draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rawsynth.cameras.noise_profile import NoisePoint, NoiseProfile, planes_of
from rawsynth.cameras.profile import CameraProfile
from rawsynth.errors import UsageError
from rawsynth.raw.levels import Levels
from rawsynth.raw.noise_params import QUANTIZATION_VARIANCE_DN2, Planes

if TYPE_CHECKING:
    from rawsynth.calibration.result import Estimate, IsoCalibration, PlaneCalibration

# From the second conversion gain on, read noise falls by a third and more while the ISO rises; noise of one conversion
# gain in DN never falls by that much.
_DUAL_GAIN_DROP = 0.8


def to_profile(
    isos: Sequence[IsoCalibration], name: str, *, iso: float | None = None, cfa: str | None = None
) -> CameraProfile:
    """Return the camera profile of a calibration.

    The read noise is that of single pixels without quantisation, which codecs add again. The black level is the rounded
    mean of the dark frames; what a plane is off it by is its colour bias. Where the read noise falls from one ISO to
    the next, a second conversion gain is taken to begin.

    Args:
        isos: what was measured.
        name: of the camera, maker and model.
        iso: stands in for a single calibration whose captures state none.
        cfa: layout of the profile; needed for a sensor without a colour filter, whose one plane stands for all four.

    Raises:
        UsageError: an ISO is unknown or occurs twice, or the layouts or white levels differ.
    """
    if not isos:
        raise UsageError("a profile needs at least one calibrated ISO.")
    layouts, whites = {one.cfa for one in isos}, {one.white_level for one in isos}
    if len(layouts) > 1 or len(whites) > 1:
        raise UsageError(f"one camera has one CFA and one white level; got {layouts} and {whites}. Calibrate apart.")
    own, white = isos[0].cfa, isos[0].white_level
    if own and cfa and own != cfa:
        raise UsageError(f"the captures are {own} and the profile was to be {cfa}; leave the layout to the captures.")
    ordered = sorted(((_iso_of(one, iso, len(isos)), one) for one in isos), key=lambda pair: pair[0])
    offsets = [plane.dark_offset_dn for _, one in ordered for plane in one.planes]
    bits = next((one.bits for one in isos if one.bits), None) or max(8, white.bit_length())
    black = min(max(round(sum(offsets) / len(offsets)), 0), white - 1)
    points = tuple(_point(number, one, black) for number, one in ordered)
    return CameraProfile(
        name=name,
        cfa=own or cfa or "RGGB",
        levels=Levels(black, white, bits),
        nominal_levels=False,
        cam_from_xyz={},
        noise=NoiseProfile(
            points=_with_tukey_everywhere(points),
            high_gain_isos=_second_gains(points),
        ),
        sources=tuple(f"calibrated from {one.name} ({one.fit} fit)" for _, one in ordered)
        + (() if own else ("a sensor without a colour filter: its one plane stands for all four",)),
    )


def _iso_of(one: IsoCalibration, iso: float | None, count: int) -> float:
    if one.iso is not None:
        return one.iso
    if iso is None or count > 1:
        raise UsageError(f"{one.name}: its captures state no ISO, and a profile goes by ISO; give it (--iso 800).")
    return iso


def _point(iso: float, one: IsoCalibration, black: int) -> NoisePoint:
    floor = QUANTIZATION_VARIANCE_DN2**0.5
    row, column = (_if_seen(one.dark.row_sigma_dn), _if_seen(one.dark.column_sigma_dn)) if one.dark else (0.0, 0.0)
    # The standard's temporal dark noise holds rows and columns; a profile states them apart.
    banding = row**2 + column**2 if one.fit == "emva1288" else 0.0
    sigmas = [max(plane.read_sigma_dn.value**2 - banding, 0.0) ** 0.5 for plane in one.planes]
    tukey = one.dark.tukey if one.dark else None
    return NoisePoint(
        iso=iso,
        gain_dn_per_electron=_spread([plane.gain_dn_per_electron.value for plane in one.planes]),
        # A sigma of 0 is what quantisation hid, not a sensor without noise.
        read_sigma_dn=_spread([sigma if sigma > 0 else floor for sigma in sigmas]),
        tukey_scale_dn=None if tukey is None else _spread([scale.value for scale in tukey.scale_dn]),
        tukey_lambda=None if tukey is None else round(tukey.shape.value, 4),
        row_sigma_dn=_rounded(row),
        column_sigma_dn=_rounded(column),
        color_bias_dn=_spread([_bias(plane, black) for plane in one.planes]),
        flags=("read_floored",) if min(sigmas) <= 0 else (),
    )


def _if_seen(sigma: Estimate) -> float:
    """Take noise for none whose interval reaches down to none."""
    return sigma.value if sigma.low > 0 else 0.0


def _bias(plane: PlaneCalibration, black: int) -> float:
    return plane.dark_offset_dn - black


def _spread(values: Sequence[float]) -> Planes:
    rounded = [_rounded(value) for value in values]
    return planes_of(rounded[0] if len(rounded) == 1 else rounded)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _with_tukey_everywhere(points: tuple[NoisePoint, ...]) -> tuple[NoisePoint, ...]:
    if all(point.tukey_scale_dn is not None for point in points):
        return points
    return tuple(replace(point, tukey_scale_dn=None, tukey_lambda=None) for point in points)


def _second_gains(points: Sequence[NoisePoint]) -> tuple[float, ...]:
    means = [(point.iso, sum(point.read_sigma_dn) / 4) for point in points]
    steps = zip(means, means[1:], strict=False)
    return tuple(after[0] for before, after in steps if after[1] < _DUAL_GAIN_DROP * before[1])
