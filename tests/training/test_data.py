"""Batches by position: each pair once an epoch, the same from any worker and any rank, and nothing lost in silence."""

from __future__ import annotations

import os
import pickle
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from rawsynth import storage
from rawsynth.errors import InputAccessError, RawsynthError, SampleError, UsageError
from rawsynth.pairs import Pair, PairSet, ShardPairs, pair_members
from rawsynth.raw.cfa import mosaic
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.training.config import DataConfig
from rawsynth.training.data import Positions, Steps, TrainBatch, collate, open_sets, read_batches


class Numbered(PairSet):
    """Pairs whose pixels say which pair, row, column and channel they are; RAW is the mosaic of the sRGB.

    Args:
        count: how many.
        damaged: indices that raise SampleError.
        gone: indices that raise InputAccessError.
        sides: height and width of each, in turn.
    """

    def __init__(
        self,
        count: int,
        *,
        damaged: Sequence[int] = (),
        gone: Sequence[int] = (),
        sides: Sequence[tuple[int, int]] = ((12, 16),),
    ) -> None:
        self.keys = [f"k{i}" for i in range(count)]
        self.scenes = [f"scene{i // 3}" for i in range(count)]
        self.damaged, self.gone, self.sides = frozenset(damaged), frozenset(gone), sides

    def __getitem__(self, index: int) -> Pair:
        if index in self.damaged:
            raise SampleError(f"pair k{index} is damaged")
        if index in self.gone:
            raise InputAccessError(f"pair k{index} cannot be reached")
        height, width = self.sides[index % len(self.sides)]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        srgb = torch.stack([16 * index + 64 * c + 5 * rows + 3 * columns for c in range(3)]).to(torch.uint8)
        return Pair(self.keys[index], self.scenes[index], srgb, mosaic(srgb, "RGGB").float() / 255.0)


def config(**fields: Any) -> DataConfig:
    return DataConfig(**{"train": "none", "crop": (8, 6), "workers": 0, **fields})


def keys_of(positions: Positions, places: Sequence[int]) -> list[str]:
    return [positions[place][2] for place in places]


@settings(max_examples=50)
@given(count=st.integers(1, 12), seed=st.integers(0, 99), epoch=st.integers(0, 5))
def test_each_pair_once_an_epoch(count: int, seed: int, epoch: int) -> None:
    positions = Positions(Numbered(count), config(), seed)
    assert sorted(keys_of(positions, range(epoch * count, (epoch + 1) * count))) == sorted(positions.pairs.keys)


