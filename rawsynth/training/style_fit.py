"""Fit a style to a few pairs of one camera and ISP; the network stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rawsynth.methods.global_inverse import expand
from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_file import Exposure, curve_ends, own_at_white, own_exposure, with_exposure
from rawsynth.training.style_pairs import Quads, StylePair, draw_quads

_SATURATED, _WHITE = 0.99, 0.995
_FLOOR = 1e-5


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
        at_white: ``(1, 6)``, as of a fitted style.
    """

    style: Style
    exposure: Exposure
    spread_ev: tuple[float, float] | None
    at_white: Tensor


def fit_style(network: SceneLinearNet, pairs: Sequence[StylePair], options: FitOptions = FitOptions()) -> Fit:
    """Fit the style to pairs.

    The start is the mean of the styles that the network reads from the pairs. What moves is a code, which takes the
    global part's numbers along through the network's own head, and a correction of the numbers; both are pulled to the
    start. Saturated sites count as far as they are estimated below saturation. The local part is not fitted: its code
    stays that of the start, since a code that moves for the sake of the numbers only misleads it.

    Args:
        network: with its weights, in evaluation mode; nothing of it changes.
        pairs: of one camera and ISP.
        options: see there.
    """
    quads = draw_quads(pairs, -(-options.quads // len(pairs)), seed=options.seed)
    frames = [pair.frame[None].float() / 255 for pair in pairs]
    with torch.no_grad():
        read = [network.encode_style(frame) for frame in frames]
        codes, numbers = (torch.cat(parts) for parts in ([r.code for r in read], [r.numbers for r in read]))
    at_white = numbers[:, curve_ends(network)].mean(dim=0, keepdim=True)
    varied = own_at_white(network, numbers, at_white)
    search = _Search(network, quads, codes.mean(dim=0, keepdim=True), varied, options)
    search.run()
    best, numbers = search.exposures.detach(), search.numbers().detach()
    with torch.no_grad():
        own = torch.cat([own_exposure(network, *each) for each in zip(frames, torch.split(numbers, 1), strict=True)])
    exposure, spread = choose_exposure(best, own)
    if exposure == "fixed":
        search.share_exposure()
        search.run()
        kept = search.exposures.detach()
    else:
        kept = (best - own).mean()[None]
    common = (search.numbers() - varied)[:1].detach()
    return Fit(Style(search.start, with_exposure(common, kept)), exposure, spread, at_white)


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


def sensor_planes(network: SceneLinearNet, srgb: Tensor, style: Style, rows: Tensor) -> Tensor:
    """Return ``(4, h/2, w/2)`` RAW, not clipped, of ``(1, 3, h, w)`` sRGB; ``rows`` as of a :class:`StylePair`."""
    return torch.einsum("sc,cshw->shw", rows, network.decode_sites(srgb, style)[0])


class _Search:
    """The parameters that move, and the loss over them."""

    def __init__(
        self, network: SceneLinearNet, quads: Quads, start: Tensor, varied: Tensor, options: FitOptions
    ) -> None:
        self.network, self.quads, self.start, self.varied, self.options = network, quads, start, varied, options
        self.below_white = (quads.srgb.amax(dim=1) < _WHITE).float()
        self.move = torch.zeros_like(start, requires_grad=True)
        first = network.globally.parameters_of(start).detach()
        self.change = torch.zeros_like(first, requires_grad=True)
        self.exposures = first[:, 0].repeat(len(quads.raw)).requires_grad_()
        self.parameters = [self.move, self.change, self.exposures]

    def numbers(self) -> Tensor:
        """Return the pairs' ``(B, length)`` numbers, which differ where white is; their exposures are not used."""
        common = self.network.globally.parameters_of(self.start + self.move) + self.change
        return common + self.varied

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
        numbers = with_exposure(self.numbers(), self.exposures.expand(batch))
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
