"""measure a camera's noise from flat fields and darks

How to take them, and what each figure means: docs/calibration.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rawsynth.errors import UsageError

DESCRIPTION = """\
Measure system gain, read noise, row and column noise and the tails of a camera from flat fields and dark frames, or
from a burst of a static scene, and write them as a camera profile for `rawsynth generate --camera camera.toml`.

SOURCE is a folder with flat/ and dark/ in it (any camera RAW, DNG, 16-bit grayscale PNG or TIFF, NPY; two frames or
more of each exposure), or an EMVA 1288 descriptor. Frames that cannot be read are named and cost their pair only.
Exit code 0 if every ISO was calibrated, 1 if one could not be or nothing can be read, 2 for wrong usage.

examples:
  rawsynth calibrate captures/ -o camera.toml --report report/
  rawsynth calibrate captures/ -o camera.toml --name "Sony ILCE-7SM2" --color-of "Sony ILCE-7SM2"
  rawsynth calibrate EMVA1288_Data.txt --fit emva1288 -o sensor.toml --iso 100
  rawsynth calibrate pngs/ -o camera.toml --cfa RGGB --bits 12
  rawsynth calibrate tripod/ --burst -o camera.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="folder of captures, or EMVA 1288 descriptor; path or URL")
    parser.add_argument("-o", "--output", metavar="FILE", help="camera profile to write, .toml or .json")
    parser.add_argument("--report", metavar="DIR", help="folder or URL for index.html, its figures, calibration.json")
    parser.add_argument("--name", help="of the camera: maker and model (default: that of SOURCE)")
    parser.add_argument("--color-of", metavar="CAMERA", help="take this camera's colour matrices into the profile")
    how = parser.add_argument_group("how it is measured")
    how.add_argument(
        "--fit",
        choices=["weighted", "emva1288"],
        default="weighted",
        help="weighted least squares, or exactly as the EMVA 1288 standard does (default weighted)",
    )
    how.add_argument("--burst", action="store_true", help="the frames show one static scene, not flat fields")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the intervals' bootstrap (default 0)")
    stated = parser.add_argument_group("what frames do not say themselves (PNG, TIFF, NPY, descriptor)")
    stated.add_argument("--iso", type=float, metavar="N", help="ISO of the frames")
    stated.add_argument("--cfa", metavar="RGGB", help="Bayer layout of the first 2x2 sites (default: monochrome)")
    stated.add_argument("--bits", type=int, metavar="N", help="bits of a value")
    stated.add_argument("--black-level", type=float, metavar="DN", help="used where there are no darks")
    stated.add_argument("--white-level", type=int, metavar="DN", help="value of a saturated pixel")
    said = parser.add_argument_group("what is said")
    said.add_argument("--json", action="store_true", help="print every figure as JSON")
    said.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Calibrate."""
    from tqdm import tqdm

    from rawsynth.calibration.report import json_text, summary_lines, write_camera, write_report
    from rawsynth.calibration.run import calibrate
    from rawsynth.evaluation.charts import need_matplotlib

    if args.output is not None and not args.output.endswith((".toml", ".json")):
        raise UsageError(f"--output is a camera file, .toml or .json; got {args.output!r}. --report takes a folder.")
    if args.report is not None:
        need_matplotlib()
    names = ("fit", "burst", "iso", "cfa", "black_level", "white_level", "bits", "color_of", "seed")
    hidden = args.quiet or not sys.stderr.isatty()
    with tqdm(unit="frame", dynamic_ncols=True, disable=hidden, file=sys.stderr) as bar:

        def tell(stage: str, done: int, total: int) -> None:
            bar.set_description(stage, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        found = calibrate(args.source, args.name, progress=tell, **{name: getattr(args, name) for name in names})
    if args.output is not None:
        write_camera(found, args.output)
    if args.report is not None:
        write_report(found, args.report)
    print(json_text(found) if args.json else _readable(summary_lines(found)), end="" if args.json else "\n")
    for note in found.notes:
        print(f"rawsynth calibrate: {note}", file=sys.stderr)
    return 1 if found.failed else 0


def _readable(lines: Sequence[str]) -> str:
    # A name may hold bytes that are no text.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
