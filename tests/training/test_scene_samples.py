"""Samples of rendered surrogates: the position decides all, frames and crops agree, photographs are kept apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from rawsynth.cameras.choosing import cameras_with
from rawsynth.methods.style_encoder import GRID
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.photographs import Photograph
from rawsynth.pairs.renderings import load_renderings
from rawsynth.training.data import Steps
from rawsynth.training.scene_data import read_scene_batches
from rawsynth.training.surrogates import RenderedBatch, RenderedSurrogates, collate, split_photographs

CAMERAS = tuple(cameras_with(color=True).values())


def photograph(name: str) -> Photograph:
    pixels = getattr(data, name)().transpose(2, 0, 1).astype(np.uint16) * 257
    return Photograph(name, pixels, hashlib.sha256(name.encode()).hexdigest())


PHOTOGRAPHS = [photograph(name) for name in ("astronaut", "coffee", "chelsea")]


def samples(seed: int = 0, crop: int = 32) -> RenderedSurrogates:
    return RenderedSurrogates(PHOTOGRAPHS, CAMERAS, isp=ForwardISP(load_renderings()), seed=seed, crop=crop)


def test_shapes_types_and_ranges() -> None:
    batch = collate([samples()[k] for k in range(3)])
    assert batch.crop_srgb is not None and batch.crop_raw is not None
    assert batch.frame_srgb.shape == batch.frame_raw.shape == (3, 3, GRID, GRID)
    assert batch.crop_srgb.shape == batch.crop_raw.shape == (3, 3, 32, 32)
    assert {batch.frame_srgb.dtype, batch.crop_srgb.dtype} == {torch.uint8}
    for raw in (batch.frame_raw, batch.crop_raw):
        assert raw.dtype == torch.float32 and float(raw.min()) >= 0 and float(raw.max()) <= 1
    torch.testing.assert_close(batch.cam_from_srgb.sum(dim=2), torch.ones(3, 3))
    assert bool((batch.white_balance > 0.3).all()) and batch.white_balance.shape == (3, 2)
    bare = collate([samples(crop=0)[k] for k in range(2)])
    assert bare.crop_srgb is None and bare.crop_raw is None


def test_the_position_decides_everything() -> None:
    """Whatever came before, in whichever process; frames are the same with and without crops."""
    first, again = samples(), samples()
    again[7]
    for position in (5, 2):
        for a, b in zip(first[position], again[position], strict=True):
            assert a is not None and b is not None and torch.equal(a, b)
    bare = samples(crop=0)[5]
    assert torch.equal(bare[0], first[5][0]) and torch.equal(bare[1], first[5][1])  # type: ignore[arg-type]
    assert not torch.equal(samples(seed=1)[5][1], bare[1])  # type: ignore[arg-type]


def test_a_step_is_the_same_from_any_start_and_process() -> None:
    def read(start: int, workers: int) -> list[RenderedBatch]:
        return list(read_scene_batches(samples(crop=0), Steps(start, 3, 2), workers=workers))

    whole, late, helped = read(0, 0), read(2, 0), read(0, 1)
    assert (len(whole), len(late), len(helped)) == (3, 1, 3)
    for a, b in [(whole[2], late[0]), *zip(whole, helped, strict=True)]:
        assert torch.equal(a.frame_srgb, b.frame_srgb) and torch.equal(a.frame_raw, b.frame_raw)


def test_crops_lie_in_their_frames() -> None:
    """The crop's RAW has its place among the frame's pixels: its mean is within the frame's range, colour by colour."""
    for position in range(6):
        _, frame_raw, _, crop_raw, *_ = samples(crop=64)[position]
        assert frame_raw is not None and crop_raw is not None
        low, high = frame_raw.flatten(1).amin(dim=1), frame_raw.flatten(1).amax(dim=1)
        mean = crop_raw.mean(dim=(1, 2))
        assert bool((mean >= low - 1e-3).all() and (mean <= high + 1e-3).all())


def test_batches_move_whole() -> None:
    batch = collate([samples(crop=0)[0]])
    moved = batch.to(torch.device("meta"))
    assert moved.frame_raw.is_meta and moved.white_balance.is_meta and moved.crop_raw is None


@pytest.mark.parametrize("share", [0.08, 0.4])
def test_photographs_are_kept_apart_by_their_hashes(share: float) -> None:
    many = [Photograph(f"p{k}", PHOTOGRAPHS[0].codes, hashlib.sha256(bytes([k])).hexdigest()) for k in range(50)]
    train, held = split_photographs(many, share)
    assert len(held) == round(50 * share) and len(train) + len(held) == 50
    assert not {p.name for p in train} & {p.name for p in held}
    # By content alone: other names and another order keep back the same ones.
    renamed = [Photograph(f"q{Path(p.name).name}", p.codes, p.sha256) for p in reversed(many)]
    assert {p.sha256 for p in split_photographs(renamed, share)[1]} == {p.sha256 for p in held}
