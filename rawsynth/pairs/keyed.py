"""What every set of pairs is: items by index, each with a key and a scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class KeyedSet(ABC, Generic[Item]):
    """Pairs by index; a map-style dataset for ``torch.utils.data.DataLoader``.

    Attributes:
        keys: one a pair, in order.
        scenes: the scene of each.
    """

    keys: Sequence[str]
    scenes: Sequence[str]

    @abstractmethod
    def __getitem__(self, index: int) -> Item:
        """Read one pair.

        Raises:
            SampleError: its files are damaged or do not match; the message names them.
            InputAccessError: they cannot be reached.
        """

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(len(self)))
