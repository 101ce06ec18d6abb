"""record: what makes a shard done is read back exactly, or not at all."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth import storage
from rawsynth.errors import CorpusError
from rawsynth.pipeline.record import PartRecord, ShardRecord, record_url
from rawsynth.storage.sealed import read_sealed, write_sealed

RECORD = ShardRecord(
    shard="a/b",
    config_digest="c0ffee",
    inputs=[["in/a.tar", 1024], ["in/gone.tar", None]],
    members=["json", "clean.npy", "noisy.npy"],
    parts=[PartRecord("a/b-00.tar", 10240, "00ff", 2), PartRecord("a/b-val-00.tar", 512, "11", 1, "val")],
    sources=5,
    samples=3,
    skipped=1,
    lost=1,
    errors=[{"key": "é\udce9", "stage": "decode", "cause": 'a "quoted" cause\n'}],
    skips=[{"key": "k", "reason": "too small"}],
    environment={"torch": "2.13.0"},
    run={"host": "here", "seconds": 1.5},
)


def test_a_record_survives(tmp_path: Path) -> None:
    RECORD.save(str(tmp_path))
    assert ShardRecord.load(str(tmp_path), "a/b") == RECORD
    assert (tmp_path / "records/a/b.json").exists()


def test_a_record_survives_in_memory(memory: fsspec.AbstractFileSystem) -> None:
    RECORD.save("memory://corpus")
    assert ShardRecord.load("memory://corpus", "a/b") == RECORD


def test_no_record_is_none(tmp_path: Path) -> None:
    assert ShardRecord.load(str(tmp_path), "a/b") is None


def test_a_record_replaces_the_one_before(tmp_path: Path) -> None:
    RECORD.save(str(tmp_path))
    replace(RECORD, lost=0, errors=[]).save(str(tmp_path))
    loaded = ShardRecord.load(str(tmp_path), "a/b")
    assert loaded is not None and loaded.lost == 0
    assert [p.name for p in (tmp_path / "records/a").iterdir()] == ["b.json"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_damaged_byte_is_found(tmp_path: Path, where: float, value: int) -> None:
    """White space apart, which changes nothing."""
    RECORD.save(str(tmp_path))
    path = tmp_path / "records/a/b.json"
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] = value
    path.write_bytes(content)
    try:
        assert ShardRecord.load(str(tmp_path), "a/b") == RECORD
    except CorpusError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_record_cut_short_is_found(tmp_path: Path, share: float) -> None:
    RECORD.save(str(tmp_path))
    path = tmp_path / "records/a/b.json"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CorpusError, match=r"b\.json is damaged.*Delete it to make the shard again"):
        ShardRecord.load(str(tmp_path), "a/b")


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(RECORD).items() if name != field}


FOREIGN = [
    ("another version's field", {**asdict(RECORD), "colour": "blue"}),
    ("a field too few", without("sources")),
    ("no parts", without("parts")),
    ("parts of another kind", {**asdict(RECORD), "parts": [{"file": "a"}]}),
    ("no list of parts", {**asdict(RECORD), "parts": 3}),
]


@pytest.mark.parametrize("body", [row[1] for row in FOREIGN], ids=[row[0] for row in FOREIGN])
def test_what_is_no_record_names_itself(tmp_path: Path, body: dict[str, Any]) -> None:
    write_sealed(record_url(str(tmp_path), "a/b"), body)
    with pytest.raises(CorpusError, match=r"b\.json"):
        ShardRecord.load(str(tmp_path), "a/b")


NOT_SEALED = ["", "null", "[]", "3", '"text"', "{}", '{"seal": 1}', '{"seal": null}', "{" * 5000, "\x00", "[" * 100_000]


@pytest.mark.parametrize("text", NOT_SEALED, ids=lambda text: repr(text[:12]))
def test_what_is_not_sealed_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CorpusError, match=r"a\.json is damaged"):
        read_sealed(str(tmp_path / "a.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.dictionaries(st.text().filter(lambda name: name != "seal"), JSON, max_size=4))
def test_sealed_round_trip(tmp_path: Path, body: dict[str, Any]) -> None:
    url = str(tmp_path / "a.json")
    write_sealed(url, body)
    assert read_sealed(url) == body
    assert isinstance(json.loads(storage.read_bytes(url))["seal"], str)
