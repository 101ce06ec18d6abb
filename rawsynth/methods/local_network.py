"""Networks without a style: every RAW pixel is decided by the sRGB around it, and tiles are exact by themselves."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from rawsynth.methods.learned import StyledNetwork


class LocalNetwork(StyledNetwork):
    """Network whose result at a pixel depends on the pixels within :attr:`halo` alone."""

    def encode_style(self, srgb: Tensor) -> None:
        """Return ``None``: there is nothing to read from a frame."""

    def _encode(self, padded: Tensor, style: None) -> tuple[Tensor, None]:
        return padded, None

    @abstractmethod
    def _decode(self, features: Tensor) -> Tensor:
        """Map the padded image, float sRGB in [0, 1], to its packed RAW."""
