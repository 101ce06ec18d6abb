"""A calibration for people and for programs: lines, tables, a page with pictures, a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from statistics import fmean

from rawsynth import storage
from rawsynth.calibration.drawing import (
    draw_dark_quantiles,
    draw_gain_over_iso,
    draw_photon_transfer,
    draw_read_noise_over_iso,
    draw_spectra,
)
from rawsynth.calibration.result import Estimate, IsoCalibration, PlaneCalibration
from rawsynth.calibration.run import CalibratedCamera
from rawsynth.cameras import format_camera
from rawsynth.evaluation.page import Figure, Table, write_page

_SHOWN_LEVELS = 4
_COLUMNS = (
    "plane", "system gain, DN/e-", "dark noise, DN", "read noise, DN", "read noise, e-", "dark offset, DN",
    "full well, e-", "levels fitted",
)  # fmt: skip
_DARK_NOISE = {
    "emva1288": "Dark noise is the standard's: everything that changes in the dark, rows, columns and quantisation "
    "included; read noise is the same without quantisation.",
    "weighted": "Dark noise is that of single pixels, without rows and columns, quantisation included; read noise is "
    "the same without quantisation.",
}
_DARK_NOISE["burst"] = _DARK_NOISE["weighted"]


def summary_lines(found: CalibratedCamera) -> list[str]:
    """Return what was found as lines of text; figures of several planes begin with their mean.

    ``system gain 0.2801 DN/e-`` and ``dark noise 3.073 DN`` stand in lines of their own, for programs that look for
    them.
    """
    lines: list[str] = []
    for one in found.calibration.isos:
        planes = one.planes
        lines += [""] if lines else []
        lines.append(f"{_heading(one)}: {one.fit} fit, saturation at {one.white_level} DN")
        if len(planes) > 1:
            lines.append("mean of the planes:")
        lines.append(f"system gain {figure(fmean(p.gain_dn_per_electron.value for p in planes))} DN/e-")
        lines.append(f"dark noise {figure(fmean(p.dark_sigma_dn.value for p in planes))} DN")
        if len(planes) > 1:
            for plane in planes:
                lines.append(f"{plane.plane}: system gain {figure(plane.gain_dn_per_electron.value)} DN/e-")
                lines.append(f"{plane.plane}: dark noise {figure(plane.dark_sigma_dn.value)} DN")
        lines += ["", *_markdown(_COLUMNS, [_plane_row(plane) for plane in planes])]
        lines += ["", *_dark_lines(one), *_excluded_lines(one)]
    return lines


def json_text(found: CalibratedCamera) -> str:
    """Return every figure as indented ASCII JSON."""
    return json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n"


def write_camera(found: CalibratedCamera, url: str) -> None:
    """Write the camera's profile: TOML, or JSON where the name ends in ``.json``.

    Raises:
        OutputError: it cannot be written.
    """
    if url.endswith(".json"):
        from rawsynth.cameras import camera_to_dict

        text = json.dumps(camera_to_dict(found.profile), indent=1, allow_nan=False) + "\n"
    else:
        text = format_camera(found.profile, comment=f"Measured by rawsynth calibrate from {found.source}.")
    storage.write_atomic(url, text.encode("utf-8", "backslashreplace"))


def write_report(found: CalibratedCamera, output: str) -> None:
    """Write ``calibration.json``, a PNG a figure and ``index.html`` into a folder or URL.

    Raises:
        OutputError: a file cannot be written.
        UsageError: matplotlib is not installed.
    """
    isos = found.calibration.isos
    blocks: list[Figure | Table] = []
    if len(isos) > 1:
        blocks += _figures_over_iso(isos)
    for one in isos:
        blocks += _blocks(one, alone=len(isos) == 1)
    summary = [
        f"Measured from {found.source}: {', '.join(_heading(one) for one in isos)}.",
        *(f"Note: {note}" for note in found.notes),
    ]
    storage.write_atomic(storage.join(output, "calibration.json"), json_text(found).encode("ascii"))
    write_page(output, title=f"Noise of {found.profile.name}", summary=summary, blocks=blocks)


def figure(value: float) -> str:
    """Return a number with four significant digits and without an exponent.

    >>> figure(0.28006), figure(3.0731), figure(14007.9), figure(0.0)
    ('0.2801', '3.073', '14008', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def interval(estimate: Estimate | None) -> str:
    """Return a figure with its interval: ``"0.2801 (0.2797 to 0.2804)"``."""
    if estimate is None:
        return "not reached"
    return f"{figure(estimate.value)} ({figure(estimate.low)} to {figure(estimate.high)})"


def _heading(one: IsoCalibration) -> str:
    return "ISO not stated" if one.iso is None else f"ISO {one.iso:g}"


def _plane_row(plane: PlaneCalibration) -> list[str]:
    used = sum(not point.excluded for point in plane.points)
    return [
        plane.plane,
        interval(plane.gain_dn_per_electron),
        interval(plane.dark_sigma_dn),
        interval(plane.read_sigma_dn),
        figure(plane.read_sigma_electrons),
        figure(plane.dark_offset_dn),
        interval(plane.full_well_electrons),
        f"{used} of {len(plane.points)}",
    ]


def _dark_rows(one: IsoCalibration) -> list[list[str]]:
    if one.dark is None:
        return []
    rows = [
        ["row noise, DN", interval(one.dark.row_sigma_dn)],
        ["column noise, DN", interval(one.dark.column_sigma_dn)],
    ]
    if one.dark.tukey is None:
        return [*rows, ["Tukey-lambda shape", "not told: quantisation hides it, or too few darks"]]
    tukey = one.dark.tukey
    rows.append(["Tukey-lambda shape", interval(tukey.shape)])
    for plane, scale in zip(one.planes, tukey.scale_dn, strict=True):
        rows.append([f"Tukey-lambda scale {plane.plane}, DN", interval(scale)])
    return [*rows, ["PPCC", f"{tukey.ppcc:.6f} (Gaussian {tukey.gaussian_ppcc:.6f})"]]


def _dark_lines(one: IsoCalibration) -> list[str]:
    if one.dark is None:
        return ["no series of darks: rows, columns and tails were not measured"]
    return [f"{name.removesuffix(', DN')} {value}{' DN' * name.endswith(', DN')}" for name, value in _dark_rows(one)]


def _excluded_rows(one: IsoCalibration) -> list[list[str]]:
    return [
        [plane.plane, point.level, figure(point.mean_dn), point.excluded]
        for plane in one.planes
        for point in plane.points
        if point.excluded
    ]


def _excluded_lines(one: IsoCalibration) -> list[str]:
    """Say which levels were left out, by reason; figures in a reason do not make it another one."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for plane, level, _, reason in _excluded_rows(one):
        by_reason.setdefault(reason.partition(":")[0], {}).setdefault(level, []).append(plane)
    lines = []
    for reason, levels in by_reason.items():
        names = [
            level if len(planes) == len(one.planes) else f"{level} ({', '.join(planes)})"
            for level, planes in levels.items()
        ]
        more = f" and {len(names) - _SHOWN_LEVELS} more" if len(names) > _SHOWN_LEVELS else ""
        lines.append(f"left out of the fit, {reason}: {', '.join(names[:_SHOWN_LEVELS])}{more}")
    return lines


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


def _blocks(one: IsoCalibration, *, alone: bool) -> list[Figure | Table]:
    heading = _heading(one)
    name = "" if alone or one.iso is None else f"-iso{one.iso:g}".replace(".", "_").replace("+", "")
    blocks: list[Figure | Table] = [
        Table(f"Figures, {heading}", _COLUMNS, [_plane_row(p) for p in one.planes],
              f"In brackets: bootstrap intervals of 95 % over pixels. {_DARK_NOISE[one.fit]}"),
        Figure(f"photon-transfer{name}", f"Photon transfer, {heading}", draw_photon_transfer(one),
               "Lines are the fit, their slope the system gain; crosses were left out. Bars are two standard errors."),
    ]  # fmt: skip
    if excluded := _excluded_rows(one):
        blocks.append(Table(f"Levels left out of the fit, {heading}", ("plane", "level", "mean, DN", "why"), excluded))
    if one.dark is None:
        return blocks
    caption = f"From differences of {one.dark.frames} dark frames."
    blocks.append(Table(f"Darks, {heading}", ("figure", "value"), _dark_rows(one), caption))
    if one.dark.tukey is not None:
        said = "Dots are measured, lines the Tukey-lambda fit. A Gaussian would lie on the dashed line, and on 0 below."
        png = draw_dark_quantiles(one.planes, one.dark.tukey)
        blocks.append(Figure(f"dark-quantiles{name}", f"Quantiles of the darks, {heading}", png, said))
    if one.dark.row_spectrum.frequency:
        said = "Level 1 is white noise; a rise everywhere is row or column noise, a peak is a banding."
        title = f"Rows and columns of the darks, {heading}"
        blocks.append(Figure(f"dark-spectra{name}", title, draw_spectra(one), said))
    return blocks


def _figures_over_iso(isos: Sequence[IsoCalibration]) -> list[Figure | Table]:
    known = [one for one in isos if one.iso is not None]
    return [
        Figure("gain-over-iso", "System gain over ISO", draw_gain_over_iso(known),
               "In proportion to the ISO where gain is analogue; bars are intervals of 95 %."),
        Figure("read-noise-over-iso", "Read noise over ISO", draw_read_noise_over_iso(known),
               "Of single pixels, without quantisation. A sudden fall is a second conversion gain."),
    ]  # fmt: skip
