"""train a reverse ISP on pairs of sRGB and RAW, or on photographs

Examples and options: ``rawsynth train --help``.
"""

from __future__ import annotations

import argparse

from rawsynth.counting import counted
from rawsynth.errors import UsageError

DESCRIPTION = """\
Train a reverse ISP on pairs of sRGB and RAW, or rst_isp_net_small on photographs alone. Run the same command again to
go on where a run stopped.

CONFIG is a TOML file, or the name of one that comes with the package:
own_camera, rst_isp_net_small, rst_isp_net_s7, rst_isp_net_p20, tiny.

examples:
  rawsynth train own_camera --set data.train=pairs/ --output runs/my-camera
  rawsynth train rst_isp_net_small --set data.photographs=photos/ --output runs/small
  rawsynth train my.toml --set optimizer.steps=20000 --set data.crop=256
  rawsynth train own_camera --set model.method=cycleisp --set data.train=pairs/ --set data.crop=256
  rawsynth train rst_isp_net_s7 --set data.train=data-s7/train --set compute.dtype=bfloat16
  torchrun --nproc-per-node 4 -m rawsynth train own_camera --set data.train=pairs/
  rawsynth train own_camera --show
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="TOML file, or the name of a packaged one")
    parser.add_argument("--output", help="folder or URL of checkpoints, weights and logs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="an option that wins over the file's"
    )
    parser.add_argument("--overwrite", action="store_true", help="remove another training from the output first")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--show", action="store_true", help="print a packaged configuration, and stop")


def run(args: argparse.Namespace) -> int:
    """Train."""
    import warnings

    from rawsynth.registry import pick
    from rawsynth.training.config import packaged_configs
    from rawsynth.training.scene_config import SceneTrainConfig, load_config

    if args.show:
        print(pick(packaged_configs(), args.config, "training configuration"), end="")
        return 0
    overrides = dict(_assignment(text) for text in args.set)
    if args.output is not None:
        overrides["output"] = args.output
    config = load_config(args.config, overrides)
    # On few cores PyTorch advises fewer workers than the configuration states, which is no news to who states them.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    from rawsynth.cli.main import EXIT_INTERRUPTED

    if isinstance(config, SceneTrainConfig):
        from rawsynth.training.scene_linear import SELECTED_BY, train_scene_linear

        summary = train_scene_linear(config, quiet=args.quiet, overwrite=args.overwrite)
    else:
        from rawsynth.training.train import train
        from rawsynth.training.validation import SELECTED_BY

        summary = train(config, quiet=args.quiet, overwrite=args.overwrite)
    if not summary.first:
        return EXIT_INTERRUPTED if summary.interrupted else 0
    if summary.interrupted:
        print(f"stopped after step {summary.steps} of {summary.total}; the same command goes on from there")
        return EXIT_INTERRUPTED
    best = summary.best or {}
    lost = f"; {counted(summary.lost, 'time')} a pair could not be read (see metrics.jsonl)" if summary.lost else ""
    print(f"{counted(summary.total, 'step')}; best validation {best[SELECTED_BY]:.2f} dB at step {best['step']}{lost}")
    print(f"weights: {summary.weights}")
    return 0


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--set {text}: write --set table.key=value.")
    return name.strip(), value.strip()
