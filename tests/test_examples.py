"""The examples run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_transform_example() -> None:
    out = run_example("01_transform.py")
    assert "(4, 4, 128, 128)" in out
    assert "chelsea alone equals chelsea in the batch: True" in out


@pytest.mark.slow
def test_generate_then_train(tmp_path: Path) -> None:
    out = run_example("02_generate.py", str(tmp_path))
    assert "32 samples from 4 photographs, sound: True" in out
    steps = run_example("03_train_denoiser_step.py", str(tmp_path / "corpus"), "150")
    first, last = (float(line.split("error ")[1].split()[0]) for line in steps.splitlines())
    assert last < 1.0 < first


@pytest.mark.slow
def test_train_tiny(tmp_path: Path) -> None:
    out = run_example("04_train_tiny.py", str(tmp_path), "20")
    assert "320 pairs from 5 photographs" in out and "validation after 20 steps" in out
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 4 * 256


@pytest.mark.slow
def test_new_method(tmp_path: Path) -> None:
    out = run_example("05_new_method.py", str(tmp_path))
    rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("| ")]
    assert rows[1:5] == ["---", "unprocess", "srgb_linear", "plain_gamma"]
    assert (tmp_path / "bench.html").exists()
    text = (EXAMPLES / "05_new_method.py").read_text()
    toy = text[text.index("class PlainGamma") : text.index("if __name__")]
    assert len(toy.strip().splitlines()) < 40


@pytest.mark.slow
def test_noise_on_read(tmp_path: Path) -> None:
    out = run_example("07_noise_on_read.py", str(tmp_path))
    pairs, clean = (float(word) for word in re.findall(r"([\d.]+) MB", out))
    assert clean < 0.55 * pairs
    assert "32 crops at ISO" in out
    assert "the same noise in both epochs: False" in out
    assert "replayed twice, the same noise: True" in out


@pytest.mark.slow
def test_fit_style(tmp_path: Path) -> None:
    out = run_example("06_fit_style.py", str(tmp_path))
    own, fitted = (float(figure) for figure in re.findall(r"([\d.]+) dB with its exposure fitted", out))
    assert fitted > own + 2
    assert (tmp_path / "mycam.safetensors").stat().st_size < 10_000
