"""Sets by the place that is named: stored pairs, RAW files, the synthetic set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from rawsynth.errors import InputAccessError, UsageError
from rawsynth.evaluation.bench.sets import SetOptions, fingerprint, open_sets
from rawsynth.evaluation.evaluate import evaluate
from rawsynth.pairs import Pair, pair_members
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.raw.quantize import quantize
from rawsynth.storage import TarFile, tar_entries
from rawsynth.transforms import ReverseISP
from tests import dng


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.tar"
    archive = TarFile(str(path))
    for index in range(4):
        srgb = np.ascontiguousarray(data.astronaut()[8 * index : 8 * index + 48, :48].transpose(2, 0, 1))
        dn = quantize(torch.rand(4, 24, 24), CLEAN_LEVELS).numpy()
        meta = {"key": f"p{index}", "scene": f"scene{index}"}
        archive.write(tar_entries(f"p{index}", pair_members(srgb, dn, CLEAN_LEVELS, meta)))
    archive.commit()
    return path


def test_stored_pairs_and_a_limit(stored: Path) -> None:
    (whole,) = open_sets([str(stored)], SetOptions())
    (half,) = open_sets([str(stored)], SetOptions(limit=2))
    assert list(whole.pairs.keys) == ["p0", "p1", "p2", "p3"] and list(half.pairs.keys) == ["p0", "p2"]
    assert "2 of its 4 pairs" in half.words and "pairs as stored" in whole.words


def test_raw_files_give_a_set_a_software(tmp_path: Path) -> None:
    raws = tmp_path / "raws"
    raws.mkdir()
    (raws / "a.dng").write_bytes(dng.dng(dng.sensor(dng.photograph("coffee", 96, 128))))
    (raws / "broken.dng").write_bytes(b"nothing")
    told: list[str] = []
    options = SetOptions(work=str(tmp_path / "work"), software=("rawpy",))
    for place in (str(raws), str(raws / "*.dng")):
        (found,) = open_sets([place], options, tell=told.append)
        assert found.name == f"{place} [rawpy]" and "1 real RAW files" in found.words
        assert len(found.pairs) == 3 and set(found.pairs.scenes) == {"a"} and len(found.left_out) == 3
    assert any("broken.dng-rawpy-srgb: left out" in line for line in told)
    assert len(list((tmp_path / "work/pairs").iterdir())) == 3
    both = SetOptions(work=str(tmp_path / "work"), software=("rawpy", "camera"))
    (found,) = open_sets([str(raws / "a.dng")], both)
    assert list(found.left_out) == ["a.dng-camera-jpeg"]
    with pytest.raises(UsageError, match="none of 1 RAW files could be developed"):
        open_sets([str(raws / "broken.dng")], options)
    with pytest.raises(UsageError, match="--work FOLDER"):
        open_sets([str(raws)], SetOptions(work="memory://work"))


def test_raw_files_by_name_are_one_set(tmp_path: Path) -> None:
    names = ("coffee", "astronaut")
    for name in names:
        (tmp_path / f"{name}.dng").write_bytes(dng.dng(dng.sensor(dng.photograph(name, 96, 128))))
    options = SetOptions(work=str(tmp_path / "work"), software=("rawpy",), crop=64, renditions=1)
    places = [str(tmp_path / "coffee.dng"), "synthetic", str(tmp_path / "astronaut.dng")]
    found = open_sets(places, options)
    assert [each.name for each in found] == ["2 RAW files [rawpy]", "synthetic"]
    assert set(found[0].pairs.scenes) == set(names) and found[0].words.startswith("2 real RAW files, developed")


def test_the_synthetic_set(tmp_path: Path) -> None:
    (found,) = open_sets(["synthetic"], SetOptions(crop=64, renditions=1, seed=3))
    assert found.name == "synthetic" and len(found.pairs) == 4
    assert found.words.startswith("synthetic: 1 random") and "seed 3" in found.words
    Image.fromarray(data.coffee()).save(tmp_path / "own.png")
    (own,) = open_sets(["synthetic"], SetOptions(crop=64, renditions=2, photographs=str(tmp_path)))
    assert list(own.pairs.keys) == ["own.png/0", "own.png/1"] and str(tmp_path) in own.words


def test_places_that_are_no_set(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a set is named once"):
        open_sets([str(stored), str(stored)], SetOptions())
    with pytest.raises(InputAccessError, match="nowhere"):
        open_sets([str(tmp_path / "nowhere")], SetOptions())
    with pytest.raises(UsageError, match="no pairs in"):
        open_sets([str(tmp_path)], SetOptions())


def test_a_fingerprint_is_of_all_that_is_read(make_pair: Callable[..., Pair], pair_set: Callable[..., Any]) -> None:
    first = make_pair(0)
    base = fingerprint(pair_set([first, make_pair(1)]))
    assert base == fingerprint(pair_set([make_pair(0), make_pair(1)])) and len(base) == 64
    srgb, raw = first.srgb.clone(), first.raw.clone()
    srgb[0, 0, 0] ^= 1
    raw[3, -1, -1] += 1e-6
    changed: list[dict[str, Any]] = [
        {"srgb": srgb}, {"raw": raw}, {"meta": {}}, {"key": "q"}, {"scene": "other"}, {"frame": first.srgb}
    ]  # fmt: skip
    others = [fingerprint(pair_set([Pair(**{**vars(first), **change}), make_pair(1)])) for change in changed]
    lost = fingerprint(pair_set([InputAccessError("gone"), make_pair(1)]))
    assert len({base, lost, *others}) == 2 + len(changed)


def test_a_window_is_scored_with_its_frame_s_style(make_pair: Callable[..., Pair], pair_set: Any) -> None:
    """The network sees the frame that a pair carries: other frames, other RAW; a method without a style does not."""
    dark, bright = (torch.full((3, 32, 32), level, dtype=torch.uint8) for level in (20, 240))
    alone = make_pair(0)
    framed = [Pair(**{**vars(alone), "frame": frame, "key": key}) for frame, key in ((dark, "d"), (bright, "b"))]
    for name, differ in (("rst_isp_net_small", True), ("unprocess", False)):
        first, other = (row.scores["psnr"] for row in evaluate(ReverseISP(name, seed=0), pair_set(framed)).rows)
        assert (first != other) is differ
