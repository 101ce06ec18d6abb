"""Black level, white level and bits of stored digital numbers (DN); what they are worth is in :mod:`.quantize`."""

from __future__ import annotations

from dataclasses import dataclass

from rawsynth.errors import UsageError


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

DEFAULT_LEVELS = Levels(black_level=512, white_level=16383, bits=14)
"""Levels of a noisy image where no others are asked for."""
