"""Fitting a style: known ISPs are found, what is saturated does no harm, and the network stays as it is."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_file import FittedStyle, StyleCard
from rawsynth.raw.cfa import mosaic
from rawsynth.training.style_fit import Fit, FitOptions, choose_exposure, fit_style, sensor_planes
from rawsynth.training.style_pairs import StylePair
from rawsynth.training.style_run import folds, means, run_fit, score
from rawsynth.transforms import ReverseISP
from tests.small_network import CONFIG, photographs, save_small_network, state

MATRIX = torch.tensor([[0.75, 0.25, 0.0], [-0.125, 1.0, 0.125], [0.0, -0.25, 1.25]])
GAINS = torch.tensor([1 / 2.0, 1.0, 1 / 1.5])
ROWS = (MATRIX * GAINS[:, None])[[0, 1, 1, 2]]
QUICK = FitOptions(quads=1500, steps=30)


def make_pair(index: int, light: Tensor, srgb: Tensor) -> StylePair:
    """A pair whose RAW is what the camera makes of ``(3, H, W)`` scene-linear light."""
    camera = torch.einsum("ij,jhw->ihw", MATRIX * GAINS[:, None], light)
    return StylePair(f"p{index}", f"s{index}", "Mine", srgb, srgb, mosaic(camera, "RGGB").clamp(0, 1), ROWS)


def power_law(srgb: Tensor, power: float, gain: float) -> Tensor:
    return gain * (srgb.float() / 255) ** power


def as_file(fit: Fit) -> FittedStyle:
    return FittedStyle(fit.style, fit.exposure, "", StyleCard(), fit.at_white)


@pytest.fixture
def fresh() -> SceneLinearNet:
    """A network that takes every frame for plain sRGB."""
    torch.manual_seed(0)
    network = SceneLinearNet(code=12, knots=12, hidden=8, local=False)
    torch.nn.init.zeros_(network.globally.head.weight)
    return network.eval().requires_grad_(False)


@pytest.fixture
def small() -> SceneLinearNet:
    network = SceneLinearNet(**CONFIG)
    network.load_state_dict(state())
    return network.eval().requires_grad_(False)


def test_a_known_isp_is_found_from_three_pairs(fresh: SceneLinearNet) -> None:
    """Three photographs developed by a power law; the fourth was never seen."""
    images = photographs(4, 96, 128)
    pairs = [make_pair(k, power_law(srgb, 1.2, 0.5), srgb) for k, srgb in enumerate(images)]
    fit = fit_style(fresh, pairs[:3], QUICK)
    assert fit.exposure == "fixed"
    fitted = as_file(fit)
    before, after = score(fresh, pairs[3], None), score(fresh, pairs[3], fitted)
    assert before[0] < 31 and before[1] < 38 and after[0] > 40 and after[1] > 41


def test_what_is_saturated_does_not_pull_the_exposure_down(fresh: SceneLinearNet) -> None:
    """The ISP is sRGB's own curve at twice the light, so a third of the sites are at 1; the exposure is 1 EV."""
    images = photographs(3, 96, 128)
    pairs = []
    for k, srgb in enumerate(images):
        light = 3.0 * fresh.decode(srgb[None].float() / 255, fresh.encode_style(srgb[None].float() / 255))[0]
        pairs.append(make_pair(k, light, srgb))
    assert sum(float((pair.raw >= 1).float().mean()) for pair in pairs) / 3 > 0.1
    fit = fit_style(fresh, pairs, FitOptions(quads=1500, steps=30, numbers_pull=1.0, code_pull=1.0))
    fitted = as_file(fit)
    # With all else pulled back hard, what is left to the fit is the exposure.
    assert score(fresh, pairs[0], fitted)[0] > 40


def exposing_network() -> SceneLinearNet:
    """A network that reads from each frame an exposure, and nothing else."""
    torch.manual_seed(1)
    network = SceneLinearNet(code=12, knots=6, hidden=8, local=False)
    with torch.no_grad():
        network.globally.head.weight.zero_()
        network.globally.head.weight[0] = 20 * torch.randn(12)
        network.style.join[-1].weight.mul_(6.0)
    return network.eval().requires_grad_(False)


def test_an_isp_that_exposes_each_frame_keeps_the_frames_own_exposure() -> None:
    """RAW is what the network itself takes each frame for, 0.7 EV brighter."""
    network, images = exposing_network(), photographs(4, 96, 128)
    frames = images.float() / 255
    own = network.encode_style(frames)
    assert float(own.numbers[:, 0].std()) > 0.1
    # Dark enough that nothing saturates.
    numbers = own.numbers.clone()
    numbers[:, 0] -= own.numbers[:, 0].max() + 1.0
    light = network.decode(frames, Style(own.code, numbers))
    with torch.no_grad():
        network.globally.head.bias[0] -= own.numbers[:, 0].max() + 1.0 + 0.7
    pairs = [make_pair(k, light[k], images[k]) for k in range(4)]
    fit = fit_style(network, pairs[:3], QUICK)
    assert fit.exposure == "frame" and fit.spread_ev is not None and fit.spread_ev[0] > 0.1 > 10 * fit.spread_ev[1]
    assert float(fit.style.numbers[0, 0]) == pytest.approx(0.7, abs=0.03)
    assert score(network, pairs[3], as_file(fit))[0] > 45


