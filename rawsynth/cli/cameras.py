"""list cameras and their noise by ISO, show one, import one

The file format and the importers: docs/cameras.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    from rawsynth.cameras import CameraProfile, NoisePoint

DESCRIPTION = """\
List the cameras that come with the package: layout, colour, noise by ISO and where it comes from. One camera's name (or
its file) shows all of it. `import` makes a camera file of what others measured.

examples:
  rawsynth cameras --with both
  rawsynth cameras nikon --with noise
  rawsynth cameras "Sony ILCE-7SM2"
  rawsynth cameras my_camera.toml --json
  rawsynth cameras import darktable noiseprofiles.json --model "Nikon D7200" -o d7200.toml
  rawsynth cameras import dng iso100.dng iso800.dng -o phone.toml
  rawsynth cameras import eld SonyA7S2_params.npy --model "Sony ILCE-7SM2" -o a7s2.toml
"""

_FORMATS = ("darktable", "dng", "eld")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="CAMERA",
        help=f"a camera's name or file, text to filter names by, or: import {{{','.join(_FORMATS)}}} SOURCE...",
    )
    parser.add_argument(
        "--with", dest="having", choices=["color", "noise", "both"], help="only cameras with colour, noise or both"
    )
    parser.add_argument("--json", action="store_true", help="print JSON; of one camera, its file")
    group = parser.add_argument_group("import")
    group.add_argument("--model", metavar="NAME", help="the camera in darktable's table; a name for the others")
    group.add_argument("--as-printed", action="store_true", help="darktable's a and b as they stand (docs/cameras.md)")
    group.add_argument("-o", "--output", metavar="FILE", help="camera file to write, .toml or .json")


def run(args: argparse.Namespace) -> int:
    """List, show or import."""
    if args.words[:1] == ["import"]:
        if args.having or args.json:
            raise UsageError("--with and --json go with a list, not with import.")
        return _import(args.words[1:], args.model, args.output, args.as_printed)
    if args.model or args.output or args.as_printed:
        raise UsageError(
            "--model, --as-printed and -o go with import: rawsynth cameras import FORMAT SOURCE --model NAME -o FILE."
        )
    from rawsynth.cameras import builtin_cameras, camera_to_dict, load_camera
    from rawsynth.cameras.choosing import cameras_with
    from rawsynth.cameras.sold_names import sold_as

    text = " ".join(args.words)
    text = next((name for name in builtin_cameras() if name.lower() == text.lower()), text)
    if args.having is None and (text.endswith((".toml", ".json")) or text in builtin_cameras()):
        camera = load_camera(text)
        print(json.dumps(camera_to_dict(camera), indent=2) if args.json else "\n".join(describe(camera)))
        return 0
    chosen = cameras_with(color=args.having in ("color", "both"), noise=args.having in ("noise", "both"))
    found = [camera for name, camera in chosen.items() if text.lower() in name.lower()]
    if not found:
        having = {None: "", "both": " with colour and noise", "color": " with colour"}.get(args.having, " with noise")
        near = get_close_matches(text.lower(), {name.lower(): name for name in chosen}, 3, 0.7)
        sold = sold_as(text, chosen)
        names = [name for name in chosen if name.lower() in near] if sold is None else [sold]
        meant = f" Near: {', '.join(names)}." if names else ""
        raise UsageError(f"no camera{having} has {text!r} in its name.{meant} `rawsynth cameras` lists all.")
    rows = [summary(camera) for camera in found]
    print(json.dumps(rows, indent=2) if args.json else "\n".join(table(_shown(rows))))
    return 0


def summary(camera: CameraProfile) -> dict[str, Any]:
    """Return one line of the list, JSON-ready."""
    noise = camera.noise
    sources = [source.removeprefix("noise: ") for source in camera.sources if source.startswith("noise: ")]
    return {
        "name": camera.name,
        "cfa": camera.cfa,
        "nominal_levels": camera.nominal_levels,
        "color": sorted(camera.cam_from_xyz),
        "iso": None if noise is None else list(noise.iso_range),
        "nominal_iso": None if noise is None else noise.nominal_iso,
        "noise": None if noise is None else _kind(camera),
        "noise_source": None if noise is None else (sources or ["see its file"])[0],
    }


def _kind(camera: CameraProfile) -> str:
    assert camera.noise is not None
    points = camera.noise.points
    parts = ["Tukey-lambda" if points[0].tukey_scale_dn is not None else "Gaussian"]
    parts += [name for name in ("row", "column") if any(getattr(point, f"{name}_sigma_dn") for point in points)]
    return ", ".join([*parts, *(["dual gain"] if camera.noise.high_gain_isos else [])])


def _shown(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    shown = [["camera", "CFA", "colour", "ISO", "read noise", "source of the noise"]]
    for row in rows:
        iso = "-" if row["iso"] is None else "{:g}..{:g}".format(*row["iso"]) + ("*" if row["nominal_iso"] else "")
        source = (row["noise_source"] or "-").partition(" (")[0].partition(",")[0]
        shown.append([row["name"], row["cfa"], " ".join(row["color"]) or "-", iso, row["noise"] or "-", source])
    if any(row["nominal_iso"] for row in rows):
        shown.append(["(* ISO nominal: the source states gains)", *[""] * 5])
    return shown


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns; the last row may be a note of one cell."""
    notes = [row for row in rows if not any(row[1:])]
    body = [row for row in rows if any(row[1:])]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in body]
    return [*lines, *(row[0] for row in notes)]


