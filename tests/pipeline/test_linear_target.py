"""linear: the three colours of every site, of which the clean RAW is a sample."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rawsynth import CorpusIndex, ReverseISP, open_corpus, verify
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import color_indices
from tests import dng

Make = Callable[..., Any]
COLOR = {"cam_from_srgb": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.05, 0.25, 0.7]], "white_balance": [2.0, 1.6]}


def sampled(linear: np.ndarray, cfa: str) -> np.ndarray:
    """What a sensor of this layout sees of three colours."""
    return np.stack([linear[c, k // 2 :: 2, k % 2 :: 2] for k, c in enumerate(color_indices(cfa))])


def loaded(sample: dict[str, bytes], member: str) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(sample[member])))


@pytest.mark.parametrize("method", ["unprocess", "rst_isp_net_small"])
@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_the_clean_raw_is_a_sample_of_it(
    photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Make, method: str, cfa: str
) -> None:
    options = {"method": method, "cfa": cfa}
    make_corpus(photos, tmp_path / "c", write={"linear": True}, method=options, image={"crop": (24, 32)})
    samples = read_samples(tmp_path / "c")
    assert len(samples) == 5
    for sample in samples.values():
        linear, entry = loaded(sample, "linear.npy"), json.loads(sample["json"])["linear"]
        assert linear.shape == (3, 24, 32) and linear.dtype == np.uint16
        assert np.array_equal(sampled(linear, cfa), loaded(sample, "clean.npy"))
        assert entry["from"] == "reverse ISP" and entry["levels"]["white_level"] == 65535
    assert verify(str(tmp_path / "c")).ok


def test_it_is_what_a_sensor_of_any_layout_would_see(
    photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Make
) -> None:
    """No interpolation: the sites that the clean RAW lacks are those of another layout's."""
    color = {**COLOR, "rgb_gain": 1.25}
    linears = {}
    for cfa in ("RGGB", "BGGR"):
        write = {"linear": True}
        make_corpus(photos, tmp_path / cfa, write=write, method={**color, "cfa": cfa}, image={"crop": 24})
        linears[cfa] = {k: loaded(s, "linear.npy") for k, s in read_samples(tmp_path / cfa).items()}
    for key, linear in linears["RGGB"].items():
        assert np.array_equal(linear, linears["BGGR"][key])


def test_a_gray_picture_is_gray_after_white_balance(tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    (tmp_path / "in").mkdir()
    shades = np.tile(np.arange(20, 180, 5, dtype=np.uint8), (24, 1))
    Image.fromarray(np.stack([shades] * 3, axis=-1)).save(tmp_path / "in/gray.png")
    make_corpus(tmp_path / "in", tmp_path / "c", write={"linear": True}, method={**COLOR, "rgb_gain": 1.25})
    (sample,) = read_samples(tmp_path / "c").values()
    balanced = loaded(sample, "linear.npy") * np.array([2.0, 1.0, 1.6])[:, None, None]
    assert np.abs(balanced - balanced[1]).max() <= 2


def test_of_camera_raw_it_is_interpolated(tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    (tmp_path / "in").mkdir()
    scene = dng.photograph("coffee")[60:108, 180:244]
    (tmp_path / "in/a.dng").write_bytes(dng.dng(dng.sensor(scene, "GRBG"), "GRBG"))
    method = {"cfa": "camera", "camera": "Nikon D850"}
    make_corpus(tmp_path / "in", tmp_path / "c", write={"linear": True}, method=method)
    (sample,) = read_samples(tmp_path / "c").values()
    linear, meta = loaded(sample, "linear.npy"), json.loads(sample["json"])
    assert meta["linear"]["from"] == "bilinear demosaic" and meta["linear"]["levels"] == meta["clean"]["levels"]
    assert np.array_equal(sampled(linear, "GRBG"), loaded(sample, "clean.npy"))
    code = scene / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4) * 0.8
    truth = (light @ dng.CAM_FROM_SRGB.T / np.array([dng.GAINS[0], 1, dng.GAINS[1]])).transpose(2, 0, 1)
    unit = (linear.astype(float) - 4096) / (65535 - 4096)
    for channel in range(3):
        assert np.corrcoef(unit[channel].ravel(), truth[channel].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("clean_only", [True, False])
def test_it_comes_with_the_pairs(photos: Path, tmp_path: Path, make_corpus: Make, cli: Make, clean_only: bool) -> None:
    write = {"linear": True, "clean_only": clean_only}
    make_corpus(photos, tmp_path / "c", write=write, image={"crop": 24})
    assert cli("index", tmp_path / "c").code == 0
    index = CorpusIndex.open(str(tmp_path / "c"))
    for pair in open_corpus(str(tmp_path / "c"), shuffle=0):
        linear, cfa = pair["linear"], pair["meta"]["raw"]["cfa"]
        clean = pair["raw"].packed if clean_only else pair["clean"]
        assert linear.shape == (3, 24, 24) and linear.dtype == torch.float32
        assert np.array_equal(sampled(linear.numpy(), cfa), clean.numpy())
        assert torch.equal(index[pair["meta"]["key"]]["linear"], linear)


def test_nothing_else_changes(photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    for name, linear in (("with", True), ("without", False)):
        make_corpus(photos, tmp_path / name, write={"linear": linear})
    more, fewer = read_samples(tmp_path / "with"), read_samples(tmp_path / "without")
    for key, sample in fewer.items():
        assert set(more[key]) - set(sample) == {"linear.npy"}
        assert all(more[key][name] == sample[name] for name in ("clean.npy", "noisy.npy"))


def test_a_corpus_is_of_one_kind(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "with", write={"linear": True})
    with pytest.raises(UsageError, match="linear True -> False"):
        make_corpus(photos, tmp_path / "with")
    make_corpus(photos, tmp_path / "without")
    with pytest.raises(UsageError, match="linear False -> True"):
        make_corpus(photos, tmp_path / "without", write={"linear": True})


def test_the_transform_gives_the_same(photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Make) -> None:
    """A sample's parameters with another layout make the other sites, as the docs say."""
    make_corpus(photos, tmp_path / "c", write={"linear": True})
    sample = read_samples(tmp_path / "c")["coffee-PNG"]
    picture = torch.from_numpy(np.asarray(Image.open(photos / "coffee.PNG")).copy()).permute(2, 0, 1)
    raw = json.loads(sample["json"])["raw"]
    other = ReverseISP("unprocess").apply_params(picture[None], [{**raw, "cfa": "BGGR"}])
    wanted = np.rint(other.packed[0].numpy().astype(float) * 65535)
    assert np.abs(sampled(loaded(sample, "linear.npy"), "BGGR") - wanted).max() <= 1
