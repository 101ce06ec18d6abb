"""Pairs that a style is fitted to: which are taken, which are refused, and that sRGB and RAW stay together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs import Pair, PairSet
from rawsynth.raw.cfa import mosaic
from rawsynth.training.style_pairs import draw_quads, read_style_pairs, spread

MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
COLOR: dict[str, Any] = {"cam_from_srgb": MATRIX, "white_balance": [2.0, 1.5], "camera": "Mine"}


class Pairs(PairSet):
    """Pairs in memory."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self.keys, self.scenes = [pair.key for pair in pairs], [pair.scene for pair in pairs]

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index]


def make_pair(name: str = "p", photograph: str = "astronaut", **meta: Any) -> Pair:
    srgb = torch.from_numpy(getattr(data, photograph)()[100:260, 120:300].copy()).permute(2, 0, 1)
    raw = mosaic((srgb / 255) ** 2.2 * torch.tensor([0.5, 1.0, 0.6])[:, None, None], "RGGB")
    return Pair(name, name, srgb, raw.float(), {**COLOR, **meta})


def moved(pair: Pair, rows: int, columns: int) -> Pair:
    return replace(pair, srgb=pair.srgb.roll((rows, columns), (1, 2)))


def test_pairs_come_with_their_color() -> None:
    (pair,) = read_style_pairs(Pairs([make_pair()]), limit=3)
    gains = np.array([1 / 2.0, 1.0, 1 / 1.5])
    assert pair.rows.numpy() == pytest.approx((np.array(MATRIX) * gains[:, None])[[0, 1, 1, 2]], abs=1e-6)
    assert (pair.key, pair.camera, tuple(pair.srgb.shape)) == ("p", "Mine", (3, 160, 180))


def test_what_is_given_wins() -> None:
    bare = Pairs([make_pair(white_balance=None, cam_from_srgb=None)])
    (pair,) = read_style_pairs(bare, limit=3, cam_from_srgb=np.eye(3), white_balance=(4.0, 2.0))
    assert pair.rows.tolist() == [[0.25, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0.5]]


REFUSED: list[tuple[str, list[Pair], str]] = [
    ("none", [], "no pair"),
    ("no white balance", [make_pair(white_balance=None)], "pair p states no white_balance"),
    ("no matrix", [make_pair(cam_from_srgb=None)], "--cam-from-srgb"),
    ("two cameras", [make_pair("a"), make_pair("b", camera="Yours")], "Mine, Yours"),
]


@pytest.mark.parametrize(("pairs", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_wrong_sets_are_refused(pairs: list[Pair], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_style_pairs(Pairs(pairs), limit=9)


FAULTS: list[tuple[str, Pair, str]] = [
    ("two rows down", moved(make_pair("bad"), 2, 0), "2 rows"),
    ("one column right", moved(make_pair("bad"), 0, 1), "1 columns"),
    ("another photograph", replace(make_pair("bad"), srgb=make_pair(photograph="coffee").srgb), "do not show the same"),
    ("half the RAW", replace(make_pair("bad"), raw=make_pair().raw[:, :40]), "float RAW"),
    ("a matrix that moves white", make_pair("bad", cam_from_srgb=np.diag([2.0, 1, 1]).tolist()), "rows sum to 1"),
]


@pytest.mark.parametrize(("bad", "words"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_one_bad_pair_is_left_out_and_said(bad: Pair, words: str) -> None:
    said: list[str] = []
    found = read_style_pairs(Pairs([make_pair("a"), bad, make_pair("b", "coffee")]), limit=9, tell=said.append)
    assert [pair.key for pair in found] == ["a", "b"]
    assert len(said) == 1 and said[0].startswith("bad: left out") and words in said[0]
    with pytest.raises(SampleError, match="none of the pairs"):
        read_style_pairs(Pairs([bad]), limit=9)


def test_a_flat_pair_has_nothing_to_align() -> None:
    flat = replace(make_pair(), srgb=torch.full((3, 64, 64), 128, dtype=torch.uint8), raw=torch.full((4, 32, 32), 0.2))
    assert len(read_style_pairs(Pairs([flat]), limit=1)) == 1


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(1, 12))
def test_scenes_take_turns(scenes: list[str], limit: int) -> None:
    chosen = spread(scenes, limit)
    assert len(chosen) == len(set(chosen)) == min(limit, len(scenes))
    counts, present = Counter(scenes[k] for k in chosen), Counter(scenes)
    # No scene is taken twice more often than another that had pairs left.
    for scene, count in present.items():
        if counts[scene] < count:
            assert max(counts.values(), default=0) <= counts[scene] + 1


def test_quads_keep_srgb_and_raw_together() -> None:
    """Each RAW value is a function of its own sRGB pixel, so every quad can be checked alone."""
    pairs = read_style_pairs(Pairs([make_pair("a"), make_pair("b", "coffee")]), limit=2)
    quads = draw_quads(pairs, 500, seed=3)
    light = (quads.srgb**2.2 * torch.tensor([0.5, 1.0, 0.6])[:, None, None]).numpy()
    expected = np.stack([light[:, c, :, k] for k, c in enumerate((0, 1, 1, 2))], axis=-1)
    assert quads.raw.numpy() == pytest.approx(expected, abs=1e-6)
    assert quads.raw[0].std() > 0.05 and not torch.equal(quads.raw[0], quads.raw[1])


def test_the_seed_and_the_keys_decide_the_quads() -> None:
    first, second = (read_style_pairs(Pairs([make_pair(name)]), limit=1) for name in ("a", "b"))
    again, other, renamed = draw_quads(first, 50, seed=0), draw_quads(first, 50, seed=1), draw_quads(second, 50, seed=0)
    assert torch.equal(again.srgb, draw_quads(first, 50, seed=0).srgb)
    assert not torch.equal(again.srgb, other.srgb) and not torch.equal(again.srgb, renamed.srgb)
