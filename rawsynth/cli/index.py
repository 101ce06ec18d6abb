"""write an index of a corpus: a row a sample, for random access

What a row holds: docs/corpus-format.md.
"""

from __future__ import annotations

import argparse

from rawsynth.counting import counted

DESCRIPTION = """\
Write an index of a corpus: a row a sample with its key, its part, offset and size of each member, camera, light, ISO,
noise and source. rawsynth.CorpusIndex opens it for random access by key; any other tool can select samples by it and
read their bytes. Reads the tars' headers and JSON, no pixels. The same corpus gives the same bytes.
Exit code 0 if all shards are indexed, 1 if some are not done, 2 for wrong usage.

examples:
  rawsynth index corpus/
  rawsynth index s3://bucket/corpus --threads 32
  rawsynth index corpus/ --format parquet
  duckdb -c "select camera, count(*) from 'corpus/index.parquet' group by camera"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", help="folder or URL of the corpus")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file or URL (default: index.jsonl in the corpus), no file but an index"
    )
    parser.add_argument("--format", choices=["jsonl", "parquet"], help="by the name of the output if not given")
    parser.add_argument("--threads", type=int, metavar="N", help="parts read at a time; the cores if not given")
    parser.add_argument("--quiet", action="store_true", help="print nothing but problems")


def run(args: argparse.Namespace) -> int:
    """Write the index."""
    from rawsynth.corpus.index import write_index
    from rawsynth.errors import UsageError
    from rawsynth.meter import Meter

    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads is 1 or more; got {args.threads}.")
    with Meter("part", name="rawsynth index", shown=not args.quiet) as meter:
        done = write_index(
            args.corpus,
            args.output,
            format=args.format,
            threads=args.threads,
            watch=lambda part: meter.advance(),
        )
    if not args.quiet:
        parts = f"{counted(done.samples, 'sample', grouped=True)} in {counted(done.parts, 'part', grouped=True)}"
        print(f"{done.url}: {parts} of {counted(done.shards, 'shard', grouped=True)}")
    if done.missing:
        are, they = ("is", "it") if done.missing == 1 else ("are", "they")
        missing = counted(done.missing, "shard", grouped=True)
        print(f"{args.corpus}: {missing} {are} not done and not in the index; run it again when {they} {are}")
    return int(bool(done.missing))
