"""generate with learned weights: the corpus is the network's RAW, and belongs to the weights' content."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

import rawsynth
from rawsynth import AddNoise, RawImage, ReverseISP
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.weights import ModelCard, save_weights

Cli = Callable[..., Any]
CONFIG = {"preset": "p20", "width": 2}
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
CARD = ModelCard(camera="Pinhole 1", cam_from_srgb=MATRIX, white_balance=[2.125, 1.5])


@cache
def state() -> dict[str, Tensor]:
    """Weights of a narrow network whose RAW of photographs stays between black and white, but for what is under it."""
    torch.manual_seed(0)
    network = RstIspNet.build(CONFIG)
    with torch.no_grad():
        photograph = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, :96, 100:228]
        network.tail.weight.mul_(0.3 / network(photograph / 255.0).std())
    return network.state_dict()


def save(path: Path, **changes: Any) -> str:
    values = {"architecture": "rst_isp_net", "config": CONFIG, "tensors": state(), "card": CARD, **changes}
    return save_weights(str(path), **values)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save(tmp_path / "nets/pinhole.safetensors")
    return tmp_path / "nets/pinhole.safetensors"


@pytest.fixture
def generate(cli: Cli, photos: Path, weights: Path) -> Cli:
    """``generate(corpus, *options, weights=)``."""

    def run(corpus: Path, *options: Any, weights: Path | str = weights) -> Any:
        return cli("generate", photos, corpus, "--method", "rst_isp_net", "--weights", weights, "--quiet", *options)

    return run


def everything_under(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def source_image(photos: Path, url: str) -> Tensor:
    pixels = np.asarray(Image.open(photos / url if not Path(url).is_absolute() else url).convert("RGB"))
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)


def array(member: bytes) -> Any:
    return np.load(io.BytesIO(member), allow_pickle=False)


# ---- done ----


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_the_corpus_is_the_networks_raw(
    cfa: str, generate: Cli, cli: Cli, photos: Path, weights: Path, tmp_path: Path, read_samples: Callable[..., Any]
) -> None:
    """Also of an odd image; clean and noisy replay from the sample's own JSON."""
    corpus = tmp_path / "corpus"
    done = generate(corpus, "--cfa", cfa, "--seed", "5", "--realizations", "2")
    assert done.code == 0 and "5 samples from 5 images" in done.out
    assert cli("verify", corpus).code == 0
    to_raw = ReverseISP("rst_isp_net", weights)
    samples = read_samples(corpus)
    assert len(samples) == 5
    for sample in samples.values():
        meta = json.loads(sample["json"])
        assert meta["raw"] == {
            "method": "rst_isp_net", "method_version": to_raw.method.version, "camera": "Pinhole 1", "cct": None,
            "cfa": cfa, "cam_from_srgb": MATRIX, "white_balance": [2.125, 1.5], "rgb_gain": 1.0,
        }  # fmt: skip
        clean = to_raw.apply_params(source_image(photos, meta["source"]["url"]), [meta["raw"]])
        assert clean.packed.shape[-2:] == (16, 24) and clean.packed.std() > 0.02
        off = np.abs(array(sample["clean.npy"]) - clean.packed.numpy() * 65535.0)
        assert off.max() <= 1.5  # DN of 16 bits: the rounding, and 1e-5 between batches
        stored = torch.from_numpy(array(sample["clean.npy"]).astype(np.float32)).reshape(clean.shape) / 65535.0
        for entry in meta["noisy"]:
            noisy = AddNoise(entry["noise"]["model"]).apply_params(RawImage(stored, clean.metadata), [entry["noise"]])
            wanted = np.clip(noisy.packed.numpy() * (16383 - 512) + 512, 0, 16383)
            assert np.abs(array(sample[entry["member"]]) - wanted).max() <= 0.51


def test_it_reads_as_any_corpus(generate: Cli, weights: Path, tmp_path: Path) -> None:
    assert generate(tmp_path / "corpus").code == 0
    pairs = list(rawsynth.open_corpus(str(tmp_path / "corpus")))
    assert len(pairs) == 5
    assert {tuple(pair["noisy"].shape) for pair in pairs} == {(4, 16, 24)}