def test_every_epoch_and_every_seed_has_an_order_of_its_own() -> None:
    orders = {
        tuple(keys_of(Positions(Numbered(9), config(), seed), range(9 * epoch, 9 * epoch + 9)))
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(orders) == 16


def test_every_place_of_the_order_is_equally_likely() -> None:
    """Over 400 epochs of 4 pairs: each pair comes first in 100, give or take five deviations of 8.7."""
    positions = Positions(Numbered(4), config(), 0)
    first = Counter(positions[4 * epoch][2] for epoch in range(400))
    assert all(abs(count - 100) < 44 for count in first.values())


def same_item(first: Any, second: Any) -> bool:
    return torch.equal(first[0], second[0]) and torch.equal(first[1], second[1]) and first[2:] == second[2:]


@settings(max_examples=25)
@given(st.permutations(range(14)))
def test_an_item_depends_on_seed_and_position_alone(order: list[int]) -> None:
    pairs = Numbered(5, damaged=[2])
    whole = Positions(pairs, config(), 3)
    in_order = [whole[place] for place in range(14)]
    torch.rand(1), np.random.rand()  # global generators have no say
    visited = Positions(pairs, config(), 3)
    assert all(same_item(visited[place], in_order[place]) for place in order)
    assert not all(same_item(Positions(pairs, config(), 4)[place], in_order[place]) for place in order)


def test_a_pair_is_cut_anew_in_each_epoch() -> None:
    positions = Positions(Numbered(1), config(), 0)
    assert len({positions[epoch][0].numpy().tobytes() for epoch in range(40)}) > 15


@settings(max_examples=40)
@given(position=st.integers(0, 10_000), crop=st.sampled_from([(2, 2), (8, 6), (10, 14)]), flips=st.booleans())
def test_cuts_stay_rggb_and_aligned(position: int, crop: tuple[int, int], flips: bool) -> None:
    """The RAW of a cut is the mosaic of the cut's sRGB, whatever was mirrored."""
    srgb, raw, _, _ = Positions(Numbered(5), config(crop=crop, flips=flips), 0)[position]
    assert srgb.shape == (3, *crop) and srgb.dtype == torch.uint8
    assert torch.equal(raw, mosaic(srgb, "RGGB").float() / 255.0)


def test_flips_mirror_both_ways_in_half_of_the_cases() -> None:
    positions = Positions(Numbered(1), config(), 0)
    signs: Counter[tuple[bool, bool]] = Counter()
    for place in range(200):
        red = positions[place][0][0].int()
        signs[bool((red[1, 0] - red[0, 0]) % 256 == 5), bool((red[0, 1] - red[0, 0]) % 256 == 3)] += 1
    assert len(signs) == 4 and all(abs(count - 50) < 31 for count in signs.values())


def test_without_a_crop_pairs_come_whole() -> None:
    pairs = Numbered(3)
    srgb, raw, key, _ = Positions(pairs, config(crop=None, flips=False), 0)[0]
    pair = pairs[pairs.keys.index(key)]
    assert torch.equal(srgb, pair.srgb) and torch.equal(raw, pair.raw)


# ---- steps and ranks ----


@settings(max_examples=60)
@given(start=st.integers(0, 9), length=st.integers(0, 9), share=st.integers(1, 4), world=st.integers(1, 4))
def test_ranks_share_each_step_without_overlap(start: int, length: int, share: int, world: int) -> None:
    batch = share * world
    alone = Steps(start, start + length, batch)
    ranks = [Steps(start, start + length, batch, rank=rank, world=world) for rank in range(world)]
    assert [len(steps) for steps in (alone, *ranks)] == [length] * (1 + world)
    assert [sum(parts, []) for parts in zip(*ranks, strict=True)] == list(alone)
    assert sum(alone, []) == list(range(start * batch, (start + length) * batch))


def test_steps_from_the_end_on_are_none() -> None:
    assert (len(Steps(6, 6, 4)), len(Steps(9, 6, 4)), list(Steps(9, 6, 4))) == (0, 0, [])


def test_ranks_together_read_what_one_process_reads() -> None:
    pairs = Numbered(5, damaged=[1])
    (alone,) = read_batches(pairs, config(), seed=0, steps=Steps(2, 3, 6))
    shares = [next(read_batches(pairs, config(), seed=0, steps=Steps(2, 3, 6, rank=r, world=3))) for r in range(3)]
    assert torch.equal(torch.cat([share.srgb for share in shares]), alone.srgb)
    assert torch.equal(torch.cat([share.raw for share in shares]), alone.raw)
    assert sum((share.keys for share in shares), ()) == alone.keys
    assert sum((share.lost for share in shares), ()) == alone.lost


def read(pairs: PairSet, workers: int, start: int = 0) -> list[TrainBatch]:
    return list(read_batches(pairs, config(workers=workers), seed=1, steps=Steps(start, 4, 3)))


def same_batches(first: list[TrainBatch], second: list[TrainBatch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.srgb, b.srgb) and torch.equal(a.raw, b.raw) and (a.keys, a.lost) == (b.keys, b.lost)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_reads_the_same(pair_shards: Path, workers: int) -> None:
    pairs = ShardPairs(str(pair_shards))
    alone = read(pairs, 0)
    assert len(alone) == 4
    assert same_batches(read(pairs, workers), alone)
    assert same_batches(read(pairs, workers, start=2), alone[2:])


def test_more_workers_than_cores_are_nothing_to_warn_of(pair_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(ShardPairs(str(pair_shards)), 2)) == 4


@pytest.mark.slow
def test_spawned_workers_read_the_same(pair_shards: Path) -> None:
    """As they are started on macOS and Windows: all that they get goes through pickle."""
    pairs = ShardPairs(str(pair_shards))
    positions = Positions(pairs, config(), 1)
    (alone,) = read_batches(pairs, config(), seed=1, steps=Steps(0, 1, 3))
    loader = DataLoader(
        positions, batch_sampler=Steps(0, 1, 3), collate_fn=collate, num_workers=1, multiprocessing_context="spawn"
    )
    assert same_batches(list(loader), [alone])
    assert same_item(pickle.loads(pickle.dumps(positions))[5], positions[5])


def test_reading_draws_nothing_from_the_global_generators() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    read(Numbered(5), 0)
    assert torch.equal(torch.get_rng_state(), before)


# ---- what cannot be read ----


@settings(max_examples=40)
@given(count=st.integers(2, 9), data=st.data())
def test_a_lost_pair_gives_its_place_to_the_next_of_the_order(count: int, data: st.DataObject) -> None:
    damaged = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    order = keys_of(Positions(Numbered(count), config(), 0), range(count))
    positions = Positions(Numbered(count, damaged=sorted(damaged)), config(), 0)
    bad = {f"k{i}" for i in damaged}
    for place in range(count):
        _, _, key, lost = positions[place]
        passed: list[str] = []
        for candidate in order[place:] + order[:place]:
            if candidate not in bad:
                break
            passed.append(candidate)
        assert key == candidate and lost == [(name, f"pair {name} is damaged") for name in passed]


@pytest.mark.parametrize("workers", [0, 2])
def test_losses_are_reported_with_the_batch(workers: int) -> None:
    pairs = Numbered(4, damaged=[1, 2])
    batches = list(read_batches(pairs, config(workers=workers), seed=0, steps=Steps(0, 2, 4)))
    assert all(set(batch.keys) <= {"k0", "k3"} and len(batch.keys) == len(batch.srgb) == 4 for batch in batches)
    first = Counter(key for key, _ in batches[0].lost)
    assert set(first) == {"k1", "k2"} and all("is damaged" in cause for _, cause in batches[0].lost)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("pairs", "fields", "error", "message"),
    [
        (Numbered(5, damaged=range(5)), {}, SampleError, "5 pairs in a row cannot be read; the first: pair k"),
        (Numbered(40, damaged=range(40)), {}, SampleError, "16 pairs in a row"),
        (Numbered(5), {"crop": (32, 32)}, SampleError, "wanted at least 32x32 pixels"),
        (Numbered(5), {"crop": (12, 16)}, UsageError, "Choose a smaller crop"),
        (Numbered(5, gone=range(5)), {}, InputAccessError, "cannot be reached"),
        (
            Numbered(4, sides=[(12, 16), (12, 14)]), {"crop": None, "flips": False}, UsageError,
            r"different sizes, \[\(12, 14\), \(12, 16\)\].*data.crop",
        ),
    ],
    ids=["all", "many", "crop too large", "no room to flip", "gone", "sizes"],
)  # fmt: skip
def test_one_line_says_why_nothing_can_be_read(
    workers: int, pairs: PairSet, fields: dict[str, Any], error: type[RawsynthError], message: str
) -> None:
    """From workers too, where torch would add a traceback."""
    batches = read_batches(pairs, config(workers=workers, **fields), seed=0, steps=Steps(0, 9, 4))
    with pytest.raises(error, match=message) as failure:
        list(batches)
    assert "\n" not in str(failure.value) and "Traceback" not in str(failure.value)


def test_what_cannot_be_reached_now_is_not_counted_as_lost() -> None:
    """A fault of access ends the training, which goes on later; the pair is not replaced by another."""
    positions = Positions(Numbered(5, gone=[3]), config(), 0)
    place = keys_of(Positions(Numbered(5), config(), 0), range(5)).index("k3")
    with pytest.raises(InputAccessError):
        positions[place]


def test_different_sizes_are_one_batch_with_a_crop() -> None:
    pairs = Numbered(6, sides=[(12, 16), (20, 10), (10, 8)])
    (batch,) = read_batches(pairs, config(), seed=0, steps=Steps(0, 1, 6))
    assert batch.srgb.shape == (6, 3, 8, 6) and batch.raw.shape == (6, 4, 4, 3)


def test_a_batch_moves_with_keys_and_losses() -> None:
    batch = collate([Positions(Numbered(3, damaged=[0]), config(), 0)[place] for place in range(3)])
    moved = batch.to(torch.device("cpu"))
    assert same_batches([moved], [batch]) and batch.raw.dtype == torch.float32 and batch.lost


# ---- sets ----


@pytest.fixture(scope="module")
def pairs(pair_shards: Path) -> ShardPairs:
    return ShardPairs(str(pair_shards))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("share", "scenes"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.999, 3)])
