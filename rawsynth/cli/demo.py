"""make a small corpus from real photographs, check it and draw it

The photographs are those that scikit-image ships; no network is needed.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from rawsynth.errors import OutputError, UsageError

DESCRIPTION = """\
Take the real photographs that scikit-image ships through the whole pipeline: a corpus, its verification, a picture.
The picture shows, a row a photograph: sRGB | RAW by unprocess | RAW by the network that made the corpus | with noise.
RAW is rendered by white balance, matrix and one tone curve; both have the colour of the same camera.

examples:
  rawsynth demo
  rawsynth demo --output /tmp/rawsynth-demo
"""

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--output", default="rawsynth-demo", help="folder to write to (default rawsynth-demo)")


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from rawsynth import storage

    if not storage.is_local(args.output) or "://" in args.output:
        raise UsageError(f"the demo writes to a folder on a local disk; got --output {args.output}.")
    root = Path(args.output)
    copy_photographs(root / "photos")
    from rawsynth.cli.outcome import summarize
    from rawsynth.cli.progress import Bar
    from rawsynth.corpus.preview import write_preview
    from rawsynth.corpus.verify import verify
    from rawsynth.engine.local import generate
    from rawsynth.pipeline.config import build_config

    corpus, picture = str(root / "corpus"), str(root / "preview.png")
    choices = {"seed": 9, "write": {"srgb": True}, "run": {"overwrite": True}}
    config = build_config({"input": str(root / "photos"), "output": corpus, **choices})
    bar = Bar()
    try:
        summary = generate(config, bar)
    finally:
        bar.close()
    report = verify(corpus)
    if summary.exit_code or not report.ok:
        print("\n".join([summarize(summary), *report.problems]))
        return 1
    write_preview(corpus, picture, beside_unprocess=True)
    print(
        f"{summarize(summary)}; verified\n\n"
        f"corpus   {corpus}\npicture  {picture}\n\n{next_steps(corpus)}"
    )
    return 0


def next_steps(corpus: str) -> str:
    """Return what to type next; first what puts ``rawsynth`` on the PATH, where it is not, as after ``make demo``."""
    script = Path(sys.prefix) / "bin" / "activate"
    activate = script.is_file() and shutil.which("rawsynth") is None
    return (
        "next, on your own photographs:\n"
        + (f"  . {shlex.quote(str(script))}\n" if activate else "")
        + "  rawsynth generate PHOTOS/ CORPUS/\n"
        f"then, in Python:\n  for pair in rawsynth.open_corpus({corpus!r}): ...   # noisy, clean, variance, meta"
    )


def copy_photographs(folder: Path) -> None:
    """Copy scikit-image's photographs to a folder.

    Raises:
        UsageError: scikit-image is not installed.
        OutputError: the folder cannot be written.
    """
    try:
        import skimage
    except ImportError as error:
        raise UsageError("the demo's photographs come with scikit-image: pip install 'rawsynth[demo]'.") from error
    source = Path(skimage.__file__).parent / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in PHOTOGRAPHS:
            shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise OutputError(f"cannot write the demo's photographs to {folder}: {error.strerror}.") from error
