"""What a style from a few pairs gains on real RAW files, developed by real software.

    python benchmarks/bench_renderings.py ~/Pictures/raws --work /tmp/renderings
    python benchmarks/bench_fit_style.py /tmp/renderings/pairs --json /tmp/renderings/fit-style.json

The pairs are those that bench_renderings.py has made. For each software and style two things are measured:

    other files     the style is fitted to 512x512 windows of the other files and scored on this one: other scenes, but
                    the same camera only if all files are of one
    other regions   it is fitted to windows of this file and scored on the rest of it: the same camera and ISP for sure,
                    but not another scene

The table says ``absolute / fitted / fitted by crop`` as bench_renderings.py does, without and with the style, and what
a fit took, in seconds of processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from rawsynth.evaluation.frame_scores import FrameScore, expose_sensor, score_frame
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.style_file import FittedStyle, StyleCard
from rawsynth.pairs.rendered import Crop, RenderedPair, crops_of, load
from rawsynth.training.style_fit import FitOptions, fit_style
from rawsynth.training.style_pairs import StylePair

_SIDE, _ROWS, _COLUMNS = 512, 3, 4
_MOST_SATURATED = 0.2
# The order in which a file's windows are fitted to: from all over it, the middle first.
_ORDER = (5, 10, 0, 6, 9, 3, 1, 8, 11, 2, 4, 7)


@dataclass(frozen=True)
class Trial:
    """One frame, scored.

    Attributes:
        kind: ``"other files"`` or ``"other regions"``.
        pairs: how many the style was fitted to.
        exposure: of the style.
        fit_s: processor time of the fit.
        before, after: scores with the frame's own style and with the fitted one.
    """

    kind: str
    pairs: int
    exposure: str
    fit_s: float
    before: FrameScore
    after: FrameScore


def style_pair(pair: RenderedPair, crop: Crop) -> StylePair:
    """Cut one window out of a frame, as ``rawsynth pairs`` does: its style is read from the window alone."""
    y, x, h, w = crop
    srgb = torch.from_numpy(np.ascontiguousarray(pair.srgb[:, y : y + h, x : x + w]))
    red, blue = pair.white_balance
    rows = torch.from_numpy(pair.cam_from_srgb / np.array([[red], [1.0], [blue]])).float()[[0, 1, 1, 2]]
    key = f"{pair.file}-{pair.style}-{y}-{x}"
    return StylePair(key, pair.file, pair.file, srgb, srgb, torch.from_numpy(pair.planes(crop)), rows)


def windows_to_fit(pair: RenderedPair) -> list[StylePair]:
    """Return a frame's windows in the order of :data:`_ORDER`, without those that saturate too much."""
    crops = crops_of(*pair.srgb.shape[1:], side=_SIDE, rows=_ROWS, columns=_COLUMNS)
    found = [style_pair(pair, crops[k]) for k in _ORDER if k < len(crops)]
    return [window for window in found if float((window.raw >= 0.99).float().mean()) <= _MOST_SATURATED]


def taken(files: Sequence[Sequence[StylePair]], count: int) -> list[StylePair]:
    """Take windows from the files in turns."""
    turns = [file[turn] for turn in range(max(map(len, files))) for file in files if turn < len(file)]
    return turns[:count]


