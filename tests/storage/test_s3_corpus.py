"""Corpora whose input and output are on S3: the same bytes as on a disk, whatever goes wrong on the way."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth import open_corpus, storage
from rawsynth.corpus.verify import verify
from rawsynth.errors import OutputError
from rawsynth.methods.weights import load_weights, packaged_weights
from rawsynth.pipeline.config import build_config
from rawsynth.pipeline.dataset import open_dataset
from rawsynth.pipeline.run import run_shard
from rawsynth.pipeline.synthesize import Synthesizer
from tests.storage.s3_server import FaultyStore, Request, at_random

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]
OPTIONS = {"read": {"keep": ["txt"], "images_per_shard": 5}, "compute": {"device": "cpu", "compile": "off"}}


@pytest.fixture
def source(tmp_path: Path, photo: Callable[..., bytes], photo_tar: Callable[..., Path]) -> Path:
    """Eight photographs, four of them in a tar, with a caption and a file that is no image."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(4):
        (folder / f"p{index}.png").write_bytes(photo(index))
    (folder / "p1.txt").write_bytes(b"a caption")
    (folder / "broken.jpg").write_bytes(b"no image")
    photo_tar(folder / "t.tar", 4, first=4)
    return folder


def upload(folder: Path, url: str) -> None:
    for path in sorted(folder.rglob("*")):
        storage.write_atomic(storage.join(url, path.relative_to(folder).as_posix()), path.read_bytes())


def without_run(record: dict[str, Any], root: str) -> dict[str, Any]:
    """A record but for when and where it was made."""
    return {
        **{key: value for key, value in record.items() if key not in ("run", "seal", "parts", "environment")},
        "inputs": [[url.removeprefix(root), size] for url, size in record["inputs"]],
    }


def records(corpus: str) -> dict[str, dict[str, Any]]:
    folder = storage.join(corpus, "records")
    return {path: json.loads(storage.read_bytes(storage.join(folder, path))) for path, _ in storage.walk_files(folder)}


# "late" is rare: it costs a timeout each.
FAULTS = ("500", "503", "429", "reset", "truncated", "lost reply") * 3 + ("late",)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_corpus_under_faults_is_the_local_one(
    source: Path, tmp_path: Path, s3: FaultyStore, make_corpus: Make, hash_tars: Hash,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    upload(source, "s3://bucket/in")
    made = make_corpus("s3://bucket/in", tmp_path / "sound", **OPTIONS)
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "2")
    # Threads decide which request meets a fault, so that a call might by chance meet five.
    monkeypatch.setattr("rawsynth.storage.retrying._ATTEMPTS", 30)
    s3.choose = at_random(0.2, FAULTS, seed)
    summary = make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS)
    again = make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS)
    report = verify("s3://bucket/corpus")
    kinds = set(s3.injected)
    s3.choose = lambda request: None
    assert summary.exit_code == made.exit_code == 0 and (summary.samples, summary.lost) == (8, 1)
    assert again.skipped_shards == again.shards == 2
    assert report.ok and len(kinds) >= 5
    assert hash_tars("s3://bucket/corpus") == hash_tars(tmp_path / "sound")
    theirs, ours = records("s3://bucket/corpus"), records(str(tmp_path / "sound"))
    assert {n: without_run(r, "s3://bucket") for n, r in theirs.items()} == {
        n: without_run(r, "s3://bucket") for n, r in ours.items()
    }
    assert len(list(open_corpus("s3://bucket/corpus", shuffle=0))) == 8


def test_what_a_local_input_gives(
    source: Path, tmp_path: Path, s3: FaultyStore, make_corpus: Make, read_samples: Callable[..., Any]
) -> None:
    """But for the source's URL in the metadata, samples do not depend on where the images are."""
    upload(source, "s3://bucket/in")
    make_corpus(source, tmp_path / "local", **OPTIONS)
    make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS)
    local, remote = read_samples(tmp_path / "local"), read_samples("s3://bucket/corpus")
    assert list(local) == list(remote) and len(local) == 8
    for key, members in local.items():
        assert members.pop("json").replace(str(source).encode(), b"s3://bucket/in") == remote[key].pop("json")
        assert members == remote[key]