def test_scenes_are_on_one_side_only(
    pair_shards: Path, pairs: ShardPairs, seed: int, share: float, scenes: int
) -> None:
    train, validation = open_sets(config(train=str(pair_shards), validation_share=share), seed)
    assert not set(train.scenes) & set(validation.scenes)
    assert len(set(validation.scenes)) == scenes
    assert sorted([*train.keys, *validation.keys]) == sorted(pairs.keys)


def test_the_seed_chooses_the_scenes(pair_shards: Path) -> None:
    chosen = {open_sets(config(train=str(pair_shards)), seed)[1].scenes[0] for seed in range(12)}
    assert len(chosen) > 1


def test_limits(pair_shards: Path) -> None:
    whole, kept = open_sets(config(train=str(pair_shards), validation_share=0.5), 0)
    train, validation = open_sets(
        config(train=str(pair_shards), validation_share=0.5, limit=5, validation_limit=4), 0
    )
    assert train.keys == whole.keys[:5]
    places = [list(kept.keys).index(key) for key in validation.keys]
    assert places == [0, 4, 7, 11]  # thirds of 12 pairs, ends included
    one = open_sets(config(train=str(pair_shards), validation_share=0.5, validation_limit=1), 0)[1]
    assert one.keys == kept.keys[:1]
    many = open_sets(config(train=str(pair_shards), validation_share=0.5, limit=99, validation_limit=99), 0)
    assert (many[0].keys, many[1].keys) == (whole.keys, kept.keys)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 11, 16, 22, 23, 24])
