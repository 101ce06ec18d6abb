"""What a pair of noisy and clean RAW is, and what a set of them is, whatever layout they are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rawsynth.pairs.keyed import KeyedSet


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


class NoisyPairs(KeyedSet[NoisyPair]):
    """Noisy and clean RAW by index; see :class:`KeyedSet`."""
