"""export, the verb: files, a line, and an exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.corpus.export_formats import EXPORT_FORMATS

Cli = Callable[..., Any]


@pytest.fixture
def corpus(photos: Path, tmp_path: Path, make_corpus: Callable[..., Any]) -> Path:
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    return tmp_path / "corpus"


def test_dng_by_default(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    done = cli("export", corpus, tmp_path / "out", "--limit", "2")
    assert (done.code, done.out) == (0, f"{tmp_path}/out: 4 DNG files written\n")
    assert len(list((tmp_path / "out").rglob("*.dng"))) == 4
    done = cli("export", corpus, tmp_path / "out", "--threads", "2")
    assert (done.code, done.out) == (0, f"{tmp_path}/out: 6 DNG files written; 4 were there already\n")
    assert cli("verify", corpus).code == 0


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_every_format(cli: Cli, corpus: Path, tmp_path: Path, format: str) -> None:
    arguments = ("--format", format, "--which", "clean", "--keys", "cats/chelsea-png", "--quiet")
    assert cli("export", corpus, tmp_path / "out", *arguments).out == ""
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert files == {f"cats/chelsea-png.clean.{format}", "export.json"}


def test_losses_are_said(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    (corpus / "images-00001-00.tar").write_bytes(b"")
    done = cli("export", corpus, tmp_path / "out", "--format", "png", "--which", "noisy")
    assert done.code == 1 and "3 PNG files written" in done.out
    assert "lost images-00001-00.tar:" in done.err and "rawsynth verify" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("--format", "jpg"), ("--which", "srgb"), ("--limit", "0"), ("--threads", "0")],
)
def test_wrong_usage(cli: Cli, corpus: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert cli("export", corpus, tmp_path / "out", *arguments).code == 2
    assert not (tmp_path / "out").exists()


def test_a_key_that_is_not_there(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    done = cli("export", corpus, tmp_path / "out", "--keys", "nobody")
    assert done.code == 1 and "lost nobody: the corpus has no sample of this key" in done.err
