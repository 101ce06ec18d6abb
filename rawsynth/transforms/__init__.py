"""Transforms that users import: sRGB to RAW, clean RAW to noisy RAW."""

from rawsynth.transforms.add_noise import AddNoise
from rawsynth.transforms.reverse_isp import ReverseISP

__all__ = ["AddNoise", "ReverseISP"]