def test_a_limited_validation_has_no_pair_twice_and_no_large_gap(limit: int, pair_shards: Path) -> None:
    tar = str(pair_shards / "pairs-00000.tar")
    validation = open_sets(config(train=tar, validation=tar, validation_limit=limit), 0)[1]
    places = [ShardPairs(tar).keys.index(key) for key in validation.keys]
    assert len(places) == limit and places == sorted(set(places))
    gaps = np.diff(places)
    assert limit == 1 or (places[0] == 0 and places[-1] == 23 and gaps.max() - gaps.min() <= 1)


def test_a_validation_set_of_its_own(pair_shards: Path, pairs: ShardPairs) -> None:
    tar = str(pair_shards / "pairs-00000.tar")
    train, validation = open_sets(config(train=str(pair_shards), validation=tar, validation_share=0.5), 0)
    assert list(train.keys) == list(validation.keys) == list(pairs.keys)


def test_one_scene_cannot_be_split(tmp_path: Path) -> None:
    tar = storage.TarFile(str(tmp_path / "one.tar"))
    for pair in list(Numbered(3)):
        dn = (pair.raw.numpy() * 1000).astype(np.uint16)
        members = pair_members(pair.srgb.numpy(), dn, CLEAN_LEVELS, {"key": pair.key, "scene": "the same"})
        tar.write(storage.tar_entries(pair.key, members))
    tar.commit()
    with pytest.raises(UsageError, match="2 splits need as many scenes; there are 1: the same"):
        open_sets(config(train=str(tmp_path)), 0)
    train, validation = open_sets(config(train=str(tmp_path), validation=str(tmp_path)), 0)
    assert len(train) == len(validation) == 3


@pytest.mark.parametrize("field", ["train", "validation"])
def test_a_set_that_is_not_there(field: str, pair_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputAccessError, match="nowhere"):
        open_sets(config(**{"train": str(pair_shards), field: str(tmp_path / "nowhere")}), 0)
