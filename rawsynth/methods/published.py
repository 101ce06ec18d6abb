"""What is known of the checkpoints that a network's authors published: which of their keys is which of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rawsynth.errors import UsageError

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a preset's published checkpoints are read.

    Attributes:
        rules: patterns and what stands in their place, applied one after the other to every key.
        constants: pattern of keys that hold what is built in here, such as a fixed filter, or what nothing reads.
        options: of the network, where these weights need others than a training from scratch.
        camera: whose RAW they make, if there are such checkpoints of one camera only.
        data: what they were trained on.
    """

    rules: tuple[Rule, ...]
    constants: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    camera: str | None = None
    data: str = "not stated"

    def rename(self, key: str) -> str:
        """Return our name of one of the authors' keys, with or without ``module.`` in front."""
        key = key.removeprefix("module.")
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key

    def renamed(self, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
        """Return a state dict under our names, without constants.

        Modules that share a parameter hold it under all their names; it has one here.

        Raises:
            UsageError: keys of one shared parameter hold different values.
        """
        found: dict[str, Tensor] = {}
        for key, tensor in state.items():
            if self.constants is not None and re.search(self.constants, key):
                continue
            name = self.rename(key)
            if name in found and not found[name].equal(tensor):
                raise UsageError(f"{source}: {key!r} is {name!r} here, of which there is one, but its values differ.")
            found[name] = tensor
        return found
