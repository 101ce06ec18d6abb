"""The examples run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
from PIL import Image

from rawsynth.engine.local import generate
from rawsynth.pipeline.config import build_config

EXAMPLES = Path(__file__).parent.parent / "examples"


_WITH_TORCHVISION = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
from tests.torchvision_ops import import_v2
import_v2()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_example(name: str, *arguments: str, before: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *before, str(EXAMPLES / name), *arguments]
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
    assert fitted > own + 1
    assert (tmp_path / "mycam.safetensors").stat().st_size < 10_000


@pytest.mark.slow
def test_export_dng(tmp_path: Path) -> None:
    out = run_example("08_export_dng.py", str(tmp_path))
    assert "6 DNG files" in out and ", 0 samples lost" in out
    assert out.count("256x256, the corpus's pixels: True") == 3
    assert len(list((tmp_path / "developed").glob("*.png"))) == 3


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("torchvision") is None, reason="torchvision is not installed")
def test_torchvision() -> None:
    out = run_example("09_torchvision.py", before=("-c", _WITH_TORCHVISION, str(EXAMPLES.parent)))
    assert "from the workers: RawImage (4, 4, 64, 64)" in out
    assert "compiled equals eager: True" in out


@pytest.mark.slow
def test_kornia() -> None:
    out = run_example("10_kornia.py")
    decibels = [float(figure) for figure in re.findall(r"([\d.]+) dB", out)]
    assert len(decibels) == 3 and decibels == sorted(decibels, reverse=True)


@pytest.fixture
def crops(tmp_path: Path, photos: Path) -> Path:
    """A corpus of equal crops."""
    choices = {"method": {"method": "unprocess"}, "image": {"crop": 32, "crops": 4}}
    generate(build_config({"input": str(photos), "output": str(tmp_path / "corpus"), **choices}))
    return tmp_path / "corpus"


@pytest.mark.slow
def test_pytorch(crops: Path) -> None:
    out = run_example("11_pytorch.py", str(crops))
    assert "20 pairs by number: (8, 4, 16, 16)" in out and "the tars alone give the same: True" in out


@pytest.mark.slow
def test_parquet(tmp_path: Path) -> None:
    out = run_example("13_parquet.py", str(tmp_path))
    assert "4 samples from 4 rows" in out and "(4, 64, 64) a photograph of chelsea" in out


@pytest.fixture
def cameras(tmp_path: Path, photos: Path) -> Path:
    """A corpus whose samples' JSON differ in form: of several cameras, with noise of several parameters."""
    choices = {"method": {"method": "unprocess", "camera": "random"}, "image": {"crop": 32, "crops": 4}}
    noise = {"noise": {"noise": "physics"}}
    generate(build_config({"input": str(photos), "output": str(tmp_path / "cameras"), **choices, **noise}))
    return tmp_path / "cameras"


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("datasets") is None, reason="Hugging Face datasets is not installed")
@pytest.mark.parametrize("corpus", ["crops", "cameras"])
def test_hugging_face(
    corpus: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    out = run_example("12_hugging_face.py", str(request.getfixturevalue(corpus)))
    assert "clean.npy (4, 16, 16)" in out and "noisy.npy (4, 16, 16)" in out and "20 samples" in out
