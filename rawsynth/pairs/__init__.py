"""Pairs of an sRGB image and the RAW it was developed from: what reverse ISPs are trained and scored on."""

from rawsynth.pairs.pair import Pair, PairSet, Scoring
from rawsynth.pairs.splits import split_scenes

__all__ = ["Pair", "PairSet", "Scoring", "split_scenes"]
