"""What there is to say of every method: for `rawsynth methods`, and for whoever has to build them all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from safetensors import safe_open

from rawsynth.methods import METHODS, ReverseMethod
from rawsynth.methods.learned import NetworkMethod
from rawsynth.methods.weights import packaged_weights


@dataclass(frozen=True)
class MethodRow:
    """One method.

    Attributes:
        name: key in the table of methods.
        parameters: of its network with the default options; 0 without one.
        needs: ``"nothing"`` or ``"weights"``: what it does not run without.
        takes: what it may be told besides: ``"camera colour"``, ``"style"``.
        summary, source, licence: of :class:`~rawsynth.methods.MethodFacts`.
        weights: names of the weights that come with the package.
        trainable: whether `rawsynth train` trains it.
    """

    name: str
    parameters: int
    needs: str
    takes: tuple[str, ...]
    summary: str
    source: str
    licence: str
    weights: tuple[str, ...]
    trainable: bool


def list_methods() -> list[MethodRow]:
    """Return a row a method, by name.

    >>> [row.name for row in list_methods() if not row.parameters]
    ['smoothstep_gamma', 'srgb_linear', 'unprocess']
    """
    return [_row(name, METHODS[name]) for name in sorted(METHODS)]


def _row(name: str, method: type[ReverseMethod]) -> MethodRow:
    network = issubclass(method, NetworkMethod)
    weights = weights_for(name)
    takes = [word for word, does in (("camera colour", method.takes_color), ("style", method.reads_style)) if does]
    return MethodRow(
        name=name,
        parameters=method.parameter_count() if issubclass(method, NetworkMethod) else 0,
        needs="weights" if network and not weights else "nothing",
        takes=tuple(takes),
        summary=method.facts.summary,
        source=method.facts.source,
        licence=method.facts.licence,
        weights=weights,
        trainable=network,
    )


def weights_for(method: str) -> tuple[str, ...]:
    """Return the names of the packaged weights of a method; those under its own name first."""
    names = [name for name, architecture in _architectures().items() if architecture == method]
    return tuple(sorted(names, key=lambda name: (name != method, name)))


@cache
def _architectures() -> dict[str, str]:
    """Return the architecture that each packaged file states; only headers are read."""
    stated = {}
    for name, path in packaged_weights().items():
        with safe_open(path, framework="pt") as file:
            stated[name] = (file.metadata() or {}).get("architecture", "")
    return stated