def test_images_of_many_sizes(
    generate: Cli, cli: Cli, photos: Path, tmp_path: Path, photo: Callable[..., bytes], read_samples: Callable[..., Any]
) -> None:
    sizes = [(16, 16), (17, 200), (201, 18), (64, 64), (63, 65), (90, 130), (91, 131)]
    for index, (height, width) in enumerate(sizes):
        (photos / f"size{index}.png").write_bytes(photo(index, height=height, width=width))
    done = generate(tmp_path / "corpus", "--batch-pixels", "9000")
    assert done.code == 0 and "12 samples from 12 images" in done.out and cli("verify", tmp_path / "corpus").code == 0
    samples = read_samples(tmp_path / "corpus")
    shapes = [array(samples[f"size{index}-png"]["clean.npy"]).shape for index in range(len(sizes))]
    assert shapes == [(4, height // 2, width // 2) for height, width in sizes]


def test_resumed_it_does_nothing(generate: Cli, tmp_path: Path) -> None:
    assert generate(tmp_path / "corpus").code == 0
    before = everything_under(tmp_path / "corpus")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").glob("*.tar")}
    again = generate(tmp_path / "corpus")
    assert again.code == 0 and "1 shard was already done" in again.out
    assert everything_under(tmp_path / "corpus") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").glob("*.tar")} == times


RUNS: dict[str, list[list[str]]] = {
    "again": [[], []],
    "threads": [["--threads", "1"], ["--threads", "2"]],
    "crops": [["--threads", "1", "--crop", "24", "--crops", "3"], ["--threads", "3", "--crop", "24", "--crops", "3"]],
    "half precision": [["--dtype", "bfloat16", "--threads", "1"], ["--dtype", "bfloat16", "--threads", "2"]],
}


@pytest.mark.parametrize("kind", RUNS)
def test_runs_give_the_same_bytes(
    kind: str, generate: Cli, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    for name, options in zip("ab", RUNS[kind], strict=True):
        assert generate(tmp_path / name, *options).code == 0
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b") != {}


def test_one_shard_made_again_is_the_same(
    generate: Cli, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    corpus = tmp_path / "corpus"
    assert generate(corpus, "--images-per-shard", "2").code == 0
    before = hash_tars(corpus)
    (corpus / "records/images-00001.json").unlink()
    (corpus / "images-00001-00.tar").unlink()
    again = generate(corpus, "--images-per-shard", "2")
    assert again.code == 0 and "2 shards were already done" in again.out
    assert hash_tars(corpus) == before and len(before) == 3


def test_half_precision_is_another_corpus_close_by(
    generate: Cli, tmp_path: Path, read_samples: Callable[..., Any]
) -> None:
    assert generate(tmp_path / "exact").code == generate(tmp_path / "half", "--dtype", "bfloat16").code == 0
    refused = generate(tmp_path / "exact", "--dtype", "bfloat16")
    assert refused.code == 2 and "dtype 'float32' -> 'bfloat16'" in refused.err
    exact, half = read_samples(tmp_path / "exact"), read_samples(tmp_path / "half")
    for key, sample in exact.items():
        off = np.abs(array(sample["clean.npy"]).astype(int) - array(half[key]["clean.npy"]))
        assert 0 < off.mean() < 0.01 * 65535
        assert json.loads(sample["json"]) == json.loads(half[key]["json"])


def test_a_dry_run_writes_nothing(generate: Cli, tmp_path: Path) -> None:
    before = everything_under(tmp_path)
    done = generate(tmp_path / "corpus", "--dry-run", "--crop", "16", "--crops", "2")
    assert done.code == 0 and everything_under(tmp_path) == before and not (tmp_path / "corpus").exists()
    assert "method  rst_isp_net" in done.out and "about 10 samples" in done.out


def test_a_toml_file_names_the_weights(
    cli: Cli, generate: Cli, photos: Path, weights: Path, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    (tmp_path / "c.toml").write_text(
        f'input = "{photos}"\noutput = "{tmp_path}/a"\n[method]\nmethod = "rst_isp_net"\nweights = "{weights}"\n'
    )
    assert cli("generate", "--config", tmp_path / "c.toml", "--quiet").code == 0
    assert generate(tmp_path / "b").code == 0
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b")


@pytest.mark.slow
def test_an_image_of_more_than_two_megapixels_is_tiled(
    generate: Cli, photos: Path, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    shutil.rmtree(photos)
    photos.mkdir()
    Image.fromarray(np.tile(data.astronaut(), (3, 3, 1))[:1451, :1453]).save(photos / "large.png")
    for name in ("a", "b"):
        assert generate(tmp_path / name, "--threads", "1" if name == "a" else "2").code == 0
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b")


# ---- the corpus belongs to the weights' content ----


PLACES: dict[str, Callable[[Path], str]] = {
    "moved": lambda root: str(root / "elsewhere/other-name.safetensors"),
    "URL": lambda root: f"file://{root}/elsewhere/net.safetensors",
    "no suffix": lambda root: str(root / "net"),
    "memory": lambda root: "memory://nets/pinhole.safetensors",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("memory")
def test_weights_may_lie_elsewhere_when_it_goes_on(
    place: str, generate: Cli, weights: Path, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    corpus = tmp_path / "corpus"
    assert generate(corpus, "--images-per-shard", "2").code == 0
    before = hash_tars(corpus)
    url = PLACES[place](tmp_path)
    save_weights(url, "rst_isp_net", CONFIG, state(), CARD)
    weights.unlink()
    (corpus / "records/images-00002.json").unlink()
    gone = generate(corpus, "--images-per-shard", "2")
    assert gone.code == 2 and f"cannot read {weights}" in gone.err
    moved = generate(corpus, "--images-per-shard", "2", weights=url)
    assert moved.code == 0 and "2 shards were already done" in moved.out
    assert hash_tars(corpus) == before


CHANGES: dict[str, dict[str, Any]] = {
    "tensors": {"tensors": state() | {"tail.weight": -state()["tail.weight"]}},
    "epsilon": {"config": {**CONFIG, "epsilon": 1e-3}},
    "gains of the card": {"card": CARD.model_copy(update={"white_balance": [2.0, 1.5]})},
    "camera of the card": {"card": CARD.model_copy(update={"camera": "Pinhole 2"})},
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_weights_under_the_same_name_are_another_configuration(
    change: str, generate: Cli, weights: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    assert generate(corpus).code == 0
    before = everything_under(corpus)
    save(weights, **CHANGES[change])
    refused = generate(corpus)
    assert refused.code == 2 and len(refused.err.splitlines()) == 1
    assert "another configuration: weights 'sha256:" in refused.err and "--overwrite" in refused.err
    assert everything_under(corpus) == before
    dry = generate(corpus, "--dry-run")
    assert dry.code == 2 and "another configuration" in dry.err
    assert generate(corpus, "--overwrite").code == 0
    assert everything_under(corpus) != before


def test_another_method_is_another_configuration(generate: Cli, cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("generate", photos, tmp_path / "corpus", "--quiet", "--method", "unprocess").code == 0
    refused = generate(tmp_path / "corpus")
    assert refused.code == 2
    assert "method 'unprocess' -> 'rst_isp_net'" in refused.err and "weights None -> 'sha256:" in refused.err


# ---- wrong usage: 2, one line, and nothing is done ----


class Trace:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def wrong_files(folder: Path) -> dict[str, Path]:
    """Files that are not weights, or not these."""
    files = {name: folder / f"{name}.safetensors" for name in ("cut", "flipped", "text", "empty", "zip", "pickle")}
    save(folder / "sound.safetensors")
    sound = (folder / "sound.safetensors").read_bytes()
    files["cut"].write_bytes(sound[:-1])
    files["flipped"].write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    files["text"].write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    files["empty"].write_bytes(b"")
    torch.save({"state_dict": Trace(folder / "trace")}, files["zip"])
    files["pickle"].write_bytes(pickle.dumps(Trace(folder / "trace")))
    files["pth"] = folder / "net.pth"
    shutil.copy(files["zip"], files["pth"])
    for name, changes in {
        "architecture": {"architecture": "other_net"},
        "width": {"config": {**CONFIG, "width": 3}},
        "nan": {"tensors": state() | {"tail.weight": torch.full((4, 2, 3, 3), float("nan"))}},
    }.items():
        files[name] = folder / f"{name}.safetensors"
        save(files[name], **changes)
    return files


WRONG_FILES = {
    "cut": "cut short or damaged",
    "flipped": "sha256",
    "text": "not a safetensors file",
    "empty": "not a safetensors file",
    "zip": "is a pickle",
    "pickle": "is a pickle",
    "pth": "is a pickle",
    "architecture": "'other_net', not of 'rst_isp_net'",
    "width": "do not fit 'rst_isp_net'",
    "nan": "NaN or infinity",
}


@pytest.mark.parametrize("kind", WRONG_FILES)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_wrong_weights(kind: str, dry: bool, generate: Cli, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    path = wrong_files(tmp_path / "wrong")[kind]
    before = everything_under(tmp_path)
    done = generate(tmp_path / "corpus", *["--dry-run"] * dry, weights=path)
    assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1
    assert done.err.startswith(f"rawsynth generate: {path}") and WRONG_FILES[kind] in done.err
    assert everything_under(tmp_path) == before and not (tmp_path / "corpus").exists()
    assert not (tmp_path / "wrong/trace").exists()


WRONG: dict[str, tuple[list[str], str]] = {
    "no weights": (["--method", "rst_isp_net"], "'rst_isp_net' needs weights=..., a .safetensors file"),
    "no such weights": (["--method", "rst_isp_net", "--weights", "{root}/none.safetensors"], "none.safetensors"),
    "a name that nothing has": (["--method", "rst_isp_net", "--weights", "nothing"], "'nothing'"),
    "a folder": (["--method", "rst_isp_net", "--weights", "{root}"], "directory"),
    "unprocess with weights": (["--method", "unprocess", "--weights", "{net}"], "'unprocess' has no weights"),
    "no such weights of the default": (["--weights", "{root}/none.safetensors"], "none.safetensors"),
    "the default with another's weights": (["--weights", "{net}"], "'rst_isp_net', not of 'rst_isp_net_small'"),
    "a style that is not there": (["--style", "{root}/none.safetensors"], "none.safetensors"),
    "weights for a style": (["--style", "{net}"], "no style"),
    "a style for unprocess": (["--method", "unprocess", "--style", "{net}"], "'unprocess' takes no style"),
    "a style for rst_isp_net": (["{learned}", "--style", "{net}"], "'rst_isp_net' takes no style"),
    "camera": (["{learned}", "--camera", "Sony ILCE-7SM2"], "camera cannot be chosen"),
    "camera and ISO": (["{learned}", "--camera", "Sony ILCE-7SM2", "--iso", "1600"], "camera cannot be chosen"),
    "white balance": (["{learned}", "--white-balance", "2.0,1.5"], "white_balance cannot be chosen"),
    "gain": (["{learned}", "--rgb-gain", "1.25"], "rgb_gain cannot be chosen"),
    "matrix": (["{learned}", "--cam-from-srgb", "[[1,0,0],[0,1,0],[0,0,1]]"], "cam_from_srgb cannot be chosen"),
    "layout of a camera": (["{learned}", "--cfa", "camera"], "give a layout"),
    "unknown type": (["{learned}", "--dtype", "int8"], "int8"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_wrong_usage(kind: str, dry: bool, cli: Cli, photos: Path, weights: Path, tmp_path: Path) -> None:
    options, message = WRONG[kind]
    argv = [part.format(root=tmp_path, net=weights, learned="{learned}") for part in options]
    if "{learned}" in argv:
        argv[:1] = ["--method", "rst_isp_net", "--weights", str(weights)]
    before = everything_under(tmp_path)
    done = cli("generate", photos, tmp_path / "corpus", "--quiet", *["--dry-run"] * dry, *argv)
    assert done.code == 2 and message in done.err and "Traceback" not in done.err
    assert everything_under(tmp_path) == before and not (tmp_path / "corpus").exists()
    if kind != "unknown type":
        assert done.err.startswith("rawsynth generate: ") and len(done.err.splitlines()) == 1
