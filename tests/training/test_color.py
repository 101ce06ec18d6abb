"""Nominal colour: what pairs state, and where they state nothing, gains that a construction knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from rawsynth.errors import InputAccessError, SampleError
from rawsynth.methods.weights import ModelCard
from rawsynth.pairs import Pair, PairSet
from rawsynth.raw.cfa import mosaic
from rawsynth.training.color import nominal_color

IDENTITY = np.eye(3).tolist()
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]


class Stated(PairSet):
    """Pairs of a grey image with these metadata; ``None`` cannot be read."""

    def __init__(self, rows: Sequence[Mapping[str, Any] | None], error: type[Exception] = SampleError) -> None:
        self.rows, self.error = rows, error
        self.keys = self.scenes = [str(i) for i in range(len(rows))]
        self.looked_at: list[int] = []

    def __getitem__(self, index: int) -> Pair:
        self.looked_at.append(index)
        meta = self.rows[index]
        if meta is None:
            raise self.error("damaged")
        return Pair(str(index), "s", torch.full((3, 8, 8), 128, dtype=torch.uint8), torch.full((4, 4, 4), 0.2), meta)


class Images(PairSet):
    """Pairs of given images that state nothing."""

    def __init__(self, *images: tuple[Tensor, Tensor]) -> None:
        self.images = images
        self.keys = self.scenes = [str(i) for i in range(len(images))]

    def __getitem__(self, index: int) -> Pair:
        return Pair(str(index), "s", *self.images[index])


def gains(*values: tuple[float, float]) -> Stated:
    return Stated([{"white_balance": list(value)} for value in values])


# ---- stated ----


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([(2.0, 1.5)], [2.0, 1.5]),
        ([(2.0, 1.5), (2.5, 1.0), (90.0, 1.25)], [2.5, 1.25]),  # one odd light moves the middle, not the mean
        ([(1.0, 1.0), (2.0, 3.0)], [1.5, 2.0]),
    ],
)
def test_the_median_of_the_gains(stated: list[tuple[float, float]], expected: list[float]) -> None:
    assert nominal_color(gains(*stated))["white_balance"] == expected


def test_the_mean_of_the_matrices() -> None:
    found = nominal_color(Stated([{"cam_from_srgb": MATRIX}, {"cam_from_srgb": IDENTITY}, {}]))["cam_from_srgb"]
    assert found == ((np.array(MATRIX) + np.eye(3)) / 2).tolist()
    assert np.allclose(np.sum(found, axis=1), 1.0)
    assert nominal_color(Stated([{}]))["cam_from_srgb"] == IDENTITY


@pytest.mark.parametrize(
    ("cameras", "expected"),
    [
        (["Nikon D850", "Nikon D850"], "Nikon D850"),
        (["Nikon D850", "Canon EOS 700D"], None),
        (["Nikon D850", None], None),
        ([None, None], None),
        ([["Nikon", "D850"]] * 2, None),
    ],
)
def test_one_camera_or_none(cameras: list[Any], expected: str | None) -> None:
    assert nominal_color(Stated([{"camera": camera} for camera in cameras]))["camera"] == expected


WRONG_GAINS = [
    None, [], [2.0], [2.0, 1.0, 1.5, 1.0], "2.0", {"r": 2.0}, [[2.0], [1.0]], [None, 1.0], ["red", "blue"],
    [float("nan"), 1.0], [float("inf"), 1.0], [0.0, 1.0], [-2.0, 1.0], 10**400, [10**400, 1], True,
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_GAINS, ids=repr)
def test_what_are_no_gains_counts_as_not_stated(wrong: Any) -> None:
    """Metadata of tars from anywhere; a card takes what comes out of them."""
    found = nominal_color(Stated([{"white_balance": wrong}, {"white_balance": [3.0, 2.0]}]))
    assert found["white_balance"] == [3.0, 2.0]
    alone = nominal_color(Stated([{"white_balance": wrong, "camera": "x"}]))
    assert alone["white_balance"] == pytest.approx([1.0, 1.0])  # both halves of the pair are grey
    assert ModelCard(**alone).camera == "x"


@pytest.mark.parametrize("wrong", [None, [], IDENTITY[:2], [[1.0, 0.0]] * 3, [1.0] * 9, [[float("nan")] * 3] * 3, "x"])
def test_what_is_no_matrix_counts_as_not_stated(wrong: Any) -> None:
    assert nominal_color(Stated([{"cam_from_srgb": wrong}]))["cam_from_srgb"] == IDENTITY
    found = nominal_color(Stated([{"cam_from_srgb": wrong}, {"cam_from_srgb": MATRIX}]))
    assert found["cam_from_srgb"] == MATRIX and ModelCard(**found).cam_from_srgb == MATRIX


# ---- not stated ----


def linear(pixels: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, with NumPy."""
    value = pixels / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def made(name: str, red: float, blue: float) -> tuple[Tensor, Tensor]:
    """A photograph, and RAW that needs these gains to become the linear photograph."""
    pixels = getattr(data, name)()[:200, :200]
    light = linear(pixels) * np.array([1 / red, 1.0, 1 / blue]) * 0.4
    raw = mosaic(torch.from_numpy(light).permute(2, 0, 1), "RGGB").float()
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1), raw


