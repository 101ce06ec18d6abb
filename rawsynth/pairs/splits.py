"""Splits by scene, so that what validates has not been seen in training."""

from __future__ import annotations

from collections.abc import Mapping

from rawsynth.errors import UsageError
from rawsynth.pairs.pair import PairSet
from rawsynth.seeding import sample_seed


def split_scenes(pairs: PairSet, shares: Mapping[str, float], *, seed: int = 0) -> dict[str, PairSet]:
    """Split a set by scene.

    Scenes are put in an order that only the seed and their names decide and are dealt out by the shares; every split
    gets at least one scene.

    Args:
        pairs: what to split.
        shares: share of the scenes by name of the split; they sum to 1.
        seed: of the order.

    Raises:
        UsageError: shares that are not positive or do not sum to 1, or fewer scenes than splits.
    """
    # Written so that NaN, which compares false with everything, is refused too.
    if not all(share > 0 for share in shares.values()) or not abs(sum(shares.values()) - 1) <= 1e-6:
        raise UsageError(f"shares of a split are positive and sum to 1; got {dict(shares)}.")
    scenes = sorted(set(pairs.scenes), key=lambda scene: (sample_seed(seed, scene, "split"), scene))
    if len(scenes) < len(shares):
        raise UsageError(
            f"{len(shares)} splits need as many scenes; there are {len(scenes)}: {', '.join(scenes[:5])}. "
            "Name a validation set of its own, or add scenes."
        )
    home: dict[str, str] = {}
    start, total = 0, 0.0
    for position, (name, share) in enumerate(shares.items()):
        total += share
        left = len(shares) - position - 1
        end = len(scenes) if not left else min(max(round(total * len(scenes)), start + 1), len(scenes) - left)
        home |= dict.fromkeys(scenes[start:end], name)
        start = end
    indices: dict[str, list[int]] = {name: [] for name in shares}
    for index, scene in enumerate(pairs.scenes):
        indices[home[scene]].append(index)
    return {name: pairs.subset(chosen) for name, chosen in indices.items()}