EXPOSURES: list[tuple[str, list[float], list[float], str]] = [
    ("one pair", [0.3], [0.1], "fixed"),
    ("all the same", [0.5, 0.51, 0.49], [0.1, 0.6, -0.2], "fixed"),
    ("as the network sees them", [0.1, 0.9, -0.6], [0.4, 1.2, -0.3], "frame"),
    ("an offset does not matter", [2.0, 2.01], [-1.0, -2.0], "fixed"),
]


@pytest.mark.parametrize(("best", "own", "expected"), [row[1:] for row in EXPOSURES], ids=[r[0] for r in EXPOSURES])
def test_whose_exposure_explains_the_pairs(best: list[float], own: list[float], expected: str) -> None:
    chosen, spread = choose_exposure(torch.tensor(best), torch.tensor(own))
    assert chosen == expected
    if spread is not None:
        assert spread == pytest.approx((np.std(best, ddof=1), np.std(np.subtract(best, own), ddof=1)), abs=1e-5)


def random_pairs(count: int = 3) -> list[StylePair]:
    return [make_pair(k, power_law(srgb, 1.8, 0.7), srgb) for k, srgb in enumerate(photographs(count))]


def test_the_network_stays_and_equal_inputs_make_equal_styles(small: SceneLinearNet) -> None:
    before = copy.deepcopy(small.state_dict())
    first, again = (fit_style(small, random_pairs(), FitOptions(quads=300, steps=5)) for _ in range(2))
    assert torch.equal(first.style.numbers, again.style.numbers) and torch.equal(first.style.code, again.style.code)
    assert all(torch.equal(before[name], tensor) for name, tensor in small.state_dict().items())
    assert not first.style.numbers.requires_grad


def test_a_strong_pull_keeps_all_but_the_exposure(small: SceneLinearNet) -> None:
    pairs = random_pairs()
    frames = torch.stack([pair.frame for pair in pairs]).float() / 255
    start = small.encode_style(frames).code.mean(dim=0, keepdim=True)
    fit = fit_style(small, pairs, FitOptions(quads=300, steps=10, code_pull=1e6, numbers_pull=1e6))
    assert torch.allclose(fit.style.code, start, atol=1e-3)
    assert torch.allclose(fit.style.numbers[:, 1:], small.globally.parameters_of(start)[:, 1:], atol=1e-2)


def test_white_stays_the_frames_own(small: SceneLinearNet) -> None:
    """Pulled back hard, a style is the mean of the pairs' own; the ends of the curves are the frame's."""
    steps = CONFIG["knots"] - 1
    ends = [1 + channel * steps + step for channel in range(3) for step in (steps - 2, steps - 1)]
    small.globally.head.weight[ends] *= 100
    pairs = random_pairs()
    frames = torch.stack([pair.frame for pair in pairs]).float() / 255
    own = small.encode_style(frames).numbers
    fit = fit_style(small, pairs, FitOptions(quads=300, steps=10, code_pull=1e6, numbers_pull=1e6))
    made = as_file(fit).for_frame(small, frames).numbers
    others = [place for place in range(1, own.shape[1]) if place not in ends]
    assert torch.allclose(made[:, ends], own[:, ends], atol=2e-2) and float(own[:, ends].std(dim=0).min()) > 0.05
    assert torch.allclose(made[:, others], own[:, others].mean(dim=0).expand(3, -1), atol=1e-2)


def test_what_is_fitted_is_what_the_method_makes(small: SceneLinearNet, tmp_path: Any) -> None:
    srgb = photographs(1)
    color: dict[str, Any] = {"cam_from_srgb": MATRIX.tolist(), "white_balance": (2.0, 1.5)}
    made = ReverseISP("rst_isp_net_small", save_small_network(tmp_path), **color)(srgb).packed[0]
    frame = srgb.float() / 255
    planes = sensor_planes(small, frame, small.encode_style(frame), ROWS).clamp(0, 1)
    assert torch.allclose(planes, made, atol=1e-5)


def test_folds_leave_scenes_out() -> None:
    scenes = [f"s{k % 7}" for k in range(16)]
    groups = folds(scenes)
    assert len(groups) == 5 and sorted(sum(groups, [])) == list(range(16))
    for group in groups:
        assert not {scenes[k] for k in group} & {scenes[k] for k in range(16) if k not in group}


def test_a_run_scores_and_describes(small: SceneLinearNet) -> None:
    pairs, done = random_pairs(), []
    run = run_fit(small, pairs, weights_digest="d" * 64, options=FitOptions(quads=300, steps=8), progress=done.append)
    assert sum(done) == 4 and run.fitted.weights_digest == "d" * 64
    card = run.fitted.card
    assert card.camera == "Mine" and [row["key"] for row in card.pairs] == ["p0", "p1", "p2"]
    assert score(small, pairs[1], run.fitted) == pytest.approx(run.scores[1].after)
    assert run.scores[1].before == pytest.approx(score(small, pairs[1], None))
    outside = [row.left_out for row in run.scores]
    assert None not in outside and outside != [row.after for row in run.scores]
    expected = np.mean([row.before for row in run.scores], axis=0)
    assert card.metrics["before_db"] == pytest.approx(expected, abs=1e-3) and means(run.scores)["after_db"]
    alone = run_fit(small, pairs[:1], weights_digest="", options=FitOptions(quads=300, steps=3))
    assert alone.scores[0].left_out is None and "left_out_db" not in alone.fitted.card.metrics
