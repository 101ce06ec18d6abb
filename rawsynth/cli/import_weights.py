"""make weights of a published network's checkpoint

What can be imported, and from where: docs/peers.md.
"""

from __future__ import annotations

import argparse

DESCRIPTION = """\
Make a rawsynth weights file of a checkpoint that a network's authors published, under their own key names. METHOD is
one of aim22_0noise, aim22_unet, cycleisp, invisp, liteispnet_s, rst_isp_net. CHECKPOINT is a path or URL of a
.safetensors file, or of a pickle (.pth, .pt), which is opened only with --trust-pickle, and even then no code of it
runs. Mind the licence of what you import: it stands on the weights' card.

examples:
  rawsynth import-weights cycleisp isp_rgb2raw.pth cycleisp.safetensors --trust-pickle
  rawsynth import-weights invisp nikon.pth invisp.safetensors --trust-pickle --camera "Nikon D700" --licence MIT
  rawsynth import-weights rst_isp_net generator.pth s7.safetensors --preset s7 --trust-pickle
  rawsynth generate photos/ corpus-cycleisp/ --method cycleisp --weights cycleisp.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("method", metavar="METHOD", help="learned method that the checkpoint is of")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="path or URL of the published file")
    parser.add_argument("output", metavar="OUT.safetensors", help="path or URL of the weights file to write")
    parser.add_argument("--preset", metavar="P", help="which published network (default: the first that there is)")
    parser.add_argument("--trust-pickle", action="store_true", help="open a pickle, because you know where it is from")
    parser.add_argument("--camera", metavar="NAME", help="whose RAW the weights make, for their card")
    parser.add_argument("--licence", metavar="TEXT", help="of the weights, for their card (default: the original's)")


def run(args: argparse.Namespace) -> int:
    """Import a checkpoint."""
    from rawsynth import storage
    from rawsynth.errors import UsageError
    from rawsynth.methods.importing import import_checkpoint
    from rawsynth.methods.weights import SUFFIX

    if not args.output.endswith(SUFFIX):
        raise UsageError(f"{args.output}: weights are written to a {SUFFIX} file; name it so.")
    if not storage.exists(args.checkpoint):
        raise UsageError(f"cannot read {args.checkpoint}: no such file.")
    method = import_checkpoint(
        args.method,
        args.checkpoint,
        preset=args.preset,
        trust_pickle=args.trust_pickle,
        camera=args.camera,
        licence=args.licence,
    )
    digest = method.save(args.output)
    count = sum(parameter.numel() for parameter in method.network.parameters())
    print(f"{args.output}: {method.name}, {count:,} parameters, sha256 {digest[:12]}; licence: {method.card.licence}")
    print(f"use it: --method {method.name} --weights {args.output}")
    return 0