@pytest.mark.parametrize(("red", "blue"), [(2.0, 1.5), (0.5, 3.0), (1.0, 1.0)])
def test_gains_of_a_construction(red: float, blue: float) -> None:
    """Mosaics sample each colour at some sites only, which moves its mean by a percent."""
    found = nominal_color(Images(made("astronaut", red, blue), made("coffee", red, blue), made("chelsea", red, blue)))
    assert found["white_balance"] == pytest.approx([red, blue], rel=0.02)


def test_gains_are_the_middle_of_the_images() -> None:
    found = nominal_color(Images(*(made("astronaut", red, 2.0) for red in (1.5, 2.0, 9.0))))
    assert found["white_balance"] == pytest.approx([2.0, 2.0], rel=0.02)


def flat(srgb: int, raw: float) -> tuple[Tensor, Tensor]:
    return torch.full((3, 8, 8), srgb, dtype=torch.uint8), torch.full((4, 4, 4), raw)


@pytest.mark.parametrize("image", [flat(0, 0.0), flat(0, -0.01), flat(255, 1.0), flat(0, 0.5), flat(255, 0.0)])
def test_black_and_white_images_have_gains_of_one(image: tuple[Tensor, Tensor]) -> None:
    assert nominal_color(Images(image))["white_balance"] == pytest.approx([1.0, 1.0])


def test_what_is_stated_wins_over_what_is_measured() -> None:
    class Mixed(Images):
        def __getitem__(self, index: int) -> Pair:
            pair = super().__getitem__(index)
            return pair if index else Pair(pair.key, "s", pair.srgb, pair.raw, {"white_balance": [3.0, 4.0]})

    assert nominal_color(Mixed(made("coffee", 2.0, 2.0), made("coffee", 2.0, 2.0)))["white_balance"] == [3.0, 4.0]


# ---- what is looked at ----


def test_unreadable_pairs_are_passed_over() -> None:
    pairs = Stated([None, {"camera": "x", "white_balance": [2.0, 1.0]}, None])
    assert nominal_color(pairs) == {"camera": "x", "cam_from_srgb": IDENTITY, "white_balance": [2.0, 1.0]}
    nothing = nominal_color(Stated([None, None]))
    assert nothing == {"camera": None, "cam_from_srgb": IDENTITY, "white_balance": [1.0, 1.0]}
    assert ModelCard(**nothing)


def test_what_cannot_be_reached_is_not_passed_over() -> None:
    with pytest.raises(InputAccessError):
        nominal_color(Stated([None], InputAccessError))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000])
def test_a_large_set_is_sampled_from_end_to_end(count: int) -> None:
    pairs = Stated([{}] * count)
    nominal_color(pairs)
    assert len(pairs.looked_at) == len(set(pairs.looked_at)) == min(count, 64)
    assert pairs.looked_at[0] == 0 and pairs.looked_at[-1] == count - 1
    assert max(np.diff(pairs.looked_at), default=0) <= np.ceil(count / 63)
