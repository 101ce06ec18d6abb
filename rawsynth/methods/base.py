"""What a reverse ISP is: a law for its scalars, and a pure function from sRGB to packed RAW."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from rawsynth.errors import UsageError

MethodParams = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """What a list of methods says about one.

    Attributes:
        summary: what it does, in a few words.
        source: where it was published.
        licence: of the original's code and weights; what is here was written anew, under this project's licence.
    """

    summary: str
    source: str
    licence: str


class ReverseMethod(nn.Module, ABC):
    """Turn sRGB batches into clean packed RAW. Everything random is in the parameters.

    Attributes:
        name: key in the table of methods.
        facts: what a list of methods says about it.
        version: changes whenever the same parameters would give another RAW.
        takes_color: whether the caller may choose colour and exposure; else they are those of the weights.
        reads_style: whether a style is read from the image, or from the frame that it is a crop of.
        ignores_batch: whether a sample's RAW is the same bits in any batch, on every device. Not of a network: on a GPU
            the size of the batch decides how its convolutions are computed.
    """

    name: ClassVar[str]
    facts: ClassVar[MethodFacts]
    version: str
    takes_color: ClassVar[bool] = True
    reads_style: ClassVar[bool] = False
    ignores_batch: ClassVar[bool] = False

    @classmethod
    def create(
        cls, weights: str | PathLike[str] | None, *, style: str | PathLike[str] | None = None
    ) -> Self:
        """Build the method.

        Args:
            weights: of a learned method: a path, a URL, or a name that the package knows.
            style: of a method that reads one from images: a file that `rawsynth fit-style` wrote.

        Raises:
            UsageError: weights or a style for a method that has none, or no weights for one that needs them.
        """
        cls.refuse_style(style)
        if weights is not None:
            raise UsageError(f"method {cls.name!r} has no weights; leave weights=None.")
        return cls()

    @classmethod
    def refuse_style(cls, style: object) -> None:
        """Raise UsageError if there is a style, which this method has no use for."""
        if style is not None:
            raise UsageError(f"method {cls.name!r} takes no style; leave style=None, or use rst_isp_net_small.")

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one sample's ``cam_from_srgb``, ``white_balance`` and ``rgb_gain``, JSON-ready."""

    @abstractmethod
    def tensors(self, params: Sequence[MethodParams], device: torch.device) -> dict[str, Any]:
        """Turn samples' parameters into what :meth:`forward` takes, on the device, without waiting for it."""

    @abstractmethod
    def forward(self, srgb: Tensor, tensors: Mapping[str, Any]) -> Tensor:
        """Reverse the ISP.

        Args:
            srgb: ``(B, 3, H, W)`` uint8, or float in [0, 1]; H and W even.
            tensors: what :meth:`tensors` made; where the method reads a style, perhaps ``"frame"`` too, a tensor
                ``(B, 3, h, w)`` of the frames to read it from, of any size and the type of ``srgb``.

        Returns:
            ``(B, 4, H/2, W/2)`` float32 in [0, 1], planes in the order of each sample's CFA.
        """

    def compile_kernels(self, dynamic: bool | None = None) -> None:
        """Compile what runs on the device with ``torch.compile``, in place."""
        self.compile(dynamic=dynamic)