def test_an_input_out_of_reach_leaves_its_shard_undone(
    source: Path, s3: FaultyStore, make_corpus: Make
) -> None:
    upload(source, "s3://bucket/in")
    s3.choose = lambda request: "500" if request.method == "GET" and request.about == "in/p2.png" else None
    summary = make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS)
    assert list(summary.failed) == ["images-00000"] and "in/p2.png" in summary.failed["images-00000"]
    assert storage.list_names("s3://bucket/corpus/records") == {"t.json"}
    assert not [name for name in storage.list_names("s3://bucket/corpus") if name.startswith("images")]
    s3.choose = lambda request: None
    assert make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS).exit_code == 0
    assert verify("s3://bucket/corpus").ok


def test_the_shard_s_record_is_the_last_that_is_written(source: Path, s3: FaultyStore, make_corpus: Make) -> None:
    upload(source, "s3://bucket/in")
    s3.choose = lambda request: "500" if request.method == "PUT" and "/records/" in request.path else None
    with pytest.raises(OutputError, match=r"cannot write s3://bucket/corpus/records/.*tried 5 times"):
        make_corpus("s3://bucket/in", "s3://bucket/corpus", **OPTIONS)
    s3.choose = lambda request: None
    assert not storage.exists("s3://bucket/corpus/records")


# ---- what a shard costs ----


def requests_of_a_shard(s3: FaultyStore, source: str) -> Counter[str]:
    asked = {"input": source, "output": "s3://bucket/corpus", "method": {"method": "unprocess"}}
    dataset = open_dataset(build_config({**asked, "compute": OPTIONS["compute"]}), lambda message: None)
    (shard,) = dataset.shards
    synthesizer = Synthesizer(dataset.config)
    s3.log.clear()
    run_shard(shard, dataset.config, synthesizer, digest="", threads=2)
    return Counter(kind_of(request) for request in s3.log)


def kind_of(request: Request) -> str:
    return "LIST" if "list-type" in request.path else request.method


WRITTEN = Counter({"PUT": 2, "HEAD": 2 + 1, "LIST": 1})
"""A part and the record, each asked for its size when it is up; and whether an earlier attempt left another part."""


@pytest.mark.parametrize("images", [1, 8])
def test_requests_of_a_shard_of_files(s3: FaultyStore, photo: Callable[..., bytes], images: int) -> None:
    for index in range(images):
        storage.write_atomic(f"s3://bucket/in/{index}.png", photo(index))
    assert requests_of_a_shard(s3, "s3://bucket/in") == WRITTEN + Counter({"GET": images})


@pytest.mark.parametrize("block", [12_000, 8 << 20])
def test_requests_of_a_tar(
    tmp_path: Path, s3: FaultyStore, photo_tar: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", block)
    tar = photo_tar(tmp_path / "t.tar", 8).read_bytes()
    storage.write_atomic("s3://bucket/in/t.tar", tar)
    blocks = math.ceil(len(tar) / block)
    assert requests_of_a_shard(s3, "s3://bucket/in") == WRITTEN + Counter({"HEAD": 1, "GET": blocks})


# ---- what else is read from a store ----


def test_configuration_camera_and_weights_from_a_store(
    source: Path, s3: FaultyStore, cli: Callable[..., Any], hash_tars: Hash
) -> None:
    upload(source, "s3://bucket/in")
    toml = 'input = "s3://bucket/in"\noutput = "s3://bucket/corpus"\n[method]\nmethod = "unprocess"\n'
    storage.write_atomic("s3://bucket/mine.json", cli("cameras", "Sony ILCE-7SM2", "--json").out.encode())
    storage.write_atomic("s3://bucket/c.toml", f'{toml}camera = "s3://bucket/mine.json"\n'.encode())
    assert cli("generate", "--config", "s3://bucket/c.toml", "--quiet").code == 0
    assert len(hash_tars("s3://bucket/corpus")) == 2
    name, path = next(iter(packaged_weights().items()))
    storage.write_atomic("s3://bucket/w.safetensors", Path(path).read_bytes())
    assert load_weights("s3://bucket/w.safetensors").digest == load_weights(name).digest
