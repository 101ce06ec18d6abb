"""Python blocks of the documentation run as they are printed, page by page, in a folder that holds what they assume."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import rawsynth
from rawsynth.cli.main import main
from rawsynth.methods import METHODS
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.weights import ModelCard, save_weights
from rawsynth.noise import NOISE_MODELS

DOCS = Path(__file__).parent.parent / "docs"
ELSEWHERE = {
    "noise": "tests/test_readme.py",
    "add-a-method": "tests/test_readme.py",
    "downstream": "wants SIDD and ELD: tests/pairs/test_sidd.py, test_eld.py",
    "integrations": "tests/test_examples.py",
}
Names = dict[str, Any]


def blocks(name: str) -> list[str]:
    text = (DOCS / f"{name}.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run(name: str, **names: Any) -> Names:
    """Run a page's blocks in order and in one room; what the prose says is there comes as ``names``."""
    known = set(NOISE_MODELS)
    try:
        for block in blocks(name):
            exec(compile(block, f"docs/{name}.md", "exec"), names)
    finally:
        for added in set(NOISE_MODELS) - known:
            del NOISE_MODELS[added]
    return names


def pixels(side: int = 64, top: int = 0) -> Any:
    return np.ascontiguousarray(data.astronaut()[top : top + side, :side])


@pytest.fixture(autouse=True)
def folder_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_page_is_run_by_a_test() -> None:
    text = Path(__file__).read_text("utf-8")
    for path in DOCS.glob("*.md"):
        assert not blocks(path.stem) or path.stem in ELSEWHERE or f'"{path.stem}"' in text, path.name


@pytest.mark.parametrize("name", ["quick-start", "concepts", "generate", "noise-on-read", "faq", "ray"])
def test_pages_on_corpora(name: str, photos: Path, make_corpus: Any) -> None:
    Image.fromarray(pixels()).save("photo.jpg")
    make_corpus("photos", "corpus", image={"crop": 32})
    make_corpus("photos", "clean-corpus", image={"crop": 32}, write={"clean_only": True})
    assert run(name)


@pytest.mark.parametrize("name", ["camera-color", "peers", "forward-isp"])
def test_pages_that_assume_nothing(name: str) -> None:
    assert run(name)


def test_the_noise_model_of_the_guide_has_the_variance_that_it_states() -> None:
    names = run("add-a-noise-model")
    noise = names["noisy"].packed - names["clean"].packed
    assert float(noise.var()) == pytest.approx(4 * (0.01 * 0.25 + 1e-4), rel=0.05)
    assert float(names["noisy"].variance().mean()) == pytest.approx(float(noise.var()), rel=0.1)


def test_corpus_format(make_corpus: Any) -> None:
    Path("photos/cats").mkdir(parents=True)
    for number in range(18):
        Image.fromarray(pixels(32, 10 * number)).save(f"photos/cats/IMG_{number:02d}.jpg")
    camera = {"camera": "Sony ILCE-7SM2"}
    noise = {"noise": "physics", "iso": "800..3200"}
    make_corpus("photos", "corpus", method=camera, noise=noise, read={"splits": "train=1.0"}, write={"linear": True})
    rawsynth.write_index("corpus")
    pair = next(iter(rawsynth.open_corpus("corpus", shuffle=0)))
    red, blue = pair["meta"]["raw"]["white_balance"]
    names = run("corpus-format", torch=torch, pair=pair, meta=pair["meta"], red=red, blue=blue)
    assert names["linear_srgb"].shape == (3, 32, 32) and len(names["chosen"]) == 18
    assert next(iter(names["loader"].dataset))


def test_export(photos: Path, make_corpus: Any) -> None:
    make_corpus("photos", "corpus")
    for form in ("png", "npz"):
        rawsynth.export("corpus", form, format=form, keys=["astronaut-jpg"])
        os.rename(f"{form}/astronaut-jpg.noisy.{form}", f"{form}/KEY.noisy.{form}")
    names = run("export")
    levels, mosaic = names["facts"]["image"]["levels"], names["unit"]
    assert levels["bits"] == 14 and mosaic[::2, ::2] == pytest.approx(names["packed"][0], abs=1e-6)


def test_evaluation(make_corpus: Any) -> None:
    Path("photos").mkdir()
    for number in range(3):
        Image.fromarray(pixels(64, 90 * number)).save(f"photos/scene-{number}.png")
    make_corpus("photos", "pairs", write={"srgb": True})
    scores = run("evaluation")["scores"]
    assert len(scores.scenes) == 3 and not scores.errors and scores.means["psnr"].value > 20


@pytest.mark.slow
def test_calibration_and_noise_report() -> None:
    rng = np.random.default_rng(0)

    def shoot(path: str, level: float) -> None:
        light = np.linspace(0.02, 1, 96)[None].repeat(64, 0) * level
        dn = 256 + 0.5 * rng.poisson(light / 0.5) + rng.normal(0, 3, light.shape)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.rint(dn.clip(0, 4095)).astype(np.uint16))

    for number in range(40):
        shoot(f"captures/iso1600/flat/{20 * (number // 4 + 1)}ms_{number}.npy", 380 * (number // 4 + 1))
    for number in range(8):
        shoot(f"captures/iso1600/dark/{number}.npy", 0)
        shoot(f"shots/bright/{number}.npy", 3000)
        shoot(f"shots/dark/{number}.npy", 0)
    found = run("calibration")["found"]
    assert found.calibration.isos[0].planes[0].gain_dn_per_electron.value == pytest.approx(0.5, rel=0.05)
    assert main(["calibrate", "captures/", "-o", "mine.toml", "--quiet"]) == 0
    assert run("noise-report")["report"].verdict


def test_styles() -> None:
    method = RstIspNetSmall.create()
    srgb = torch.from_numpy(pixels()).permute(2, 0, 1)[None]
    with torch.no_grad():
        style = method.network.encode_style(srgb / 255.0)
    save_style("mycam.safetensors", FittedStyle(style, "fixed", method.digest, StyleCard()))
    assert run("fit-style")["to_raw"](srgb).packed.shape == (1, 4, 32, 32)
    names = run("rst-isp-net-small", srgb=srgb, frame=srgb / 255.0, tile=srgb / 255.0)
    assert names["light"].shape == (1, 3, 64, 64)


def test_own_weights() -> None:
    config = {"preset": "tiny"}
    network = METHODS["rst_isp_net"].build(config)  # type: ignore[attr-defined]
    os.makedirs("runs/my-camera")
    url = "runs/my-camera/best.safetensors"
    save_weights(url, "rst_isp_net", config, network.state_dict(), ModelCard(data="nothing: drawn at random"))
    srgb = torch.from_numpy(pixels()).permute(2, 0, 1)[None]
    names = run("rst-isp-net", srgb=srgb, thumbnail=srgb / 255.0, tile=srgb / 255.0)
    assert names["raw"].shape == (1, 4, 32, 32)
