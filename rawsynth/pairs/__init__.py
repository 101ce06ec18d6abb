"""Pairs of an sRGB image and the RAW it was developed from: what reverse ISPs are trained and scored on."""

from rawsynth.pairs.aim22 import Aim22Pairs, stitch, tile_position
from rawsynth.pairs.augment import augment_pair, crop_pair
from rawsynth.pairs.opening import LAYOUTS, open_pairs
from rawsynth.pairs.pair import Pair, PairSet, Scoring
from rawsynth.pairs.shards import ShardPairs, pair_members
from rawsynth.pairs.splits import split_scenes

__all__ = [
    "LAYOUTS",
    "Aim22Pairs",
    "Pair",
    "PairSet",
    "Scoring",
    "ShardPairs",
    "augment_pair",
    "crop_pair",
    "open_pairs",
    "pair_members",
    "split_scenes",
    "stitch",
    "tile_position",
]
