"""What a pair of noisy and clean RAW is, and what a set of them is, whatever layout they are stored in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class NoisyPair:
    """One noisy RAW image and its clean reference, of the same sites.

    Attributes:
        key: names the pair within its set.
        scene: what it shows; pairs of one scene are no independent observations.
        noisy, clean: ``(4, h, w)`` float32, black 0 and white 1, planes in the reading order of ``cfa``.
        cfa: layout of the planes.
        meta: what else is known, JSON-ready: ``camera``, ``iso``, ``ratio``, ...
    """

    key: str
    scene: str
    noisy: Tensor
    clean: Tensor
    cfa: str
    meta: Mapping[str, Any] = field(default_factory=dict)


class NoisyPairs(ABC):
    """Pairs by index; a map-style dataset for ``torch.utils.data.DataLoader``.

    Attributes:
        keys: one a pair, in order.
        scenes: the scene of each.
    """

    keys: Sequence[str]
    scenes: Sequence[str]

    @abstractmethod
    def __getitem__(self, index: int) -> NoisyPair:
        """Read one pair.

        Raises:
            SampleError: its files are damaged or do not match; the message names them.
            InputAccessError: they cannot be reached.
        """

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[NoisyPair]:
        return (self[index] for index in range(len(self)))
