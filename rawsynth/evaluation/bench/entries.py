"""What competes: every method as it is to be run, and the oracle as an upper reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.evaluation import oracle
from rawsynth.evaluation.bench.own import OwnMethod
from rawsynth.evaluation.running import Job, MethodRunner, Runner
from rawsynth.methods import METHODS, ReverseMethod
from rawsynth.methods.learned import NetworkMethod
from rawsynth.methods.listing import weights_for
from rawsynth.pairs import Pair
from rawsynth.registry import pick
from rawsynth.transforms import ReverseISP

EXPECTED_EXPOSURE = {"unprocess": 1.25}
"""``rgb_gain`` of a method that draws it: the centre of its law, as a draw would only add its spread to the error."""


@dataclass(frozen=True)
class Conditions:
    """How every method is run.

    Attributes:
        device, dtype: of its arithmetic.
        known_color: it is told what pairs state of colour and exposure.
        seed: of what it draws.
    """

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    known_color: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Entry:
    """One row of the tables.

    Attributes:
        name: in the tables.
        runner: makes its RAW.
        parameters: of what is run.
        identity: what its results depend on besides conditions and pairs, JSON-ready.
    """

    name: str
    runner: Runner
    parameters: int
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_method(self) -> bool:
        """Whether it is a method, which the oracle is not."""
        return not isinstance(self.runner, OracleRunner)


class OracleRunner:
    """Fit the oracle to each pair's own reference."""

    name, version, color = oracle.NAME, "1", "reference"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, index: int, pair: Pair) -> Job:
        """Return the pair as it is."""
        return Job(index, pair, {"method": self.name, "method_version": self.version}, ())

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Do nothing: there is no module."""
        yield

    def __call__(self, jobs: Sequence[Job]) -> Tensor:
        """Return each pair's best polynomial, ``(B, 4, h, w)`` float32."""
        made = [oracle.polynomial_oracle([job.pair.srgb.numpy()], [job.pair.raw.numpy()])[0] for job in jobs]
        return torch.stack([torch.from_numpy(planes) for planes in made]).to(self.device)


def build_entries(
    names: Sequence[str] | None,
    conditions: Conditions,
    *,
    weights: Mapping[str, str] | None = None,
    style: str | None = None,
    own: Sequence[OwnMethod] = (),
) -> tuple[list[Entry], dict[str, str]]:
    """Build what competes.

    Args:
        names: methods, and ``"oracle"``; all of them if not given.
        conditions: how they are run.
        weights: a file or a packaged name by method.
        style: file of ``rawsynth fit-style``: a second row for each method that takes one.
        own: users' methods.

    Returns:
        The entries, and why methods that were not asked for by name are left out.

    Raises:
        UsageError: an unknown name, a method by name without its weights, or a file that does not fit.
    """
    known: dict[str, type[ReverseMethod] | None] = {**METHODS, **{each.method.name: each.method for each in own}}
    known[oracle.NAME] = None
    asked = list(dict.fromkeys(names)) if names is not None else sorted(METHODS) + [oracle.NAME]
    asked += [each.method.name for each in own if each.method.name not in asked]
    given = dict(weights or {})
    for name in (*asked, *given):
        pick(known, name, "method")
    unused = sorted(set(given) - set(asked))
    if unused:
        raise UsageError(f"weights are given for {', '.join(unused)}, which is not among the methods; add it.")
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    files = {each.method.name: each.sha256 for each in own}
    for name in asked:
        method = known[name]
        if method is None:
            entries.append(Entry(oracle.NAME, OracleRunner(conditions.device), oracle.PARAMETERS))
            continue
        chosen = given.get(name) or _packaged(method)
        if chosen is None and issubclass(method, NetworkMethod):
            reason = f"no weights of it come with the package; give --weights {name}=FILE"
            if names is not None and name in names:
                raise UsageError(f"method {name!r}: {reason}.")
            left_out[name] = reason
            continue
        entries += _entries_of(method, chosen, style, conditions, files.get(name))
    if style is not None and not any("style" in entry.identity for entry in entries):
        raise UsageError("a style is given, and none of the methods takes one; add rst_isp_net_small.")
    return entries, left_out


def _packaged(method: type[ReverseMethod]) -> str | None:
    names = weights_for(method.name) if issubclass(method, NetworkMethod) else ()
    return names[0] if names else None


def _entries_of(
    method: type[ReverseMethod], weights: str | None, style: str | None, conditions: Conditions, file: str | None
) -> Iterator[Entry]:
    for used in (None, style) if style is not None and method.reads_style else (None,):
        built = method.create(weights, style=used)
        exposure = EXPECTED_EXPOSURE.get(method.name) if conditions.known_color else None
        to_raw = ReverseISP(built, rgb_gain=exposure, seed=conditions.seed)
        runner = MethodRunner(
            to_raw, device=conditions.device, dtype=conditions.dtype, known_color=conditions.known_color
        )
        identity: dict[str, Any] = {"method": built.name, "version": built.version, "rgb_gain": exposure, "file": file}
        identity |= {"weights": getattr(built, "digest", None)}
        if used is not None:
            identity["style"] = used
        parameters = sum(parameter.numel() for parameter in built.parameters())
        yield Entry(method.name if used is None else f"{method.name} + style", runner, parameters, identity)
