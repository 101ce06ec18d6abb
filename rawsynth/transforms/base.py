"""The three calls of a transform: draw parameters, apply them, or both at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from rawsynth import seeding
from rawsynth.errors import UsageError

Params = list[dict[str, Any]]
Overrides = Mapping[str, Any]


class Transform(nn.Module, ABC):
    """Transform whose randomness is an argument.

    ``make_params`` draws every scalar and a seed a sample on the CPU, JSON-ready; ``apply_params`` is pure and waits
    for no device; calling the module does both. With ``seed=None`` parameters follow torch's global RNG. With an
    integer seed the sample's key decides, whatever the batch, the worker or the engine.
    """

    purpose: ClassVar[str]
    # How many dimensions one sample's value may have, by parameter that may be overridden; the first that fits counts.
    override_dims: ClassVar[Mapping[str, tuple[int, ...]]]

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise UsageError(f"seed is an integer or None; got {seed!r}.")
        self.seed = seed

    def make_params(self, n: int, *, keys: Sequence[str] | None = None, overrides: Overrides | None = None) -> Params:
        """Draw the parameters of ``n`` samples.

        Args:
            n: number of samples.
            keys: one name a sample; needed with an integer seed, ignored without.
            overrides: values that win over what is drawn: one for all, or one a sample.

        Returns:
            A list of ``n`` JSON-ready dicts.

        Raises:
            UsageError: keys are missing or too few, or an override has an unknown name or a wrong shape.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise UsageError(f"make_params takes how many samples to draw for, 0 or more; got {n!r}.")
        per_sample = self._spread(overrides or {}, n)
        return [self._draw(seed, fixed) for seed, fixed in zip(self._seeds(n, keys), per_sample, strict=True)]

    @abstractmethod
    def _draw(self, seed: int, fixed: Overrides) -> dict[str, Any]:
        """Draw one sample's parameters from its seed; ``fixed`` wins."""

    def _seeds(self, n: int, keys: Sequence[str] | None) -> list[int]:
        if self.seed is None:
            return seeding.draw_seeds(n)
        if keys is None:
            raise UsageError(f"seed={self.seed} needs keys=[...], one name a sample; or use seed=None for torch's RNG.")
        fits = isinstance(keys, Sequence) and not isinstance(keys, str) and len(keys) == n
        if not fits or not all(isinstance(key, str) for key in keys):
            raise UsageError(f"keys must name {n} samples, a list of as many strings; got {keys!r}.")
        return [seeding.sample_seed(self.seed, key, self.purpose) for key in keys]

    def _spread(self, overrides: Overrides, n: int) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = [{} for _ in range(n)]
        for name, value in overrides.items():
            if name not in self.override_dims:
                raise UsageError(f"cannot override {name!r}; choose from: {', '.join(sorted(self.override_dims))}")
            for entry, one in zip(out, _per_sample(name, value, self.override_dims[name], n), strict=True):
                entry[name] = one
        return out


def check_entries(params: Params, n: int) -> None:
    """Raise UsageError unless there is one entry an image."""
    if isinstance(params, Mapping) or not isinstance(params, Sequence):
        raise UsageError(f"parameters are a list of one entry an image, from make_params; got {type(params).__name__}.")
    if len(params) != n:
        raise UsageError(f"{n} images need as many parameter entries; got {len(params)}.")
    for entry in params:
        if not isinstance(entry, Mapping):
            raise UsageError(f"an image's parameters are a dict, from make_params; got {type(entry).__name__}.")


def _per_sample(name: str, value: Any, dims: tuple[int, ...], n: int) -> list[Any]:
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    try:
        shape: tuple[int, ...] = () if isinstance(value, str) else np.shape(value)
    except ValueError as error:
        raise UsageError(f"override {name!r}: its rows differ in length; got {value!r}.") from error
    if len(shape) in dims:
        return [value] * n
    if len(shape) - 1 in dims and shape[0] == n:
        return list(value)
    raise UsageError(f"override {name!r}: give one value for all, or {n}, one a sample; got shape {shape}.")
