"""The downstream proof's tables: PSNR and SSIM by corpus and light, and which factor brings what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rawsynth.evaluation.intervals import Mean, mean_over_scenes


@dataclass(frozen=True)
class Score:
    """One denoised image.

    Attributes:
        corpus, seed: of the denoiser; ``"noisy"`` is the input itself.
        test: which set of tests, ``"semi-synthetic"`` or that of real files.
        level: of light within it.
        scene, crop: which image.
        psnr, ssim: of packed RAW, peak 1.
    """

    corpus: str
    seed: int
    test: str
    level: str
    scene: str
    crop: int
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Gain:
    """What one corpus has over another, in dB of PSNR.

    Attributes:
        scenes: mean over scenes of the difference of the seeds' means, with its interval by scene.
        seeds: the same mean of each seed's difference, with its interval by seed; seeds that both have.
        count: of those seeds.
    """

    scenes: Mean
    seeds: Mean
    count: int


def mean_of(scores: Sequence[Score], value: Callable[[Score], float]) -> Mean:
    """Average seeds and crops within a scene, then scenes, each with the same weight; the interval is by scene."""
    by_scene = _by_scene(scores, value)
    return mean_over_scenes(list(by_scene.values()), list(by_scene))


def _by_scene(scores: Sequence[Score], value: Callable[[Score], float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for score in scores:
        groups.setdefault(score.scene, []).append(value(score))
    return {scene: sum(values) / len(values) for scene, values in groups.items()}


def gain_of(better: Sequence[Score], worse: Sequence[Score]) -> Gain:
    """Compare two corpora on the same images, by the seeds that both were trained with."""
    seeds = sorted({score.seed for score in better} & {score.seed for score in worse})
    sides = [[score for score in side if score.seed in seeds] for side in (better, worse)]
    first, second = (_by_scene(side, lambda score: score.psnr) for side in sides)
    scenes = mean_over_scenes([first[scene] - second[scene] for scene in first], list(first))
    by_seed = []
    for seed in seeds:
        one, other = (_by_scene([s for s in side if s.seed == seed], lambda score: score.psnr) for side in sides)
        by_seed.append(sum(one[scene] - other[scene] for scene in one) / len(one))
    return Gain(scenes, mean_over_scenes(by_seed, [str(seed) for seed in seeds]), len(seeds))


def comparisons() -> list[tuple[str, str, str]]:
    """Return what is compared: words, the corpus expected to be better, the other."""
    return [
        ("all of it: network and physics for unprocess and Brooks' noise", "network+physics", "unprocess+brooks"),
        ("noise: physics as calibrated for Brooks' law (network)", "network+physics", "network+brooks"),
        ("noise: physics for Poisson-Gaussian, both calibrated (network)", "network+physics",
         "network+poisson_gaussian"),
        ("noise: physics as calibrated for Brooks' law (unprocess)", "unprocess+physics", "unprocess+brooks"),
        ("reverse ISP: network for unprocess (physics)", "network+physics", "unprocess+physics"),
        ("reverse ISP: network for unprocess (Brooks' noise)", "network+brooks", "unprocess+brooks"),
        ("what is left: oracle RAW for the network's (physics)", "oracle+physics", "network+physics"),
    ]  # fmt: skip


def tables(scores: Sequence[Score], order: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the tables as Markdown, and every figure for JSON.

    Args:
        scores: of every image.
        order: of the corpora.
    """
    text, figures = [], {}
    for test in dict.fromkeys(score.test for score in scores):
        mine = [score for score in scores if score.test == test]
        lines, of_test = _of_test(mine, ["noisy", *order])
        text += [f"### {test}: {len({s.scene for s in mine})} scenes", "", *lines, ""]
        figures[test] = of_test
    return "\n".join(text), figures


def _of_test(scores: Sequence[Score], order: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    levels = list(dict.fromkeys(score.level for score in scores))
    groups = {(name, level): [s for s in scores if s.corpus == name and s.level == level]
              for name in order for level in levels}  # fmt: skip
    names = [name for name in order if groups[name, levels[0]]]
    lines = [f"| corpus | seeds | {' | '.join(levels)} |", f"| --- | --- |{' --- |' * len(levels)}"]
    figures: dict[str, Any] = {"means": {}, "gains": {}}
    for name in names:
        cells = []
        for level in levels:
            group = groups[name, level]
            value, ssim = mean_of(group, lambda s: s.psnr), mean_of(group, lambda s: s.ssim)
            figures["means"].setdefault(name, {})[level] = {"psnr": asdict(value), "ssim": asdict(ssim)}
            cells.append(f"{_shown(value)}; {ssim.value:.3f}")
        seeds = {s.seed for s in groups[name, levels[0]]}
        lines.append(f"| {name} | {len(seeds) if name != 'noisy' else ''} | {' | '.join(cells)} |")
    lines += ["", f"| factor, gain in dB | {' | '.join(levels)} | mean | by seed |",
              f"| --- |{' --- |' * (len(levels) + 2)}"]  # fmt: skip
    for words, better, worse in comparisons():
        if better in names and worse in names:
            gains = {level: gain_of(groups[better, level], groups[worse, level]) for level in levels}
            pooled = gain_of(_pooled(groups, better, levels), _pooled(groups, worse, levels))
            figures["gains"][f"{better} - {worse}"] = {
                **{level: asdict(gain) for level, gain in gains.items()}, "mean": asdict(pooled)
            }  # fmt: skip
            cells = [_shown(gain.scenes, signed=True) for gain in [*gains.values(), pooled]]
            lines.append(f"| {words} | {' | '.join(cells)} | {_by_seeds(pooled)} |")
    return lines, figures


def _pooled(groups: Mapping[tuple[str, str], list[Score]], name: str, levels: Sequence[str]) -> list[Score]:
    return [score for level in levels for score in groups[name, level]]


def _by_seeds(gain: Gain) -> str:
    return "one seed" if gain.count == 1 else f"{_shown(gain.seeds, signed=True)}, {gain.count} seeds"


def _shown(mean: Mean, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if mean.low is None or mean.high is None:
        return f"{mean.value:{sign}.2f}"
    return f"{mean.value:{sign}.2f} ({mean.low:{sign}.2f} to {mean.high:{sign}.2f})"
