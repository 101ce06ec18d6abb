"""compare a camera's real noise with synthetic noise

What each number means: docs/noise-report.md.
"""

from __future__ import annotations

import argparse
import json

DESCRIPTION = """\
Compare the noise of real frames of a static scene with that of synthetic frames, or with what a camera's noise profile
makes of the same scene: divergence of the residuals, variance by intensity, autocorrelation, row and column noise, tail
quantiles. Every figure stands beside its null: what two halves of the real frames differ by. Ends with one line, PASS
or DIFFERS. With --output, a page with plots and a JSON file of every number.
Exit code 0 whatever the verdict; with --check 1 if the noise differs; 1 for frames that cannot be used, 2 for wrong
usage.

examples:
  rawsynth noise-report real/ synthetic/ --output report/
  rawsynth noise-report burst/ --camera "Sony ILCE-7SM2" --iso 6400 --output report/
  rawsynth noise-report 'shots/bright_*.dng' --also 'shots/dark_*.dng' --camera mine.toml --check
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("real", help="folder or pattern of real frames of one static scene, or of a folder a series")
    parser.add_argument("synthetic", nargs="?", help="the same of synthetic frames; not with --camera")
    parser.add_argument(
        "--also",
        nargs="+",
        action="append",
        default=[],
        metavar="SERIES",
        help="another series: REAL, or REAL SYNTHETIC; as often as needed, e.g. dark frames beside bright ones",
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="folder or URL for index.html, plots, noise-report.json")
    made = parser.add_argument_group("noise of a profile, instead of synthetic frames")
    made.add_argument("--camera", help="built-in camera, or camera file")
    made.add_argument("--iso", type=float, help="ISO of the real frames (default: as their files say)")
    made.add_argument("--noise", default="physics", help="noise model (default physics)")
    made.add_argument("--extrapolate", action="store_true", help="allow an ISO outside the profile")
    made.add_argument("--black-level", type=int, metavar="DN", help="of the frames, where file and camera are wrong")
    frames = parser.add_argument_group("frames")
    frames.add_argument("--cfa", help="layout of PNG, TIFF and NPY frames, e.g. RGGB (default: monochrome)")
    frames.add_argument("--white-level", type=int, metavar="DN", help="where pixels saturate, if files do not say")
    frames.add_argument("--frames", type=int, metavar="N", help="at most N frames a series")
    frames.add_argument("--splits", type=int, default=4, metavar="N", help="splits of the real frames (default 4)")
    frames.add_argument("--seed", type=int, default=0, metavar="N", help="of synthetic noise and splits (default 0)")
    said = parser.add_argument_group("what is said")
    said.add_argument("--check", action="store_true", help="exit code 1 if the noise differs")
    said.add_argument("--json", action="store_true", help="print noise-report.json instead of the table")


def run(args: argparse.Namespace) -> int:
    """Compare, tell, and judge."""
    check(args)
    if args.output is not None:
        from rawsynth.evaluation.charts import check_drawable

        check_drawable()
    from rawsynth.evaluation.noise_report import ProfileNoise, noise_report, series_sources, unique_names
    from rawsynth.evaluation.noise_verdict import markdown

    pairs = [(args.real, args.synthetic), *((*series, None)[:2] for series in args.also)]
    sources = unique_names([source for real, made in pairs for source in series_sources(real, made)])
    noise = None
    if args.camera is not None:
        noise = ProfileNoise(
            args.camera, args.iso, args.noise, extrapolate=args.extrapolate, black_level=args.black_level
        )
    report = noise_report(
        sources,
        noise,
        cfa=args.cfa,
        white_level=args.white_level,
        limit=args.frames,
        splits=args.splits,
        seed=args.seed,
        output=args.output,
    )
    print(json.dumps(report.to_json(), indent=1, allow_nan=False) if args.json else markdown(report))
    return 1 if args.check and not report.passed else 0


def check(args: argparse.Namespace) -> None:
    """Check the options against each other.

    Raises:
        UsageError: synthetic frames beside a camera, or neither; counts that are too small.
    """
    from rawsynth.errors import UsageError

    made = [args.synthetic is not None, *(len(series) > 1 for series in args.also)]
    if any(len(series) > 2 for series in args.also):
        raise UsageError("--also takes REAL, or REAL SYNTHETIC; quote patterns that the shell would expand.")
    if args.camera is not None and any(made):
        raise UsageError("give synthetic frames or --camera, not both.")
    if args.camera is None and not all(made):
        raise UsageError("what is the noise compared with? Give a folder of synthetic frames a series, or --camera.")
    for name, least in (("frames", 4), ("splits", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} is {least} or more; got {value}.")
