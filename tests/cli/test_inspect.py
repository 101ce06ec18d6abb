"""inspect: every kind of file says what it is, and nothing else is taken for one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import rawsynth
from rawsynth.cameras import format_camera, load_camera
from rawsynth.methods.rst_isp_net_small import Style
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.weights import ModelCard, save_weights
from rawsynth.pipeline.record import ShardFailure
from tests import dng

Cli = Callable[..., Any]
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo_tar: Callable[..., Path]) -> Path:
    """A folder with one of each kind."""
    root = tmp_path_factory.mktemp("inspected")
    photo_tar(root / "in/photos.tar", 2)
    noise = {"noise": "heteroscedastic_gaussian", "shot": 0.01, "read": 0.0004}
    make_corpus(root / "in", root / "corpus", noise=noise)
    rawsynth.write_index(str(root / "corpus"))
    rawsynth.write_index(str(root / "corpus"), str(root / "index.parquet"))
    images = pa.array([{"bytes": b"an image", "path": "a.jpg"}] * 3)
    pq.write_table(pa.table({"image": images, "label": [1, 2, 3]}), root / "table.parquet")
    pq.write_table(pa.table({"url": ["https://a/b.jpg"]}), root / "urls.parquet")
    ShardFailure("photos", "0" * 64, "access", "the cable is out").save(str(root / "corpus"))
    save_weights(str(root / "w.safetensors"), "tiny", {"width": 2}, {"a": torch.zeros(3, 4)}, ModelCard(camera="X"))
    style = Style(torch.zeros(1, 4), torch.zeros(1, 5))
    save_style(str(root / "s.safetensors"), FittedStyle(style, "fixed", "f" * 64, StyleCard(camera="Y")))
    (root / "camera.toml").write_text(format_camera(load_camera("Sony ILCE-7SM2")))
    return root


KINDS = [
    ("corpus", "a corpus", {"samples": 2, "seed": 0}),
    ("corpus/photos-00.tar", "a tar part of a corpus", {"samples": 2, "first key": "photos/s00"}),
    ("in/photos.tar", "a tar shard of WebDataset samples", {"samples": 2, "members": {"png": 2}}),
    ("corpus/records/photos.json", "the record of a finished shard", {"samples": 2, "lost": 0}),
    ("corpus/failures/photos.json", "why a shard could not be made", {"cause": "the cable is out"}),
    ("corpus/dataset.json", "the plan of a corpus", {"shards": 1}),
    ("corpus/index.jsonl", "the index of a corpus", {"samples": 2, "parts": 1}),
    ("index.parquet", "the index of a corpus", {"samples": 2, "parts": 1}),
    ("table.parquet", "a table", {"rows": 3, "images in": "image"}),
    ("urls.parquet", "a table", {"rows": 1, "columns": {"url": "string"}}),
    ("w.safetensors", "weights of a reverse ISP, sound", {"architecture": "tiny", "parameters": 12}),
    ("s.safetensors", "a style of a camera and its ISP, sound", {"exposure": "fixed"}),
    ("camera.toml", "a camera", {"camera": "Sony ILCE-7SM2", "cfa": "RGGB"}),
]


@pytest.mark.parametrize(("name", "kind", "facts"), KINDS, ids=[row[0] for row in KINDS])
def test_kinds(cli: Cli, files: Path, name: str, kind: str, facts: dict[str, Any]) -> None:
    done = cli("inspect", files / name, "--json")
    found = json.loads(done.out)
    assert done.code == 0 and found["kind"] == kind and found["name"] == str(files / name)
    assert {key: found[key] for key in facts} == facts
    words = cli("inspect", files / name)
    assert words.code == 0 and words.out.startswith(f"{files / name}: {kind}\n") and len(words.out.splitlines()) > 3


def test_samples_of_a_corpus(cli: Cli, files: Path) -> None:
    done = cli("inspect", files / "corpus", "photos/s00", "photos/s01", "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert done.code == 0 and (first["name"], second["name"]) == ("photos/s00", "photos/s01")
    assert first["raw"]["cfa"] == "RGGB" and first["noise"]["shot"] == pytest.approx([0.01] * 4)
    assert set(first["noise, measured / model"]) == {"R", "Gr", "Gb", "B"}
    assert all(0.7 < ratio < 1.3 for ratio in first["noise, measured / model"].values())
    assert "mean" in cli("inspect", files / "corpus", "photos/s00").out


def test_a_raw_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "shot.dng").write_bytes(dng.dng(dng.sensor(dng.photograph("coffee", 64, 96), "GBRG"), "GBRG"))
    found = json.loads(cli("inspect", tmp_path / "shot.dng", "--json").out)
    assert found["kind"] == "a camera RAW file" and found["cfa"] == "GBRG" and found["size"] == "96 x 64 sites"
    assert (found["black"], found["white"], found["iso"]) == ([dng.BLACK] * 4, dng.WHITE, 800)
    assert found["camera"] == "Acme Cam One" and found["as-shot gains, R and B"] == pytest.approx(dng.GAINS, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("notes.txt", b"hello", 2),
        ("photo.jpg", b"\xff\xd8\xff", 2),
        ("data.json", b'{"a": 1}', 2),
        ("broken.json", b"{", 2),
        ("config.toml", b"[noise]\n", 2),
        ("w.safetensors", b"12345678{", 2),
        ("no.tar", b"x" * 2000, 1),
        ("no.parquet", b"x" * 2000, 1),
        ("shot.dng", b"II*\0", 1),
    ],
)
def test_nothing_of_these(cli: Cli, tmp_path: Path, name: str, content: bytes, code: int) -> None:
    (tmp_path / name).write_bytes(content)
    done = cli("inspect", tmp_path / name)
    assert done.code == code and done.out == "" and str(tmp_path / name) in done.err
    assert len(done.err.splitlines()) == 1


def test_folders_missing_files_and_unknown_keys(cli: Cli, files: Path, tmp_path: Path) -> None:
    assert "no corpus" in cli("inspect", tmp_path).err
    missing = cli("inspect", tmp_path / "gone.tar")
    assert missing.code == 1 and "gone.tar" in missing.err
    unknown = cli("inspect", files / "corpus", "nobody")
    assert unknown.code == 2 and "no sample 'nobody'" in unknown.err


def test_changed_weights_are_not_called_sound(cli: Cli, files: Path, tmp_path: Path) -> None:
    content = bytearray((files / "w.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "w.safetensors").write_bytes(content)
    done = cli("inspect", tmp_path / "w.safetensors")
    assert done.code == 2 and "damaged" in done.err
