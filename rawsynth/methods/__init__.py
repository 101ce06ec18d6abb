"""Reverse ISPs: one file each, listed in :data:`METHODS`."""

from rawsynth.methods.base import ReverseMethod
from rawsynth.methods.unprocess import Unprocess

METHODS: dict[str, type[ReverseMethod]] = {
    "unprocess": Unprocess,
}

__all__ = ["METHODS", "ReverseMethod"]
