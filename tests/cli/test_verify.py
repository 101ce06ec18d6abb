"""verify, the verb: one line a problem, and an exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def corpus(photos: Path, tmp_path: Path, make_corpus: Callable[..., Any]) -> Path:
    """Five samples in three shards."""
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    return tmp_path / "corpus"


def test_a_sound_corpus(cli: Cli, corpus: Path) -> None:
    done = cli("verify", corpus)
    assert done.code == 0
    assert f"{corpus} is sound: 5 samples in 3 parts of 3 shards" in done.out and "0 images lost" in done.out


def test_quiet_prints_problems_only(cli: Cli, corpus: Path) -> None:
    assert (cli("verify", corpus, "--quiet").out, cli("verify", corpus, "--quiet").code) == ("", 0)
    (corpus / "images-00001-00.tar").unlink()
    done = cli("verify", corpus, "--quiet")
    assert done.code == 1 and len(done.out.splitlines()) == 1


def test_as_json(cli: Cli, corpus: Path) -> None:
    sound = cli("verify", corpus, "--json", "--quiet")
    told = json.loads(sound.out)
    assert sound.code == 0 and told["ok"] is True and (told["samples"], told["parts"], told["problems"]) == (5, 3, [])
    (corpus / "images-00001-00.tar").unlink()
    done = cli("verify", corpus, "--json")
    told = json.loads(done.out)
    assert done.code == 1 and told["ok"] is False and "images-00001-00.tar" in told["problems"][0]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("flipped bit", lambda c: flip(c / "images-00001-00.tar"), "images-00001-00.tar: its sha256"),
    ("cut", lambda c: (c / "images-00001-00.tar").write_bytes(b""), "images-00001-00.tar: 0 bytes"),
    ("missing part", lambda c: (c / "images-00001-00.tar").unlink(), "images-00001-00.tar: cannot read"),
    ("stray part", lambda c: (c / "images-00009-00.tar").write_bytes(b""), "images-00009-00.tar: no record"),
    ("damaged record", lambda c: flip(c / "records/images-00001.json"), "records/images-00001.json is damaged"),
    ("undone shard", lambda c: (c / "records/images-00001.json").unlink(), "shard images-00001 is not done"),
]


@pytest.mark.parametrize(("damage", "line"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_damage_is_named(cli: Cli, corpus: Path, damage: Callable[[Path], object], line: str) -> None:
    damage(corpus)
    done = cli("verify", corpus)
    assert done.code == 1 and "is sound" not in done.out
    assert all(said.startswith(f"{corpus}: ") for said in done.out.splitlines())
    assert line in done.out


@pytest.mark.parametrize("what", ["nowhere", "folder", "damaged"])
def test_what_is_no_corpus(cli: Cli, tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/dataset.json").write_text("[]")
    done = cli("verify", tmp_path / what)
    assert done.code == 1
    assert done.err.startswith("rawsynth verify: ") and str(tmp_path / what) in done.err


def test_a_corpus_must_be_named(cli: Cli) -> None:
    done = cli("verify")
    assert done.code == 2 and "usage: rawsynth verify" in done.err
