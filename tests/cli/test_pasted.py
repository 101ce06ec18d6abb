"""Examples of --help, pasted into a folder that holds what they name, one after the other."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import rawsynth
from rawsynth.cli.main import VERBS

Cli = Callable[..., Any]

CORPORA = [
    "rawsynth generate photos/ corpus/",
    "rawsynth generate photos/ corpus-plain/ --method unprocess",
    'rawsynth generate photos/ corpus-a7s2/ --camera "Sony ILCE-7SM2" --iso 1600..25600 --noise physics',
    "rawsynth generate photos/ corpus-cameras/ --camera random --cfa camera",
    "rawsynth generate photos/ corpus-clean/ --camera random --clean-only",
    "rawsynth generate photos/ corpus-levels/ --noise heteroscedastic_gaussian --shot 0.01 --read 0.0002",
    "rawsynth generate --config corpus.toml --dry-run",
    "rawsynth generate photos/ corpus/ --workers 4 --summary run.json",
    "rawsynth verify corpus/",
    "rawsynth status corpus/",
    "rawsynth status corpus/ --json",
    "rawsynth index corpus/",
    "rawsynth index corpus/ --format parquet",
    "rawsynth inspect corpus/",
    "rawsynth inspect corpus/ cats/IMG_01-jpg",
    "rawsynth inspect corpus/images-00000-00.tar --json",
    "rawsynth preview corpus/",
    "rawsynth preview corpus/ --output look/ --limit 20",
    "rawsynth preview corpus/ --keys cats/IMG_01-jpg cats/IMG_02-jpg",
    "rawsynth export corpus/ dng/",
    "rawsynth export corpus/ png/ --format png --keys cats/IMG_01-jpg,cats/IMG_02-jpg",
]
CAMERAS = [
    "rawsynth cameras --with both",
    "rawsynth cameras nikon --with noise",
    'rawsynth cameras "Sony ILCE-7SM2"',
    "rawsynth calibrate pngs/ -o camera.toml --cfa RGGB --bits 12",
    "rawsynth calibrate tripod/ --burst -o camera.toml",
    "rawsynth cameras my_camera.toml --json",
    "rawsynth cameras import dng iso100.dng iso800.dng -o phone.toml",
    "rawsynth noise-report real/ synthetic/ --output report/",
    "rawsynth inspect IMG_0001.CR2",
]
PAIRS = [
    "rawsynth pairs photos/ pairs/",
    "rawsynth fit-style pairs/ mycam.safetensors",
    "rawsynth inspect mycam.safetensors",
    "rawsynth generate photos/ corpus-mine/ --style mycam.safetensors",
    "rawsynth evaluate pairs/ --method unprocess --output scores/",
    "rawsynth evaluate pairs/ --method rst_isp_net_small --style mycam.safetensors --output scores/",
    "rawsynth generate 'CARD/DCIM/**/*.NEF' corpus-raw/ --downscale 2 --crop 512",
]
ALONE = [
    "rawsynth methods",
    "rawsynth methods --json",
    "rawsynth train own_camera --show",
    "rawsynth doctor --seconds 0 --json",
]
# Why the others are not pasted here.
ELSEWHERE = {
    "s3://": "wants a store: tests/storage has one",
    "^rawsynth (bench|demo|train) ": "takes minutes: tests of the verb make it small",
    "^rawsynth demo$|^rawsynth doctor$": "takes minutes",
    "^rawsynth import-weights|cycleisp.safetensors": "wants an author's checkpoint",
    "aim22|rst_isp_net --weights|my-weights": "wants data or weights that do not ship",
    "^(torchrun|duckdb|darktable-cli)|--engine ray|shards/|train.parquet": "tests of the engine and of Parquet run it",
    "EMVA1288|captures/|import (darktable|eld)|burst/|shots/": "wants a camera's own frames: tests/calibration",
    "dng/ --limit 20|pairs .*--srgb jpeg": "as the line before it",
    "--losses|verify corpus/ --json|^rawsynth completion": "tests of the verb run it",
}


def paste(cli: Cli, lines: list[str]) -> None:
    """Run lines that some --help prints; each has to end with 0."""
    printed = {line.strip() for verb in VERBS for line in VERBS[verb].DESCRIPTION.splitlines()}
    for line in lines:
        assert line in printed, f"no help prints {line!r} any more: change it here, too"
        done = cli(*shlex.split(line)[1:])
        assert done.code == 0, (line, done.err)


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_is_pasted_or_has_a_reason(verb: str) -> None:
    lines = VERBS[verb].DESCRIPTION.partition("examples:\n")[2].splitlines()
    for line in filter(None, map(str.strip, lines)):
        pasted = line in {*CORPORA, *CAMERAS, *PAIRS, *ALONE}
        assert pasted or any(re.search(pattern, line) for pattern in ELSEWHERE), line


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photograph(side: int) -> Any:
    return np.ascontiguousarray(data.astronaut()[:side, :side])


def camera_raw(path: str, *, side: int, iso: float | None = None) -> None:
    """Write a DNG, whatever its name, as some camera's RAW of a photograph, and its JPEG beside it; synthetic."""
    srgb = torch.from_numpy(np.tile(photograph(min(side, 512)), (max(1, side // 512), max(1, side // 512), 1)))
    raw = rawsynth.ReverseISP("unprocess", camera="Nikon D850", seed=0)(srgb.permute(2, 0, 1), keys=["one"])
    noisy = rawsynth.AddNoise("heteroscedastic_gaussian", camera="Nikon D850", iso=iso)(raw) if iso else raw
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rawsynth.write_dng(path, noisy, preview=False)
    Image.fromarray(srgb.numpy()).save(Path(path).with_suffix(".jpg"), quality=95)


def frames(folder: str, count: int, level: float, *, suffix: str = "png", seed: int = 0) -> None:
    """Write frames of a static ramp, 12 bits, black 256, K 0.5 DN/e-, read noise 3 DN."""
    rng = np.random.default_rng([seed, int(level)])
    light = np.linspace(0.02, 1, 96)[None].repeat(64, 0) * level
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        dn = 256 + 0.5 * rng.poisson(light / 0.5) + rng.normal(0, 3, light.shape)
        Image.fromarray(np.rint(dn.clip(0, 4095)).astype(np.uint16)).save(f"{folder}/{int(level)}_{number}.{suffix}")


def test_corpora(cli: Cli) -> None:
    Path("photos/cats").mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(photograph(32 * number + 32)).save(f"photos/cats/IMG_0{number}.jpg")
    Path("corpus.toml").write_text('input = "photos/"\noutput = "corpus-of-toml/"\n[method]\nmethod = "unprocess"\n')
    paste(cli, CORPORA)


@pytest.mark.slow
def test_cameras(cli: Cli) -> None:
    for step in range(1, 11):
        frames(f"pngs/iso100/{20 * step}ms/flat", 2, 380 * step)
    frames("pngs/iso100/dark", 4, 0)
    for iso in (100, 800):
        camera_raw(f"iso{iso}.dng", side=64, iso=iso)
    camera_raw("IMG_0001.CR2", side=64)
    for number in range(6):
        camera_raw(f"tripod/{number}.dng", side=128, iso=800)
    for picture in Path("tripod").glob("*.jpg"):
        picture.unlink()
    for seed, folder in enumerate(("real", "synthetic")):
        frames(folder, 6, 3000, seed=seed)
    assert cli("cameras", "import", "dng", "iso100.dng", "-o", "my_camera.toml").code == 0
    paste(cli, CAMERAS)


@pytest.mark.slow
def test_pairs(cli: Cli) -> None:
    camera_raw("CARD/DCIM/DSC_0001.NEF", side=1024)
    Path("photos").mkdir()
    for name in ("DSC_0001.NEF", "DSC_0001.jpg"):
        shutil.copy(f"CARD/DCIM/{name}", f"photos/{name}")
    paste(cli, PAIRS)


def test_alone(cli: Cli) -> None:
    paste(cli, ALONE)
