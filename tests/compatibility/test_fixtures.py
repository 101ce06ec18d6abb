"""Files as earlier versions wrote them: today's code reads, verifies, goes on with and replays them.

A fixture for each version of a format; how to add one: docs/formats.md.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

import rawsynth
from rawsynth import AddNoise, RawImage
from rawsynth.corpus.reading import unit_scale
from rawsynth.pipeline import environment
from rawsynth.raw.levels import Levels
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.quantize import quantize
from tests.compatibility.figures import CORPORA, ROOT, config_of, network_figures, put, read_figures

HERE = Path(__file__).parent
FIXTURES = sorted(path.parent for path in HERE.glob("*/expected.json"))
_DECIDE_BYTES = ("torch", "numpy", "pillow", "machine", "cpu")


@pytest.fixture(params=FIXTURES, ids=lambda folder: folder.name)
def expected(request: pytest.FixtureRequest, memory: fsspec.AbstractFileSystem) -> Any:
    """A fixture on ``memory://``; its expectations."""
    put(request.param)
    return json.loads((request.param / "expected.json").read_text("utf-8"))


def as_it_was(expected: dict[str, Any]) -> bool:
    """Whether bytes can be expected to be the same to the last bit."""
    now = environment.describe("cpu")
    return all(now[name] == expected["environment"][name] for name in _DECIDE_BYTES)


def samples_of(corpus: str) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    fs = fsspec.filesystem("memory")
    for path in sorted(fs.glob(f"/compatibility/{corpus}/*.tar")):
        found: dict[str, dict[str, bytes]] = {}
        with tarfile.open(fileobj=io.BytesIO(fs.cat_file(path))) as archive:
            for member in archive:
                key, _, extension = member.name.partition(".")
                found.setdefault(key, {})[extension] = archive.extractfile(member).read()  # type: ignore[union-attr]
        yield from ((json.loads(members["json"]), members) for members in found.values())


def test_there_is_a_fixture_and_all_are_small() -> None:
    assert FIXTURES
    for folder in FIXTURES:
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 100_000


def test_everything_is_read_as_it_was_written(expected: dict[str, Any]) -> None:
    assert read_figures() == expected["read"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_verifies(expected: dict[str, Any], corpus: str) -> None:
    report = rawsynth.verify(f"{ROOT}/{corpus}")
    assert report.ok, report.problems
    assert report.samples == 4


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_same_command_goes_on_with_it(expected: dict[str, Any], corpus: str, memory: Any) -> None:
    """A shard that is missing is made; the finished ones and the plan stay."""
    records = memory.glob(f"/compatibility/{corpus}/records/*.json")
    plan = memory.cat_file(f"/compatibility/{corpus}/dataset.json")
    before = {path: memory.cat_file(path) for path in memory.glob(f"/compatibility/{corpus}/**/*.tar")}
    again = rawsynth.generate(config_of(corpus))
    assert again.exit_code == 0 and again.skipped_shards == again.shards == 2
    memory.rm(records[0])
    assert rawsynth.generate(config_of(corpus)).exit_code == 0
    assert rawsynth.verify(f"{ROOT}/{corpus}").ok
    now = json.loads(memory.cat_file(f"/compatibility/{corpus}/dataset.json"))
    then = json.loads(plan)
    # Options that are new stand in the configuration with their defaults, and in nothing that decides bytes.
    for section, stated in then.pop("config").items():
        found = now["config"][section]
        assert found.items() >= stated.items() if isinstance(stated, dict) else found == stated
    assert {name: now[name] for name in then if name != "seal"} == {n: v for n, v in then.items() if n != "seal"}
    if as_it_was(expected):
        assert {path: memory.cat_file(path) for path in before} == before


def test_recorded_noise_is_added_again(expected: dict[str, Any]) -> None:
    for meta, members in samples_of("corpus"):
        clean = RawImage(unit_scale(members["clean.npy"], meta["clean"]["levels"]), RawMetadata.from_json(meta["raw"]))
        (entry,) = meta["noisy"]
        model = AddNoise(entry["noise"]["model"], shot=0.01, read=1e-4)
        noisy = model.apply_params(RawImage.stack([clean]), [entry["noise"]])[0].packed
        made = quantize(noisy, Levels(**entry["levels"])).to(torch.int32)
        stored = torch.from_numpy(np.load(io.BytesIO(members[entry["member"]])).astype("int32"))
        # Clean RAW is stored in 16 bits, noise was added before that: a DN of 14 bits is four of these.
        assert int((made - stored).abs().max()) <= 1


def test_the_network_makes_the_same_raw(expected: dict[str, Any]) -> None:
    assert network_figures() == pytest.approx(expected["network"], abs=1e-4)


def test_noise_on_read_is_that_of_the_corpus(expected: dict[str, Any]) -> None:
    add_noise = AddNoise.from_corpus(f"{ROOT}/clean-corpus")
    for sample in rawsynth.open_corpus(f"{ROOT}/clean-corpus", shuffle=0):
        noisy = add_noise.replay(RawImage.stack([sample["raw"]]), sample["meta"]["noise_draws"])
        assert noisy.metadata.shot[0].tolist() == pytest.approx([0.01] * 4)
