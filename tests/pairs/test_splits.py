"""splits: whole scenes, every pair once, decided by names and seed alone."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.pairs import Pair, PairSet, split_scenes


class Named(PairSet):
    """Pairs with keys ``SCENE/N`` and no content to speak of."""

    def __init__(self, scenes: Sequence[str]) -> None:
        self.scenes = list(scenes)
        self.keys = [f"{scene}/{n}" for n, scene in enumerate(scenes)]

    def __getitem__(self, index: int) -> Pair:
        return Pair(self.keys[index], self.scenes[index], torch.zeros(3, 2, 2), torch.zeros(4, 1, 1))


SCENES = st.lists(st.text(max_size=3) | st.integers(0, 30).map(str), min_size=1, max_size=60)
WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=5)


def shares_of(weights: Sequence[int]) -> dict[str, float]:
    return {f"split{i}": weight / sum(weights) for i, weight in enumerate(weights)}


@given(scenes=SCENES, weights=WEIGHTS, seed=st.integers(-5, 5))
def test_scenes_stay_whole_and_nothing_is_lost(scenes: list[str], weights: list[int], seed: int) -> None:
    pairs, shares = Named(scenes), shares_of(weights)
    if len(set(scenes)) < len(shares):
        wanted = f"{len(shares)} splits need as many scenes; there are {len(set(scenes))}"
        with pytest.raises(UsageError, match=wanted):
            split_scenes(pairs, shares, seed=seed)
        return
    splits = split_scenes(pairs, shares, seed=seed)
    assert list(splits) == list(shares)
    assert sorted(key for split in splits.values() for key in split.keys) == sorted(pairs.keys)
    homes = [set(split.scenes) for split in splits.values()]
    assert all(homes) and sum(map(len, homes)) == len(set(scenes))
    for split in splits.values():
        assert [(pair.key, pair.scene) for pair in split] == list(zip(split.keys, split.scenes, strict=True))
        assert [pairs.keys.index(key) for key in split.keys] == sorted(pairs.keys.index(key) for key in split.keys)


@given(scenes=SCENES, weights=WEIGHTS, data=st.data())
def test_order_and_number_of_pairs_decide_nothing(scenes: list[str], weights: list[int], data: st.DataObject) -> None:
    shares = shares_of(weights)
    if len(set(scenes)) < len(shares):
        return
    shuffled = data.draw(st.permutations(scenes + scenes[: len(scenes) // 2]))
    homes = [
        {name: set(split.scenes) for name, split in split_scenes(Named(order), shares).items()}
        for order in (scenes, shuffled)
    ]
    assert homes[0] == homes[1]


@pytest.mark.parametrize("shares", [{"train": 0.8, "val": 0.2}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"all": 1.0}])
@pytest.mark.parametrize("count", [10, 90, 501])
def test_sizes_follow_the_shares(shares: dict[str, float], count: int) -> None:
    splits = split_scenes(Named([f"scene {n}" for n in range(count)]), shares)
    assert all(abs(len(splits[name]) - share * count) <= 1 for name, share in shares.items())


def test_a_small_share_still_gets_a_scene() -> None:
    shares = {"train": 0.98, "val": 0.01, "test": 0.01}
    assert [len(split) for split in split_scenes(Named("abc"), shares).values()] == [1, 1, 1]
    assert [len(split) for split in split_scenes(Named("abcdef"), shares).values()] == [4, 1, 1]


def test_the_seed_deals_anew() -> None:
    pairs = Named([str(n) for n in range(40)])
    dealt = {tuple(split_scenes(pairs, {"a": 0.5, "b": 0.5}, seed=seed)["a"].keys) for seed in range(20)}
    assert len(dealt) == 20
    again = split_scenes(pairs, {"a": 0.5, "b": 0.5}, seed=3)["a"].keys
    assert tuple(again) in dealt


def test_no_scene_has_a_fixed_home() -> None:
    """Over many seeds a scene is in the larger split as often as the share says: 0.8, give or take 4 sigma."""
    pairs, seeds = Named([str(n) for n in range(20)]), 200
    counts = dict.fromkeys(pairs.scenes, 0)
    for seed in range(seeds):
        for scene in split_scenes(pairs, {"train": 0.8, "val": 0.2}, seed=seed)["train"].scenes:
            counts[scene] += 1
    sigma = (0.8 * 0.2 / seeds) ** 0.5
    assert all(abs(count / seeds - 0.8) < 4 * sigma for count in counts.values())


@pytest.mark.parametrize(
    "shares",
    [
        {},
        {"a": 0.5},
        {"a": 0.7, "b": 0.4},
        {"a": 1.0, "b": 0.0},
        {"a": 1.5, "b": -0.5},
        {"a": float("nan"), "b": 0.5},
        {"a": float("inf"), "b": 0.5},
    ],
    ids=repr,
)
def test_shares_that_are_none(shares: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="positive and sum to 1"):
        split_scenes(Named("abcdef"), shares)


def test_a_set_without_pairs() -> None:
    with pytest.raises(UsageError, match="there are 0"):
        split_scenes(Named([]), {"all": 1.0})


@given(scenes=SCENES, data=st.data())
def test_subsets_of_subsets(scenes: list[str], data: st.DataObject) -> None:
    pairs = Named(scenes)
    places = st.lists(st.integers(0, len(scenes) - 1), max_size=8)
    first = data.draw(places)
    subset = pairs.subset(first)
    second = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=8)) if first else []
    twice = subset.subset(second)
    assert twice.keys == [pairs.keys[first[i]] for i in second] == [pair.key for pair in twice]
    assert len(twice) == len(second)
