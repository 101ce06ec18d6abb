"""Reverse ISPs on real RAW files, developed by real software.

    python benchmarks/bench_renderings.py ~/Pictures/raws --work /tmp/renderings
    python benchmarks/bench_renderings.py a.dng b.NEF --work /tmp/renderings --software libraw --methods linear

Each RAW file is developed by whatever is installed of dcraw_emu, darktable-cli and rawtherapee-cli, in the styles of
``rawsynth.pairs.developers``; the camera's own JPEG counts too, where it lies beside the file or in it at full size.
The sRGB is coded as photographs are and laid on the RAW pixel by pixel. Pairs stay under ``--work``, about 60 MB each
at 12 Mpx, so that a second run only scores; remove one to have it made again. Every method is told the file's own
matrix and as-shot white balance, and nothing else; the style is read from the whole frame. Up to twelve windows of
512x512 count. `rawsynth bench` scores RAW files window by window, with intervals; this scores whole frames.

The table says ``absolute / fitted / fitted by crop``, PSNR in dB of packed RAW in [0, 1]: the mean over a frame's
windows, then over frames. "fitted" has one factor of exposure a frame, found where nothing is saturated; "fitted by
crop" one a window, found over all of it. ``scores.json`` in ``--work`` has every frame. Methods:

    unprocess           Brooks et al. 2019 with rgb_gain 1.25, the centre of its law
    linear              the sRGB curve undone (IEC 61966-2-1), nothing else: the method srgb_linear
    rst_isp_net_small   the network, with --weights or those of the package
    oracle              the image's own best cubic polynomial of its sRGB; it knows the answer, and shows what is left
                        to a map of single pixels
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from rawsynth.errors import RawsynthError, UsageError
from rawsynth.evaluation.frame_scores import FrameScore, Planes, markdown, score_frame
from rawsynth.evaluation.oracle import polynomial_oracle
from rawsynth.pairs.developers import PROGRAMS, STYLES, installed
from rawsynth.pairs.rendered import (
    CAMERA,
    Crop,
    RenderedPair,
    camera_pair,
    crops_of,
    load,
    make_pair,
    pair_name,
    save,
)
from rawsynth.pairs.sources import RawSource, find_sources
from rawsynth.raw.files import RawFile, read_raw
from rawsynth.transforms import ReverseISP

RGB_GAIN = 1.25
Method = Callable[[RenderedPair, list[Crop]], list[Planes]]


def oracle_planes(pair: RenderedPair, crops: list[Crop]) -> list[Planes]:
    """Fit the frame's own polynomials to its windows."""
    windows = [pair.srgb[:, y : y + h, x : x + w] for y, x, h, w in crops]
    return polynomial_oracle(windows, [pair.planes(crop) for crop in crops])


def reverse_isp(name: str, weights: str | None, *, rgb_gain: float | None) -> Method:
    """Return a method of the package that is told a pair's camera and works on whole frames."""
    built = ReverseISP(name, weights, seed=0)

    def planes(pair: RenderedPair, crops: list[Crop]) -> list[Planes]:
        camera = {"cam_from_srgb": pair.cam_from_srgb.tolist(), "white_balance": list(pair.white_balance)}
        known = camera if rgb_gain is None else camera | {"rgb_gain": rgb_gain}
        with torch.no_grad():
            packed = built(torch.from_numpy(pair.srgb), keys=["frame"], overrides=known).packed
        boxes = [tuple(value // 2 for value in crop) for crop in crops]
        return [packed[..., y : y + h, x : x + w].reshape(4, h, w).float().numpy() for y, x, h, w in boxes]

    return planes


def methods_of(names: list[str], weights: str | None) -> dict[str, Method]:
    """Return the named methods."""
    known: dict[str, Callable[[], Method]] = {
        "unprocess": lambda: reverse_isp("unprocess", None, rgb_gain=RGB_GAIN),
        "linear": lambda: reverse_isp("srgb_linear", None, rgb_gain=1.0),
        "oracle": lambda: oracle_planes,
    }
    return {name: known.get(name, lambda: reverse_isp(name, weights, rgb_gain=None))() for name in names}


def prepare(source: RawSource, software: list[str], work: Path) -> Iterator[Path]:
    """Yield a file's pairs, made now or before; what cannot be made is said on stderr."""
    raw: RawFile | None = None
    wanted = [style for style in (*STYLES, CAMERA) if style.software in software]
    for style in wanted:
        path = work / "pairs" / f"{pair_name(Path(source.url).name, style)}.npz"
        if not path.exists():
            try:
                raw = raw or read_raw(source.url)
                own = style == CAMERA
                save(camera_pair(source) if own else make_pair(raw, style, work / "tools"), path)
            except RawsynthError as error:
                print(f"left out: {source.path}, {style.name}: {error}", file=sys.stderr)
                continue
        yield path


def score_all(paths: list[Path], methods: dict[str, Method]) -> list[FrameScore]:
    """Score every method on every pair."""
    scores = []
    for number, path in enumerate(paths, 1):
        pair = load(path)
        crops = crops_of(*pair.srgb.shape[1:])
        scores += [score_frame(name, pair, method(pair, crops), crops) for name, method in methods.items()]
        print(f"{number}/{len(paths)} {path.stem}", file=sys.stderr)
    return scores


def main() -> None:
    """Make the pairs, score them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raws", nargs="+", help="RAW files, folders or patterns")
    parser.add_argument("--work", required=True, type=Path, help="folder for pairs, the programs' settings and scores")
    parser.add_argument("--software", nargs="+", choices=[*PROGRAMS, "camera"], default=[*PROGRAMS, "camera"])
    parser.add_argument("--methods", nargs="+", default=["unprocess", "linear", "rst_isp_net_small", "oracle"])
    parser.add_argument("--weights", help="of the networks")
    args = parser.parse_args()
    methods = methods_of(args.methods, args.weights)
    software = [name for name in args.software if name == "camera" or installed(name)]
    for name in sorted(set(args.software) - set(software)):
        print(f"left out: {name}, as {PROGRAMS[name]} is not installed", file=sys.stderr)
    sources = [source for place in args.raws for source in find_sources(place)]
    names = [Path(source.url).name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"files of one name in different folders: {', '.join(twice)}; rename one of each.")
    paths = [path for source in sources for path in prepare(source, software, args.work)]
    if not paths:
        raise UsageError("no RAW file could be developed; the lines above say why.")
    scores = score_all(paths, methods)
    (args.work / "scores.json").write_text(json.dumps([asdict(score) for score in scores], indent=1))
    print(markdown(scores))


if __name__ == "__main__":
    main()