def describe(camera: CameraProfile) -> list[str]:
    """Say in words and tables all that a profile holds."""
    levels = camera.levels
    nominal = ", nominal" if camera.nominal_levels else ""
    lines = [camera.name, f"  layout  {camera.cfa}"]
    lines += [f"  levels  black {levels.black_level}, white {levels.white_level}, {levels.bits} bits{nominal}"]
    for name, matrix in sorted(camera.cam_from_xyz.items()):
        rows = "; ".join(" ".join(f"{value:.4f}" for value in row) for row in matrix)
        lines.append(f"  colour  XYZ to camera under {name}: {rows}")
    noise = camera.noise
    if noise is None:
        lines.append("  noise   none; choose another camera (--with noise) or calibrate it (rawsynth calibrate)")
    else:
        isos = " (ISO nominal)" if noise.nominal_iso else ""
        lines.append(f"  noise   {_kind(camera)}{isos}")
        lines += [f"          conversion gain switches at ISO {iso:g}" for iso in noise.high_gain_isos]
        if noise.tukey_lambdas:
            lines.append(f"          Tukey lambda {', '.join(f'{shape:.4g}' for shape in noise.tukey_lambdas)}")
        for name, spread in noise.log_spread.items():
            lines.append(f"          spread of ln {name} about the table: {spread:g}")
        heading = ["ISO", "plane", "K DN/e-", "read DN", "read e-", "S", "O"]
        heading += ["Tukey DN", "lambda", "row DN", "column DN"]
        rows_of = [row for point in noise.points for row in _point_rows(camera, point)]
        lines += ["", *(f"  {line}" for line in table([[*heading, "flags"], *rows_of]))]
    return [*lines, "", "  sources", *(f"    {source}" for source in camera.sources)]


def _point_rows(camera: CameraProfile, point: NoisePoint) -> list[list[str]]:
    from rawsynth.raw.cfa import plane_names
    from rawsynth.raw.noise_params import electrons_from_dn, read_from_sigma, shot_from_gain

    range_dn = camera.levels.range_dn
    tukey = point.tukey_scale_dn or (None,) * 4
    planes = list(zip(point.gain_dn_per_electron, point.read_sigma_dn, tukey, strict=True))
    names: Sequence[str] = plane_names(camera.cfa)
    if len(set(planes)) == 1:
        planes, names = planes[:1], ["all"]
    rows = []
    for name, (gain, sigma, scale) in zip(names, planes, strict=True):
        figures = [gain, sigma, electrons_from_dn(sigma, gain), shot_from_gain(gain, range_dn)]
        figures.append(read_from_sigma(sigma, range_dn))
        optional = [scale, point.tukey_lambda, point.row_sigma_dn or None, point.column_sigma_dn or None]
        shown = [f"{value:.4g}" for value in figures] + ["-" if v is None else f"{v:.4g}" for v in optional]
        rows.append([f"{point.iso:g}", name, *shown, ", ".join(point.flags)])
    return rows


def _import(words: Sequence[str], model: str | None, output: str | None, as_printed: bool) -> int:
    """Import a camera and write its file.

    Raises:
        UsageError: an unknown format, a missing source, model or output, or an output that is there already.
    """
    from rawsynth.registry import pick

    if len(words) < 2 or output is None or not output.endswith((".toml", ".json")):
        raise UsageError(f"rawsynth cameras import {{{','.join(_FORMATS)}}} SOURCE [--model NAME] -o FILE.toml")
    kind, sources = pick({name: name for name in _FORMATS}, words[0], "format"), list(words[1:])
    if kind != "dng" and (len(sources) != 1 or model is None):
        raise UsageError(f"import {kind} takes one source and the camera's name, maker first: --model 'Nikon D850'.")
    if as_printed and kind != "darktable":
        raise UsageError("--as-printed is about darktable's a and b; leave it out.")
    from rawsynth import storage
    from rawsynth.cameras import camera_to_dict, format_camera
    from rawsynth.cameras.importers import import_darktable, import_dng, import_eld

    if storage.exists(output):
        raise UsageError(f"{output} is there already; remove it or choose another name.")
    if kind == "dng":
        camera = import_dng(sources, model)
    else:
        camera = (
            import_darktable(sources[0], str(model), as_printed=as_printed)
            if kind == "darktable"
            else import_eld(sources[0], str(model))
        )
    as_json = output.endswith(".json")
    text = json.dumps(camera_to_dict(camera), indent=2) + "\n" if as_json else format_camera(camera)
    storage.write_atomic(output, text.encode("utf-8"))
    print(f"{output}: {'; '.join(_outcome(camera))}")
    return 0


def _outcome(camera: CameraProfile) -> list[str]:
    said = [camera.name, f"colour {' and '.join(sorted(camera.cam_from_xyz)) or 'none'}"]
    if camera.noise is None:
        return [*said, "no noise"]
    points = camera.noise.points
    said.append("noise at ISO {:g}..{:g}, settings: {}".format(*camera.noise.iso_range, len(points)))
    for flag in sorted({flag for point in points for flag in point.flags}):
        said.append(f"{flag} at ISO {', '.join(f'{point.iso:g}' for point in points if flag in point.flags)}")
    return said + (["levels nominal: check them"] if camera.nominal_levels else [])
