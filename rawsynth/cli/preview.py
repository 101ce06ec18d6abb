"""draw a corpus: a contact sheet, and a gallery to open in a browser

What the gallery shows: docs/preview.md.
"""

from __future__ import annotations

import argparse

from rawsynth.counting import counted

DESCRIPTION = """\
Draw samples of a corpus: preview.png, a row a sample, and preview.html, one file that needs no network. Each sample is
shown as source sRGB (of a corpus made with --srgb), clean RAW, noisy RAW and what was added, rendered and at the
sensor's pixels on a click; with a histogram, its metadata, and its noise measured against S x + O plane by plane.
A damaged sample costs that sample and is named. Exit code 0, 1 if anything was damaged, 2 for wrong usage.

examples:
  rawsynth preview corpus/
  rawsynth preview corpus/ --output look/ --limit 20
  rawsynth preview corpus/ --keys cats/IMG_01-jpg cats/IMG_02-jpg
  rawsynth preview s3://bucket/corpus --window 512 --gain 20
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", help="folder or URL of the corpus, or its tars: 'corpus/*.tar'")
    parser.add_argument("-o", "--output", default="preview", metavar="DIR", help="folder or URL (default preview)")
    parser.add_argument("--limit", type=int, default=8, metavar="N", help="samples, spread over the parts (default 8)")
    parser.add_argument("--keys", nargs="+", metavar="KEY", help="these samples; KEY#1 is a further realization")
    parser.add_argument(
        "--window", type=int, default=384, metavar="PX", help="side of what is shown of each image (default 384)"
    )
    parser.add_argument("--gain", type=float, metavar="G", help="of the residual; by each sample's noise if not given")


def run(args: argparse.Namespace) -> int:
    """Draw the corpus."""
    from rawsynth.cli.printable import printable
    from rawsynth.corpus.gallery import write_gallery

    options = {"limit": args.limit, "keys": args.keys, "window": args.window, "gain": args.gain}
    done = write_gallery(args.corpus, args.output, **options)
    for one in done.damaged:
        print(printable(f"{args.corpus}: not shown, damaged: {one.name}: {one.cause}"))
    print(f"{counted(done.samples, 'sample')} of {args.corpus}")
    for what, url in (("sheet", done.sheet), ("gallery", done.page)):
        if url is not None:
            print(f"  {what:<8} {url}")
    return done.exit_code
