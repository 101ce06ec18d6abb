"""demo: the README's first command, from scikit-image's photographs to a picture."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rawsynth
from rawsynth.cli.demo import PHOTOGRAPHS, next_steps

Cli = Callable[..., Any]


@pytest.mark.slow
def test_the_demo_leaves_a_verified_corpus_and_a_picture(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    for _ in range(2):  # a second demo replaces the first
        done = cli("demo", "--output", root)
        assert done.code == 0
    assert "verified" in done.out and str(root / "preview.png") in done.out and "rawsynth generate" in done.out
    report = rawsynth.verify(str(root / "corpus"))
    assert report.ok and (report.samples, report.lost) == (len(PHOTOGRAPHS), 0)
    with Image.open(root / "preview.png") as picture:
        assert picture.format == "PNG" and 700 < picture.width < 2500 and 1000 < picture.height < 2500
        assert np.asarray(picture).std() > 30
    assert 200_000 < (root / "preview.png").stat().st_size < 20_000_000
    (command,) = (line for line in done.out.splitlines() if line.strip().startswith("for pair in"))
    assert repr(str(root / "corpus")) in command


def test_without_the_photographs_the_extra_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    done = cli("demo", "--output", tmp_path / "demo")
    assert done.code == 2 and "pip install 'rawsynth[demo]'" in done.err


@pytest.mark.parametrize("found", [None, "/usr/bin/rawsynth"])
def test_who_has_no_rawsynth_on_the_path_is_told_how_to_get_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    (tmp_path / "my venv/bin").mkdir(parents=True)
    (tmp_path / "my venv/bin/activate").write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "my venv"))
    monkeypatch.setattr(shutil, "which", lambda name: found)
    assert next_steps("corpus").count(f"  . '{tmp_path}/my venv/bin/activate'\n") == (found is None)


def test_an_output_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = cli("demo", "--output", tmp_path / "file/demo")
    assert done.code == 1 and "file/demo" in done.err
