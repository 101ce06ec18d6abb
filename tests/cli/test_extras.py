"""A part of the package that is not installed: the verb that needs it names the extra, and others go without."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calibration.simulated_captures import Sensor, write_captures

Cli = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``hide("s3fs")``: as if it were not installed."""

    def hide_all(*names: str) -> None:
        for name in names:
            for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
                monkeypatch.delitem(sys.modules, loaded)
            monkeypatch.setitem(sys.modules, name, None)
        # What fsspec remembers of drivers that it has imported.
        monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
        for protocol in ("s3", "s3a", "http", "https"):
            monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], protocol, raising=False)

    return hide_all


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, make_corpus: Cli, photo: Callable[..., bytes]) -> Path:
    root = tmp_path_factory.mktemp("extras")
    (root / "photos").mkdir()
    (root / "photos/p.png").write_bytes(photo(0))
    make_corpus(root / "photos", root / "corpus", write={"srgb": True})
    (root / "corpus/in.parquet").write_bytes(b"")
    return root / "corpus"


NEEDS: list[tuple[str, str, str]] = [
    ("skimage", "demo", "demo --output {out}"),
    ("skimage", "demo", "bench synthetic --methods unprocess --output {out} --rounds 0 --pictures 0 --quiet"),
    ("pyarrow", "parquet", "generate {corpus}/in.parquet {out} --quiet"),
    ("pyarrow", "parquet", "index {corpus} --format parquet -o {out}.parquet --quiet"),
    ("ray", "ray", "generate {photos} {out} --engine ray --method unprocess --quiet"),
    ("matplotlib", "calibrate", "calibrate {captures} -o {out}.toml --report {out} --bits 12 --quiet"),
    ("matplotlib", "calibrate", "noise-report {captures} {captures} --output {out}"),
    ("tifffile", "calibrate", "cameras import dng {dng} -o {out}.toml"),
    *(("s3fs", "s3", f"{verb}") for verb in (
        "generate s3://bucket/photos {out}", "generate {photos} s3://bucket/out", "status s3://bucket/corpus",
        "verify s3://bucket/corpus", "index s3://bucket/corpus", "export s3://bucket/corpus {out}",
        "preview s3://bucket/corpus", "inspect s3://bucket/corpus", "evaluate s3://bucket/pairs",
        "bench s3://bucket/pairs", "pairs s3://bucket/raws {out}", "fit-style s3://bucket/pairs {out}.safetensors",
        "calibrate s3://bucket/captures", "noise-report s3://bucket/raws --camera x", "cameras s3://bucket/c.toml",
        "train s3://bucket/c.toml", "import-weights cycleisp s3://bucket/w.pt {out}.safetensors --trust-pickle",
    )),
    ("aiohttp", "http", "generate https://host/photos.tar {out}"),
    ("aiohttp", "http", "status http://host/corpus"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "extra", "command"), NEEDS)
def test_the_extra_is_named(
    cli: Cli, hide: Callable[..., None], corpus: Path, tmp_path: Path, module: str, extra: str, command: str
) -> None:
    places = {"out": tmp_path / "out", "corpus": corpus, "photos": corpus.parent / "photos"}
    if "{captures}" in command:
        sensor = Sensor([0.8], [4.0], black=100)
        places["captures"] = write_captures(tmp_path / "captures", sensor, size=(48, 48), suffix=".png", darks=2)
    if "{dng}" in command:
        places["dng"] = tmp_path / "a.dng"
        places["dng"].write_bytes(b"II*\0")
    hide(module)
    done = cli(*command.format(**places).split())
    assert done.code == 2, done
    assert f"pip install 'rawsynth[{extra}]'" in done.err and "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if "pip install" in line]) == 1
    assert not (tmp_path / "out.toml").exists(), "nothing is begun"


@pytest.mark.parametrize(
    "command",
    [
        "generate {photos} {out} --method unprocess --quiet",
        "verify {corpus}",
        "status {corpus}",
        "index {corpus} -o {out}.jsonl",
        "preview {corpus} -o {out}",
        "export {corpus} {out} --format dng",
        "export {corpus} {out} --format tiff",
        "inspect {corpus} p-png",
        "evaluate {corpus} --output {out} --quiet",
        "bench {corpus} --methods unprocess --output {out} --rounds 0 --quiet",
        "cameras --with both",
        "methods",
        "doctor --seconds 0",
    ],
)
def test_without_any_extra_the_rest_works(
    cli: Cli, hide: Callable[..., None], corpus: Path, tmp_path: Path, command: str
) -> None:
    hide("skimage", "pyarrow", "ray", "matplotlib", "tifffile", "s3fs", "aiohttp", "h5py", "scipy", "torchvision")
    places = {"out": tmp_path / "out", "corpus": corpus, "photos": corpus.parent / "photos"}
    done = cli(*command.format(**places).split())
    assert done.code == 0, done


def test_every_extra_that_is_named_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pages = [*ROOT.glob("rawsynth/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    named = {name for page in pages for name in re.findall(r"rawsynth\[(\w+)\]", page.read_text())}
    assert named <= set(extras), "an extra that there is not"
    assert named >= {"calibrate", "demo", "heic", "http", "parquet", "ray", "s3", "sidd", "train"}
