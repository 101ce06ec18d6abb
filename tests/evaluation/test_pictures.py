"""Pictures of an evaluation: four panels that can be believed."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from rawsynth.errors import InputAccessError
from rawsynth.evaluation.evaluate import evaluate
from rawsynth.evaluation.pictures import file_name, panels, picked_ranks, round_up, shrink
from rawsynth.evaluation.result import Row
from rawsynth.evaluation.scoring import METRICS
from rawsynth.evaluation.viewing import bright_exposure, gray_world, stated_color, view_of
from rawsynth.pairs import Pair
from rawsynth.transforms import ReverseISP

MakePair = Callable[..., Pair]
PairSet = Callable[..., Any]


def row_of(pair: Pair, **scores: float) -> Row:
    height, width = pair.srgb.shape[-2:]
    return Row(0, pair.key, pair.scene, height, width, dict.fromkeys(METRICS, 30.0) | scores, (), {"method": "any"})


def pixels(image: Image.Image) -> Any:
    return np.asarray(image.convert("RGB"), dtype=float)


def test_a_perfect_result_looks_like_its_reference_and_its_source(make_pair: MakePair) -> None:
    pair = make_pair(0)
    source, reference, result, error = (panel.image for panel in panels(pair, pair.raw, row_of(pair), 96))
    assert (pixels(reference) == pixels(result)).all()
    assert np.corrcoef(pixels(source).ravel(), pixels(reference).ravel())[0, 1] > 0.95
    assert abs(pixels(source).mean() - pixels(reference).mean()) < 12
    assert (pixels(error)[:, :-10] == 0).all()
    assert len({image.size for image in (source, reference, result, error)}) == 1


def test_the_error_map_shows_where_the_error_is(make_pair: MakePair) -> None:
    pair = make_pair(0)
    wrong = pair.raw.clone()
    wrong[:, 6:18, 4:12] += 0.1
    *_, panel = panels(pair, wrong, row_of(pair), 96)
    shown = pixels(panel.image).mean(axis=-1)
    inside, outside = shown[26:70, 18:46], np.delete(shown[:, :-10], slice(16, 48), axis=1)
    assert inside.min() > 200 and outside.max() == 0
    assert "0 (black) to 0.1 (white)" in panel.title


def test_both_sides_are_developed_alike(make_pair: MakePair) -> None:
    """Gains come from the reference: a result that is half as bright looks darker, not the same."""
    for meta in ({}, None):
        pair = make_pair(0, meta=meta)
        _, reference, result, _ = panels(pair, 0.5 * pair.raw, row_of(pair), 96)
        assert pixels(result.image).mean() < 0.8 * pixels(reference.image).mean()


def test_captions(make_pair: MakePair) -> None:
    pair = make_pair(1)
    source, reference, result, error = panels(pair, pair.raw, row_of(pair, psnr=31.25, exposure=0.5, psnr_gb=7.5), 96)
    assert (source.title, source.detail) == ("sRGB: p1", "64 x 48, scene scene1")
    assert reference.detail == "R 2.00 B 1.75 stated, x 1.25 stated"
    assert result.title == "any: AIM 2022 30.00 dB, SSIM 30.0000"
    assert result.detail == "PSNR 31.25 dB, exposure-fitted 30.00 dB (x 0.500)"
    assert error.detail == "R 30.00, Gr 30.00, Gb 7.50, B 30.00 dB"
    _, reference, *_ = panels(replace(pair, meta={}), pair.raw, row_of(pair), 96)
    red, blue = gray_world(pair.raw)
    assert reference.detail.startswith(f"R {red:.2f} B {blue:.2f} gray world, no colour matrix, x ")
    assert reference.detail.endswith(" estimated") and (red, blue) != (1.0, 1.0)


@pytest.mark.parametrize("size", [(22, 600), (600, 22), (22, 22), (400, 300)])
def test_images_of_any_shape(make_pair: MakePair, size: tuple[int, int]) -> None:
    pair = make_pair(0)
    height, width = size
    srgb = pair.srgb.repeat(1, 13, 13)[:, :height, :width]
    raw = pair.raw.repeat(1, 13, 13)[:, : height // 2, : width // 2]
    made = panels(replace(pair, srgb=srgb, raw=raw), raw, row_of(pair), 96)
    assert {panel.image.height for panel in made} == {96}
    widths = {panel.image.width for panel in made}
    assert max(widths) - min(widths) <= 8
    assert max(widths) <= 4 * 96 + 8


def test_gray_world_finds_the_gains() -> None:
    gray = torch.rand(1, 40, 60, generator=torch.Generator().manual_seed(0)) * 0.4
    raw = torch.cat([gray / 2.5, gray, gray, gray / 1.5])
    assert gray_world(raw) == pytest.approx([2.5, 1.5], rel=1e-5)
    raw[:, :10] = 1.0  # saturated pixels say nothing of the light
    assert gray_world(raw) == pytest.approx([2.5, 1.5], rel=1e-5)
    assert gray_world(torch.ones(4, 5, 5)) == [1.0, 1.0]
    assert gray_world(torch.zeros(4, 5, 5)) == [1.0, 1.0]
    assert gray_world(torch.cat([raw[:1] * 0, raw[1:]]))[0] == 1.0


def test_exposure_lifts_highlights_to_where_they_are_seen() -> None:
    ramp = torch.linspace(0, 0.1, 10_000).reshape(1, 100, 100).expand(4, -1, -1)
    assert bright_exposure(ramp, [1.0, 1.0]) == pytest.approx(8.0, rel=0.05)
    assert bright_exposure(torch.zeros(4, 5, 5), [1.0, 1.0]) == 1.0
    assert bright_exposure(torch.ones(4, 5, 5), [1.0, 1.0]) == 1.0


UNSOUND = [
    {"white_balance": "daylight"},
    {"white_balance": [0.0, 1.0]},
    {"rgb_gain": -1},
    {"cam_from_srgb": [[1, 0, 0]] * 3},
    {"cam_from_srgb": [[1, 0], [0, 1]]},
    {"white_balance": [float("nan"), 1.0]},
    {"rgb_gain": None, "cam_from_srgb": None},
]


@pytest.mark.parametrize("meta", UNSOUND)
def test_metadata_that_cannot_be_are_not_developed_by(make_pair: MakePair, meta: dict[str, Any]) -> None:
    assert stated_color(meta) == {}
    plain, odd = (view_of(make_pair(0, meta=m)) for m in ({}, meta))
    assert plain.words == odd.words


@given(st.integers(1, 300), st.integers(0, 20))
def test_ranks(images: int, count: int) -> None:
    ranks = picked_ranks(images, count)
    assert ranks == sorted(set(ranks)) and set(ranks) <= set(range(images))
    assert len(ranks) == min(count, images)
    assert set(ranks) >= {0, images // 2, images - 1} or count < 3
    assert not count or 0 in ranks


@given(st.sets(st.text(max_size=400), min_size=2, max_size=4))
def test_file_names_are_safe_and_tell_keys_apart(keys: set[str]) -> None:
    names = {file_name(key) for key in keys}
    assert len(names) == len(keys)
    for name in names:
        assert name.isascii() and "/" not in name and "\\" not in name and len(name) < 160
        assert name == ".png" or not name.startswith(".")


@given(st.floats(1e-4, 1e3))
def test_round_scales(value: float) -> None:
    top = round_up(value)
    assert 0.999 * value <= top <= 2.5 * value * (1 + 1e-6)
    assert f"{top:.0e}"[0] in "125"


def test_shrinking_averages() -> None:
    image = torch.arange(48.0).reshape(1, 6, 8)
    assert torch.equal(shrink(image, 1), image)
    expected = [[image[0, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean().item() for c in range(4)] for r in range(3)]
    assert shrink(image, 2)[0].tolist() == expected
    assert shrink(image, 4).shape == (1, 1, 2)


def test_overview_has_worst_median_and_best(make_pair: MakePair, pair_set: PairSet, tmp_path: Path) -> None:
    def darker(by: float) -> Callable[[Tensor], Tensor]:
        return lambda raw: raw * by

    pairs = pair_set([make_pair(i, change=darker(by)) for i, by in enumerate((0.9, 0.2, 0.5, 0.99, 0.7))])
    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path), pictures=4)
    keys = [row.key for row in sorted(found.rows, key=lambda row: row.scores["psnr"])]
    assert list(found.pictures) == [keys[rank] for rank in picked_ranks(5, 4)]
    single = {key: Image.open(tmp_path / name) for key, name in found.pictures.items()}
    overview = Image.open(tmp_path / "overview.png")
    assert overview.format == "PNG"
    assert overview.height == pytest.approx(3 * 448, abs=30)
    assert {image.height for image in single.values()} == {384 + 56}
    assert len({image.width for image in single.values()}) == 1


def test_a_picture_that_fails_costs_itself(make_pair: MakePair, pair_set: PairSet, tmp_path: Path) -> None:
    """The store goes away between scoring and drawing: scores stand, and the report says what is missing."""
    pairs = pair_set([make_pair(0), make_pair(1, change=lambda raw: raw * 0.5)])

    def forget(done: int) -> None:
        pairs.items[1] = InputAccessError("cannot read p1.png")

    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path), progress=forget)
    assert len(found.rows) == 2 and found.errors == {}
    assert found.picture_errors == {"p1": "cannot read p1.png"}
    assert list(found.pictures) == ["p0"]
    assert (tmp_path / "overview.png").exists()


def test_keys_cannot_leave_the_folder(make_pair: MakePair, pair_set: PairSet, tmp_path: Path) -> None:
    keys = ["../up", "/root", "memory://x", "a\nb", "", "..", "x" * 1000]
    pairs = pair_set([replace(make_pair(i), key=key) for i, key in enumerate(keys)])
    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path / "out"), pictures=7)
    assert set(found.pictures) == set(keys) and not found.picture_errors
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert len(list((tmp_path / "out/pictures").iterdir())) == 7
    for name in found.pictures.values():
        Image.open(io.BytesIO((tmp_path / "out" / name).read_bytes())).load()
