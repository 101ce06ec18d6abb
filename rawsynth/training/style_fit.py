"""Fit a style to a few pairs of one camera and ISP; the network stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rawsynth.methods.global_inverse import expand
from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_file import Exposure, own_exposure, with_exposure
from rawsynth.training.style_pairs import Quads, StylePair, draw_quads

LocalCode = Literal["moved", "read"]

_SATURATED, _WHITE = 0.99, 0.995
_FLOOR = 1e-5
_LOOKED_AT_SIDE = 256


@dataclass(frozen=True)
class FitOptions:
    """How a style is fitted.

    Attributes:
        quads: of 2x2 pixels drawn from all pairs together.
        steps: of L-BFGS, twice: with an exposure a pair, then, where one is kept, with that.
        code_pull, numbers_pull: weights of the squared distance from the start.
        below_white: weight of the error of pixels whose sRGB is below white, which alone tell of the curves: of white
            ones, an ISP has cut off what they were, and they have most of the error.
        roots: weight of the error of square roots, for shadows.
        seed: of the quads.
    """

    quads: int = 6000
    steps: int = 40
    code_pull: float = 1e-3
    numbers_pull: float = 1e-2
    below_white: float = 1.0
    roots: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Fit:
    """A style and how its exposure is meant, see :class:`~rawsynth.methods.style_file.FittedStyle`.

    Attributes:
        style: of batch 1.
        exposure: fixed, or the frame's own.
        spread_ev: standard deviation of the pairs' best exposures, and of their distances from the frames' own;
            ``None`` for one pair.
        local_code: whether the local part takes the code that the fit moved, or the mean of what the network reads.
    """

    style: Style
    exposure: Exposure
    spread_ev: tuple[float, float] | None
    local_code: LocalCode


def fit_style(network: SceneLinearNet, pairs: Sequence[StylePair], options: FitOptions = FitOptions()) -> Fit:
    """Fit the style to pairs.

    The start is the mean of the styles that the network reads from the pairs. What moves is the code, which takes the
    global part's numbers along through the network's own head, and a correction of the numbers; both are pulled to the
    start. Saturated sites count as far as they are estimated below saturation. The local part is not fitted: it takes
    the moved code or that of the start, whichever leaves the smaller error.

    Args:
        network: with its weights, in evaluation mode; nothing of it changes.
        pairs: of one camera and ISP.
        options: see there.
    """
    quads = draw_quads(pairs, -(-options.quads // len(pairs)), seed=options.seed)
    frames = [pair.frame[None].float() / 255 for pair in pairs]
    with torch.no_grad():
        codes = torch.cat([network.encode_style(frame).code for frame in frames])
    search = _Search(network, quads, codes.mean(dim=0, keepdim=True), options)
    search.run()
    numbers, exposures = search.numbers().detach(), search.exposures.detach()
    with torch.no_grad():
        own = torch.cat([own_exposure(network, frame, numbers) for frame in frames])
    exposure, spread = choose_exposure(exposures, own)
    if exposure == "fixed":
        search.share_exposure()
        search.run()
        exposures = search.exposures.detach().expand(len(pairs))
        kept = exposures[:1]
    else:
        kept = (exposures - own).mean()[None]
    numbers = search.numbers().detach()
    code, local_code = choose_code(network, pairs, {"moved": search.code().detach(), "read": search.start}, [
        with_exposure(numbers, each[None]) for each in exposures
    ])
    return Fit(Style(code, with_exposure(numbers, kept)), exposure, spread, local_code)


def choose_exposure(best: Tensor, own: Tensor) -> tuple[Exposure, tuple[float, float] | None]:
    """Decide whether an ISP exposes each frame by itself.

    The mean of the other pairs predicts a pair's exposure with an error in proportion to the standard deviation; so the
    smaller of the two wins: of the exposures themselves, or of their distances from what the network sees.

    Args:
        best: ``(B,)`` exposures that fit each pair best, in EV.
        own: ``(B,)`` the frames' own.
    """
    if len(best) < 2:
        return "fixed", None
    fixed, frame = float(best.std()), float((best - own).std())
    return ("frame" if frame < fixed else "fixed"), (fixed, frame)


def choose_code(
    network: SceneLinearNet, pairs: Sequence[StylePair], codes: Mapping[LocalCode, Tensor], numbers: Sequence[Tensor]
) -> tuple[Tensor, LocalCode]:
    """Return the ``(1, code)`` with which the local part leaves the smallest error, and its name.

    Args:
        network: whose local part is tried.
        pairs: to try it on, each in its middle.
        codes: to choose from; the first wins where all are the same.
        numbers: ``(1, length)`` of each pair.
    """
    errors: dict[LocalCode, float] = {}
    for name, code in codes.items():
        logs = []
        for pair, each in zip(pairs, numbers, strict=True):
            srgb, raw = pair.middle(_LOOKED_AT_SIDE)
            with torch.no_grad():
                planes = sensor_planes(network, srgb, Style(code, each), pair.rows)
            logs.append(torch.log10(_shortfall(planes, raw).square().mean() + _FLOOR))
        errors[name] = float(torch.stack(logs).mean())
    best = min(errors, key=lambda name: errors[name])
    return codes[best], best


def sensor_planes(network: SceneLinearNet, srgb: Tensor, style: Style, rows: Tensor) -> Tensor:
    """Return ``(4, h/2, w/2)`` RAW, not clipped, of ``(1, 3, h, w)`` sRGB; ``rows`` as of a :class:`StylePair`."""
    return torch.einsum("sc,cshw->shw", rows, network.decode_sites(srgb, style)[0])


class _Search:
    """The parameters that move, and the loss over them."""

    def __init__(self, network: SceneLinearNet, quads: Quads, start: Tensor, options: FitOptions) -> None:
        self.network, self.quads, self.start, self.options = network, quads, start, options
        self.below_white = (quads.srgb.amax(dim=1) < _WHITE).float()
        self.move = torch.zeros_like(start, requires_grad=True)
        first = network.globally.parameters_of(start).detach()
        self.change = torch.zeros_like(first, requires_grad=True)
        self.exposures = first[:, 0].repeat(len(quads.raw)).requires_grad_()
        self.parameters = [self.move, self.change, self.exposures]

    def code(self) -> Tensor:
        """Return the ``(1, code)`` style code."""
        return self.start + self.move

    def numbers(self) -> Tensor:
        """Return the ``(1, length)`` numbers; their exposure is not used."""
        return self.network.globally.parameters_of(self.code()) + self.change

    def share_exposure(self) -> None:
        """Go on with one exposure for all pairs."""
        self.exposures = self.exposures.detach().mean()[None].requires_grad_()
        self.parameters = [self.move, self.change, self.exposures]

    def run(self) -> None:
        """Descend."""
        optimizer = torch.optim.LBFGS(
            self.parameters, max_iter=self.options.steps, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]

    def loss(self) -> Tensor:
        """Return the mean over pairs of the log of their errors, and the pulls."""
        batch = len(self.quads.raw)
        numbers = with_exposure(self.numbers().expand(batch, -1), self.exposures.expand(batch))
        light = expand(self.network.globally(self.quads.srgb, numbers))
        sites = torch.einsum("bcns,bsc->bns", light, self.quads.rows)
        terms = (
            (1.0, _shortfall(sites, self.quads.raw), torch.ones_like(self.below_white)),
            (self.options.below_white, _shortfall(sites, self.quads.raw), self.below_white),
            (self.options.roots, _shortfall(_root(sites), _root(self.quads.raw)), torch.ones_like(self.below_white)),
        )
        errors = [
            weight * torch.log10((error.square() * mask).sum(dim=(1, 2)) / (mask.sum(dim=(1, 2)) + 1) + _FLOOR).mean()
            for weight, error, mask in terms
        ]
        pull_code, pull_numbers = (x.square().sum() for x in (self.move, self.change))
        pull = self.options.code_pull * pull_code + self.options.numbers_pull * pull_numbers
        return torch.stack(errors).sum() + pull


def _root(sites: Tensor) -> Tensor:
    return (sites.clamp(min=0.0) + 1e-4).sqrt()


def _shortfall(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the error; where the truth is saturated, only what lies below it."""
    error = estimate - truth
    return torch.where(truth >= _SATURATED, error.clamp(max=0.0), error)
