"""Reverse ISPs: one file each, listed in :data:`METHODS`."""

from rawsynth.methods.base import ReverseMethod
from rawsynth.methods.learned import LearnedMethod
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.unprocess import Unprocess

METHODS: dict[str, type[ReverseMethod]] = {
    "rst_isp_net": RstIspNet,
    "unprocess": Unprocess,
}

__all__ = ["METHODS", "LearnedMethod", "ReverseMethod"]
