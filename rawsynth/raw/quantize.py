"""Digital numbers (DN) and the unit scale: the only place where one becomes the other.

On the unit scale black is 0 and white (saturation) is 1; values below 0 are noise under the black level and are real.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawsynth.raw.levels import Levels


def quantize(unit: Tensor, levels: Levels, *, reuse: bool = False) -> Tensor:
    """Round the unit scale to DN, once; values clip at 0 DN and at the white level.

    Args:
        unit: float, any shape; black 0, white 1, negatives kept down to ``-black / (white - black)``.
        levels: of the result.
        reuse: work in ``unit``'s own memory, which then holds nothing of use; over a batch, fresh memory costs more
            than the arithmetic.

    Returns:
        uint16 DN of the same shape: ``round(unit * (white - black) + black)`` in [0, white].
    """
    dn = unit.float()
    dn = dn.mul_(levels.range_dn) if reuse else dn.mul(levels.range_dn)
    return dn.add_(levels.black_level).round_().clamp_(0, levels.white_level).to(torch.uint16)


def dequantize(dn: Tensor, levels: Levels) -> Tensor:
    """Return DN on the unit scale as float32: ``(dn - black) / (white - black)``; DN under black stay negative."""
    return dn.to(torch.float32, copy=True).sub_(levels.black_level).div_(levels.range_dn)
