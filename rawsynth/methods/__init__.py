"""Reverse ISPs: one file each, listed in :data:`METHODS`."""

from rawsynth.methods.aim22_0noise import Aim220Noise
from rawsynth.methods.aim22_unet import Aim22UNet
from rawsynth.methods.base import MethodFacts, ReverseMethod
from rawsynth.methods.cycleisp import CycleISP
from rawsynth.methods.invisp import InvISP
from rawsynth.methods.learned import LearnedMethod
from rawsynth.methods.liteispnet_s import LiteIspNetS
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.smoothstep_gamma import SmoothstepGamma
from rawsynth.methods.srgb_linear import SrgbLinear
from rawsynth.methods.unprocess import Unprocess

METHODS: dict[str, type[ReverseMethod]] = {
    "aim22_0noise": Aim220Noise,
    "aim22_unet": Aim22UNet,
    "cycleisp": CycleISP,
    "invisp": InvISP,
    "liteispnet_s": LiteIspNetS,
    "rst_isp_net": RstIspNet,
    "rst_isp_net_small": RstIspNetSmall,
    "smoothstep_gamma": SmoothstepGamma,
    "srgb_linear": SrgbLinear,
    "unprocess": Unprocess,
}

DEFAULT_METHOD = RstIspNetSmall.name
"""What makes RAW where nothing is said."""

__all__ = ["DEFAULT_METHOD", "METHODS", "LearnedMethod", "MethodFacts", "ReverseMethod"]
