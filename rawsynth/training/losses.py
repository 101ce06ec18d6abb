"""What a reverse ISP is trained to make small: a weighted sum of named terms between its RAW and the camera's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

import torch
from torch import Tensor, nn

from rawsynth.errors import UsageError
from rawsynth.training.similarity import ms_ssim_loss, ssim_loss

GAMMA = 2.2
# Where sRGB's own curve turns into a line, IEC 61966-2-1. The slope there is 10.6.
COMPANDING_TOE = 0.0031308


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The weight of each term; 0 leaves a term out, uncomputed.

    The defaults keep the target the one best answer. Total variation charges the target for its own structure; the
    discriminator hindered its authors, and no winner of the AIM 2022 challenge used one: both are 0. Absolute error is
    what PSNR rewards; the companded one gives shadows, where RAW has most of its pixels, a slope of up to 10; 1 - SSIM
    of each plane is the other score of the challenge, used there (HIT-IIL) at 0.1 to 0.3 beside an absolute error of
    1. With 0.5 and 0.1, blur and noise of 29 to 37 dB are charged to the three in about equal parts.

    Attributes:
        l1: mean absolute error.
        companded_l1: mean absolute error of ``x ** (1 / 2.2)``; see :func:`compand`.
        ssim: ``1 - SSIM`` of each plane.
        ms_ssim: ``1 - MS-SSIM`` of each plane.
        tv: total variation of the result, summed over each sample; see :func:`total_variation`.
        adversarial: the generator's share of the discriminator's verdict.
        gradient_penalty: in the discriminator's own loss; without effect where ``adversarial`` is 0.

    Raises:
        UsageError: a weight that is negative or not finite, or no weight on any term that looks at the target.
    """

    l1: float = 1.0
    companded_l1: float = 0.5
    ssim: float = 0.1
    ms_ssim: float = 0.0
    tv: float = 0.0
    adversarial: float = 0.0
    gradient_penalty: float = 10.0

    def __post_init__(self) -> None:
        for name, weight in asdict(self).items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
                raise UsageError(f"the weight {name} is a finite number from 0; got {weight!r}.")
        if not any((self.l1, self.companded_l1, self.ssim, self.ms_ssim)):
            raise UsageError("nothing ties the result to its target: give l1, companded_l1, ssim or ms_ssim a weight.")

    @classmethod
    def published(cls) -> LossWeights:
        """Return the weights that RST-ISP-Net was trained with (Kinli et al., ECCVW 2022, from its public code).

        ``200 (0.025 (1 - MS-SSIM) + 0.975 L1) + 1e-3 TV - 1e-3 D(result)`` and a gradient penalty of 10. Kept to
        repeat the experiment, not to be used: on the published crops of 252x252 packed pixels the variation outweighs
        the absolute error by 1.3 a value, so that these two would erase any stripe narrower than 2.6 pixels. MS-SSIM
        saves faint and wider ones, not a bright line one pixel wide; a detailed photograph scores better after a 3x3
        median. The threshold goes with the area of the crop: the variation is a sum, the error a mean.

        Two faults of the original are not repeated: its MS-SSIM compared each plane at one scale only, and its
        absolute error faded out towards the borders.
        """
        return cls(l1=195.0, companded_l1=0.0, ssim=0.0, ms_ssim=5.0, tv=1e-3, adversarial=1e-3, gradient_penalty=10.0)


LOSSES: Final[Mapping[str, LossWeights]] = {"default": LossWeights(), "published": LossWeights.published()}


class ReconstructionLoss(nn.Module):
    """Compare packed RAW with its target; all terms of :class:`LossWeights` but the discriminator's.

    Args:
        weights: of the terms.

    >>> loss = ReconstructionLoss(LossWeights(l1=2.0, companded_l1=0.0, ssim=0.0))
    >>> total, parts = loss(torch.full((1, 4, 8, 8), 0.5), torch.full((1, 4, 8, 8), 0.25))
    >>> total.item(), {name: part.item() for name, part in parts.items()}
    (0.5, {'l1': 0.25})
    """

    def __init__(self, weights: LossWeights = LossWeights()) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, result: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss in float32 (float64 if an input has it), whatever autocast says.

        Args:
            result: ``(B, 4, h, w)`` float, black 0 and white 1; may leave [0, 1].
            target: same shape.

        Returns:
            The total, a scalar to differentiate, and each term before its weight, detached, on the same device.

        Raises:
            UsageError: shapes that differ or are not packed RAW, no floats, or planes too small for a similarity.
        """
        check_pair(result, target)
        weights = self.weights
        with torch.autocast(device_type=result.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(result.dtype, target.dtype), torch.float32)
            result, target = result.to(dtype), target.to(dtype)
            terms: dict[str, Tensor] = {}
            if weights.l1:
                terms["l1"] = (result - target).abs().mean()
            if weights.companded_l1:
                terms["companded_l1"] = (compand(result) - compand(target)).abs().mean()
            if weights.ssim:
                terms["ssim"] = ssim_loss(result, target)
            if weights.ms_ssim:
                terms["ms_ssim"] = ms_ssim_loss(result, target)
            if weights.tv:
                terms["tv"] = total_variation(result)
            total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def extra_repr(self) -> str:
        """Name the terms in use."""
        return ", ".join(f"{f.name}={getattr(self.weights, f.name)}" for f in fields(self.weights))


def compand(raw: Tensor) -> Tensor:
    """Compress linear light as displays expect it: ``x ** (1 / 2.2)``, and its tangent below 0.0031308.

    The tangent keeps the slope finite at black and the curve rising below it, so negative results are told apart.

    Args:
        raw: float, any shape, unit scale.

    Returns:
        The same shape and dtype.
    """
    slope: float = COMPANDING_TOE ** (1 / GAMMA - 1) / GAMMA
    above = raw.clamp(min=COMPANDING_TOE)
    return above.pow(1 / GAMMA) + slope * (raw - above)


def total_variation(raw: Tensor) -> Tensor:
    """Sum the absolute steps to the right and downwards over planes and pixels; average over the batch.

    Anisotropic total variation (Rudin et al. 1992 is its isotropic form) with the sum of kornia up to mid-2022, which
    the published weight belongs to.

    Args:
        raw: ``(B, C, h, w)`` float.

    Returns:
        A scalar; it grows with the number of pixels.
    """
    across, down = raw.diff(dim=-1), raw.diff(dim=-2)
    return (across.abs().sum(dim=(1, 2, 3)) + down.abs().sum(dim=(1, 2, 3))).mean()


def check_pair(result: Tensor, target: Tensor) -> None:
    """Raise UsageError unless these are two batches of packed RAW of one shape."""
    for name, raw in (("result", result), ("target", target)):
        if raw.dim() != 4 or raw.shape[1] != 4 or not raw.is_floating_point() or 0 in raw.shape:
            raise UsageError(f"the {name} is packed RAW, float (B, 4, h, w); got {raw.dtype} {tuple(raw.shape)}.")
    if result.shape != target.shape:
        raise UsageError(f"result and target have one shape; got {tuple(result.shape)} and {tuple(target.shape)}.")
