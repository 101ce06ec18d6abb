"""Digital numbers (DN) and the unit scale: the only place, with the codecs, where DN exist.

On the unit scale black is 0 and white (saturation) is 1; values below 0 are noise under the black level and are real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rawsynth.errors import UsageError

if TYPE_CHECKING:
    # The command line reads levels before it is known whether torch is needed at all.
    from torch import Tensor


@dataclass(frozen=True)
class Levels:
    """Black and white level in DN, and the bits that a stored value may take.

    Raises:
        UsageError: not ``0 <= black < white < 2**bits``, or bits outside 8..16.
    """

    black_level: int
    white_level: int
    bits: int

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 16:
            raise UsageError(f"bits must be 8 to 16; got {self.bits}.")
        if not 0 <= self.black_level < self.white_level < 2**self.bits:
            raise UsageError(
                f"levels need 0 <= black < white <= {2**self.bits - 1} at {self.bits} bits; "
                f"got black {self.black_level}, white {self.white_level}."
            )

    @property
    def range_dn(self) -> int:
        """White minus black, in DN."""
        return self.white_level - self.black_level

    def to_json(self) -> dict[str, int]:
        """Return the three numbers as a JSON object."""
        return {"black_level": self.black_level, "white_level": self.white_level, "bits": self.bits}


CLEAN_LEVELS = Levels(black_level=0, white_level=65535, bits=16)
"""Levels of a stored clean image: the unit scale at full 16-bit precision."""


def quantize(unit: Tensor, levels: Levels) -> Tensor:
    """Round the unit scale to DN, once; values clip at 0 DN and at the white level.

    Args:
        unit: float, any shape; black 0, white 1, negatives kept down to ``-black / (white - black)``.

    Returns:
        int32 DN of the same shape: ``round(unit * (white - black) + black)`` in [0, white].
    """
    dn = unit.float() * levels.range_dn + levels.black_level
    return dn.round().clamp(0, levels.white_level).int()


def dequantize(dn: Tensor, levels: Levels) -> Tensor:
    """Return DN on the unit scale as float32: ``(dn - black) / (white - black)``; DN under black stay negative."""
    return (dn.float() - levels.black_level) / levels.range_dn
