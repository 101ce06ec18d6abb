"""A style from a few pairs, with figures: before, after, and on scenes that were left out of the fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rawsynth.evaluation.metrics import exposure_fitted_psnr, psnr
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.style_file import FittedStyle, StyleCard
from rawsynth.training.style_fit import Fit, FitOptions, fit_style, sensor_planes
from rawsynth.training.style_pairs import StylePair

_FOLDS = 5
_SCORED_SIDE = 512

Decibel = tuple[float, float]
"""Absolute and exposure-fitted PSNR of packed RAW, see :mod:`rawsynth.evaluation.metrics`."""


@dataclass(frozen=True)
class PairScore:
    """One pair's figures.

    Attributes:
        key, scene: of the pair.
        before: with the style that the network reads from it.
        after: with the fitted style; the pair was among those that it was fitted to.
        left_out: with a style fitted without any pair of its scene; ``None`` where there is nothing else to fit to.
    """

    key: str
    scene: str
    before: Decibel
    after: Decibel
    left_out: Decibel | None

    def to_json(self) -> dict[str, Any]:
        """Return it as the card holds it."""
        rows = {"before": self.before, "after": self.after, "left_out": self.left_out}
        figures = {f"{name}_db": None if row is None else [round(db, 3) for db in row] for name, row in rows.items()}
        return {"key": self.key, "scene": self.scene, **figures}


@dataclass(frozen=True)
class StyleRun:
    """What came of a fit.

    Attributes:
        fitted: the style, with a card of all figures.
        scores: one a pair.
        fit: what was decided on the way.
    """

    fitted: FittedStyle
    scores: tuple[PairScore, ...]
    fit: Fit


def run_fit(
    network: SceneLinearNet,
    pairs: Sequence[StylePair],
    *,
    weights_digest: str,
    options: FitOptions = FitOptions(),
    camera: str | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> StyleRun:
    """Fit a style to pairs, and score it on them and on scenes left out.

    The scenes are left out in at most five groups; pairs of a single scene are left out one by one, which says less.

    Args:
        network: with its weights, in evaluation mode, float32.
        pairs: of one camera and ISP.
        weights_digest: of the network's weights.
        options: of the fit.
        camera: for the card; that of the pairs if not given.
        progress: is called with 1 after each fit.
    """
    whole = fit_style(network, pairs, options)
    progress(1)
    base = FittedStyle(whole.style, whole.exposure, weights_digest, StyleCard(), whole.at_white)
    outside: dict[int, Decibel] = {}
    for fold in folds([pair.scene for pair in pairs]):
        fit = fit_style(network, [pair for k, pair in enumerate(pairs) if k not in fold], options)
        style = replace(base, style=fit.style, exposure=fit.exposure, at_white=fit.at_white)
        outside |= {k: score(network, pairs[k], style) for k in fold}
        progress(1)
    scores = tuple(
        PairScore(pair.key, pair.scene, score(network, pair, None), score(network, pair, base), outside.get(k))
        for k, pair in enumerate(pairs)
    )
    card = StyleCard(
        camera=camera or next((pair.camera for pair in pairs if pair.camera), None),
        pairs=[row.to_json() for row in scores],
        metrics=means(scores) | {"measured_on": "RAW of the pairs, [0, 1], at most 512x512 pixels of each"},
        recipe={"options": vars(options), "exposure_spread_ev": whole.spread_ev},
    )
    return StyleRun(replace(base, card=card), scores, whole)


def folds(scenes: Sequence[str]) -> list[list[int]]:
    """Return the places that are left out together; none where a single pair is all there is.

    >>> folds(["a", "a", "b"]), folds(["a", "a"]), folds(["a"])
    ([[0, 1], [2]], [[0], [1]], [])
    """
    names = list(dict.fromkeys(scenes))
    groups = [[k for k, scene in enumerate(scenes) if scene == name] for name in names]
    if len(groups) == 1:
        groups = [[k] for k in groups[0]] if len(scenes) > 1 else []
    count = min(_FOLDS, len(groups))
    return [sorted(sum(groups[start::count], [])) for start in range(count)]


def means(scores: Sequence[PairScore]) -> dict[str, Any]:
    """Return the means over pairs by name, for those that all pairs have."""
    out: dict[str, Any] = {}
    for name in ("before", "after", "left_out"):
        rows = [row for row in (getattr(score, name) for score in scores) if row is not None]
        if len(rows) == len(scores):
            out[f"{name}_db"] = [round(sum(column) / len(rows), 3) for column in zip(*rows, strict=True)]
    return out


def score(network: SceneLinearNet, pair: StylePair, fitted: FittedStyle | None) -> Decibel:
    """Score a style, or the network's own for ``None``, on the middle of a pair."""
    frame = pair.frame[None].float() / 255
    with torch.no_grad():
        style = network.encode_style(frame) if fitted is None else fitted.for_frame(network, frame)
        srgb, raw = pair.middle(_SCORED_SIDE)
        made = sensor_planes(network, srgb, style, pair.rows).clamp(0.0, 1.0)
    return float(psnr(made, raw)), float(exposure_fitted_psnr(made, raw)[0])