def score(
    method: RstIspNetSmall, name: str, pair: RenderedPair, crops: list[Crop], fitted: FittedStyle | None
) -> FrameScore:
    """Score the network on windows of a frame, with the frame's own style or a fitted one."""
    frame = torch.from_numpy(pair.srgb)[None]
    # The style is read from single pixels; a frame of 12 Mpx need not be converted for it.
    step = max(1, min(frame.shape[-2:]) // 1000)
    seen = frame[..., ::step, ::step].float() / 255
    with torch.no_grad():
        style = method.network.encode_style(seen) if fitted is None else fitted.for_frame(method.network, seen)
        light = [method.network.decode(frame[..., y : y + h, x : x + w], style)[0].numpy() for y, x, h, w in crops]
    return score_frame(name, pair, [expose_sensor(each, pair) for each in light], crops)


def run_trial(
    method: RstIspNetSmall, kind: str, pair: RenderedPair, windows: Sequence[StylePair], crops: list[Crop]
) -> Trial:
    """Fit a style to windows, and score it on a frame."""
    began = time.process_time()
    fit = fit_style(method.network, windows, FitOptions())
    seconds = time.process_time() - began
    fitted = FittedStyle(fit.style, fit.exposure, method.digest, StyleCard(), fit.at_white)
    before, after = score(method, "own", pair, crops, None), score(method, "fitted", pair, crops, fitted)
    return Trial(kind, len(windows), fit.exposure, seconds, before, after)


def trials_of(method: RstIspNetSmall, paths: Sequence[Path], counts: Sequence[int]) -> list[Trial]:
    """Run all trials of one software and style."""
    frames = [load(path) for path in paths]
    windows, trials = [windows_to_fit(frame) for frame in frames], []
    for index, frame in enumerate(frames):
        crops = crops_of(*frame.srgb.shape[1:], side=_SIDE, rows=_ROWS, columns=_COLUMNS)
        others = [each for k, each in enumerate(windows) if k != index and each]
        for count in counts if others else ():
            trials.append(run_trial(method, "other files", frame, taken(others, count), crops))
        inside = windows[index][: min(3, len(windows[index]) - 1)]
        if inside:
            used = {pair.key for pair in inside}
            rest = [crop for crop in crops if style_pair(frame, crop).key not in used]
            trials.append(run_trial(method, "other regions", frame, inside, rest))
    return trials


def markdown(trials: Sequence[Trial]) -> str:
    """Return a table: a row a software, style, kind and count."""
    heads = ["rendering", "fitted to", "frames", "own style", "fitted style", "seconds"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    groups: dict[tuple[str, str, int], list[Trial]] = defaultdict(list)
    for trial in trials:
        for name in (f"{trial.before.software}, {trial.before.style}", f"**{trial.before.software}**", "**all**"):
            groups[name, trial.kind, trial.pairs].append(trial)
    for (name, kind, count), rows in sorted(groups.items(), key=lambda item: (item[0][1:], item[0][0])):
        cells = [_cell([row.before for row in rows]), _cell([row.after for row in rows])]
        seconds = np.mean([row.fit_s for row in rows])
        lines.append(f"| {name} | {count} of {kind} | {len(rows)} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


def _cell(scores: Sequence[FrameScore]) -> str:
    figures = [(score.absolute_db, score.fitted_db, score.crop_fitted_db) for score in scores]
    return " / ".join(f"{mean:.1f}" for mean in np.mean(figures, axis=0))


def main() -> None:
    """Fit and score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of pairs, WORK/pairs of bench_renderings.py")
    parser.add_argument("--weights", help="of the network, if not the packaged ones")
    parser.add_argument("--pairs", nargs="+", type=int, default=[3], help="of other files to fit to (default 3)")
    parser.add_argument("--styles", nargs="+", help="only these, such as filmic")
    parser.add_argument("--json", type=Path, help="file for every trial")
    args = parser.parse_args()
    torch.set_num_threads(1)
    method = RstIspNetSmall.create(args.weights)
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(args.folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            groups[str(stored["software"]), str(stored["style"])].append(path)
    trials: list[Trial] = []
    for (software, style), paths in groups.items():
        if args.styles is None or style in args.styles:
            trials += trials_of(method, paths, args.pairs)
            print(f"{software}, {style}: {len(paths)} frames", file=sys.stderr, flush=True)
    if not trials:
        parser.error(f"{args.folder} has no pairs; bench_renderings.py makes them.")
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(trial) for trial in trials], indent=1))
    print(markdown(trials))


if __name__ == "__main__":
    main()
