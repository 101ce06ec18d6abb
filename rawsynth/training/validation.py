"""How good the averaged network is on pairs that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.evaluation.evaluate import evaluate
from rawsynth.evaluation.pictures import panels
from rawsynth.evaluation.result import Evaluation
from rawsynth.evaluation.running import Job, MethodRunner
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.weights import ModelCard
from rawsynth.pairs import PairSet
from rawsynth.raw.pictures import compose
from rawsynth.transforms import ReverseISP

SELECTED_BY = "psnr"
KEPT = ("psnr", "exposure_fitted_psnr", "aim22_psnr", "aim22_ssim")
_PANEL_PX = 256


def validate(method: LearnedMethod, pairs: PairSet, device: torch.device, dtype: torch.dtype) -> Evaluation:
    """Score a network over a set of pairs."""
    return evaluate(ReverseISP(method, seed=0), pairs, device=device, dtype=dtype)


def trial_method(
    kind: type[LearnedMethod], network: StyledNetwork, config: Mapping[str, Any], color: Mapping[str, Any]
) -> LearnedMethod:
    """Wrap a network in training as a method, with nothing on its card but the colour."""
    return kind(network, config, ModelCard(**color), "in training")


def draw(
    evaluation: Evaluation, pairs: PairSet, method: LearnedMethod, *, count: int, device: torch.device
) -> dict[str, NDArray[np.uint8]]:
    """Draw the same few images at every validation: input, reference, result, error; by key."""
    runner = MethodRunner(ReverseISP(method, seed=0), device=device, dtype=torch.float32, known_color=False)
    drawn: dict[str, NDArray[np.uint8]] = {}
    rows = evaluation.rows
    for place in sorted({round(k * (len(rows) - 1) / max(1, count - 1)) for k in range(count)}):
        row = rows[place]
        pair = pairs[row.index]
        result = runner([Job(row.index, pair, row.params, row.known)])[0].cpu()
        sheet = compose([panels(pair, result, row, _PANEL_PX)], _PANEL_PX)
        drawn[row.key] = np.asarray(sheet)
    return drawn


def score_card(evaluation: Evaluation) -> dict[str, float]:
    """Return the means that the curve keeps."""
    return {name: mean.value for name, mean in evaluation.means.items() if name in KEPT}
