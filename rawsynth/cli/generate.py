"""make a corpus of noisy/clean RAW from sRGB images

Examples and options: ``rawsynth generate --help``.
"""

from __future__ import annotations

import argparse

from rawsynth.cli.options import add_config_arguments, config_from_args

DESCRIPTION = """\
Turn sRGB images, or camera RAW files, into a WebDataset corpus of noisy/clean RAW pairs. Run the same command again to
resume.

examples:
  rawsynth generate photos/ corpus/
  rawsynth generate photos/ corpus-plain/ --method unprocess
  rawsynth generate 'shards/{000..099}.tar' corpus-crops/ --crop 512 --crops 4 --seed 1
  rawsynth generate photos/ corpus-a7s2/ --camera "Sony ILCE-7SM2" --iso 1600..25600 --noise physics
  rawsynth generate photos/ corpus-cameras/ --camera random --cfa camera
  rawsynth generate photos/ corpus-clean/ --camera random --clean-only
  rawsynth generate photos/ corpus-levels/ --noise heteroscedastic_gaussian --shot 0.01 --read 0.0002
  rawsynth generate data/train.parquet corpus-table/ --image-column image --keep label
  rawsynth generate 'CARD/DCIM/**/*.NEF' corpus-raw/ --downscale 2 --crop 512
  rawsynth generate s3://bucket/photos s3://bucket/corpus --downscale 2 --realizations 4
  rawsynth generate --config corpus.toml --dry-run
  rawsynth generate photos/ corpus/ --workers 4 --summary run.json
  torchrun --nproc-per-node 8 -m rawsynth generate 'shards/{000..999}.tar' corpus-ranks/
  rawsynth generate 'shards/{000..999}.tar' corpus-ray/ --engine ray
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the corpus."""
    config = config_from_args(args)
    from rawsynth.cli import dry_run
    from rawsynth.cli.main import EXIT_INTERRUPTED
    from rawsynth.cli.outcome import summarize
    from rawsynth.cli.progress import Bar, make_observer
    from rawsynth.cli.stopping import stopping_within_seconds
    from rawsynth.engine.local import generate

    if config.run.dry_run:
        return dry_run.report(config)
    observer = make_observer(config.run)
    try:
        with stopping_within_seconds(EXIT_INTERRUPTED):
            summary = generate(config, observer)
    finally:
        if isinstance(observer, Bar):
            observer.close()
    print(summarize(summary))
    return summary.exit_code
