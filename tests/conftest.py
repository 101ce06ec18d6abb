"""What many tests need: real photographs, tars made by hand, and what is in a corpus, read without rawsynth."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

# No deadline for one example: on a shared machine a pause would fail a test that is right.
# The same examples every time, so that a commit is green or red; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("rawsynth", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rawsynth"))

# With a test worker a core, more threads would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    # For the programs that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


@cache
def _pixels(name: str) -> Any:
    return getattr(data, name)()


def cut_photo(index: int = 0, *, height: int = 32, width: int = 48, fmt: str = "PNG") -> bytes:
    """Encode a piece of one of the four photographs; another index is another piece."""
    pixels = _pixels(PHOTOGRAPHS[index % 4])
    top, left = 40 + 7 * (index // 4), 120 + 5 * (index // 4)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[top : top + height, left : left + width])).save(buffer, fmt)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """``photo(index, height=, width=, fmt=)``: encoded bytes of a real photograph's piece."""
    return cut_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder as people have them: JPEG and PNG, a subfolder, an odd size, dots in a name, hidden and other files."""
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    files = {
        "astronaut.jpg": cut_photo(0, fmt="JPEG"),
        "cats/chelsea.png": cut_photo(2),
        "cats/chelsea.v2.jpeg": cut_photo(6, fmt="JPEG"),
        "coffee.PNG": cut_photo(1),
        "rocket.jpg": cut_photo(3, height=33, width=49, fmt="JPEG"),
        "astronaut.txt": b"a woman in a space suit",
        "README": b"not an image",
        ".hidden.jpg": cut_photo(8, fmt="JPEG"),
        ".thumbnails/coffee.png": cut_photo(9),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def make_tar() -> Callable[..., Path]:
    """``make_tar(path, {name: bytes}, mode=, format=)``: a tar of these members in this order."""

    def make(
        path: Path, members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], *, mode: str = "w", format: int = 0
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = members.items() if isinstance(members, Mapping) else members
        with tarfile.open(path, mode, format=format) as archive:  # type: ignore[call-overload]
            for name, content in rows:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


@pytest.fixture(scope="session")
def photo_tar(make_tar: Callable[..., Path]) -> Callable[..., Path]:
    """``photo_tar(path, count, first=)``: a tar of photographs ``s00.png``, ``s01.png``, ..."""

    def make(path: Path, count: int = 3, *, first: int = 0) -> Path:
        return make_tar(path, {f"s{i:02d}.png": cut_photo(first + i) for i in range(count)})

    return make


def _tar_bytes(corpus: str | Path) -> Iterator[tuple[str, bytes]]:
    fs, root = fsspec.core.url_to_fs(str(corpus))
    for path in sorted(fs.find(root)):
        if path.endswith(".tar"):
            yield path.removeprefix(root.rstrip("/") + "/"), fs.cat_file(path)


@pytest.fixture(scope="session")
def hash_tars() -> Callable[[str | Path], dict[str, str]]:
    """``hash_tars(corpus)``: sha256 of each tar by its name."""
    return lambda corpus: {name: hashlib.sha256(content).hexdigest() for name, content in _tar_bytes(corpus)}


Samples = dict[str, dict[str, bytes]]


@pytest.fixture(scope="session")
def read_samples() -> Callable[[str | Path], Samples]:
    """``read_samples(corpus)``: members by extension by key, in the order of the tars."""

    def read(corpus: str | Path) -> Samples:
        samples: Samples = {}
        for _, content in _tar_bytes(corpus):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive:
                    handle = archive.extractfile(member)
                    assert handle is not None
                    key, _, extension = member.name.partition(".")
                    assert extension not in samples.setdefault(key, {}), f"{member.name} occurs twice"
                    samples[key][extension] = handle.read()
        return samples

    return read


@pytest.fixture(scope="session")
def read_records() -> Callable[[str | Path], dict[str, dict[str, Any]]]:
    """``read_records(corpus)``: each shard's record as it stands on disk."""

    def read(corpus: str | Path) -> dict[str, dict[str, Any]]:
        folder = Path(corpus) / "records"
        return {
            path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text())
            for path in sorted(folder.rglob("*.json"))
        }

    return read


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Any]:
    """``make_corpus(input, output, seed=, read={...}, noise={...}, ...)``: generate; returns the summary.

    By unprocess unless ``method`` says otherwise: most tests are about anything but the RAW, and it is fast.
    """
    from rawsynth.engine.local import generate
    from rawsynth.pipeline.config import build_config

    def make(source: str | Path, output: str | Path, **values: Any) -> Any:
        values |= {"run": {"threads": 2, **values.get("run", {})}}
        values |= {"method": {"method": "unprocess", **values.get("method", {})}}
        return generate(build_config({"input": str(source), "output": str(output), **values}))

    return make


def _levels() -> st.SearchStrategy[dict[str, int]]:
    depths = st.integers(8, 16).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(1, 2**bits - 1)))
    return depths.flatmap(
        lambda pair: st.fixed_dictionaries(
            {"bits": st.just(pair[0]), "white_level": st.just(pair[1]), "black_level": st.integers(0, pair[1] - 1)}
        )
    )


def _shares() -> st.SearchStrategy[dict[str, float]]:
    weights = st.dictionaries(st.text("abcXY01", min_size=1, max_size=5), st.integers(1, 9), min_size=1, max_size=4)
    return weights.map(lambda parts: {name: weight / sum(parts.values()) for name, weight in parts.items()})


def _config_values() -> st.SearchStrategy[dict[str, Any]]:
    positive, plane = st.floats(0.125, 1e6), st.floats(0, 1)
    planes = plane | st.lists(plane, min_size=4, max_size=4)
    rows = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=3, max_size=3)
    options: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "read": {
            "keep": st.lists(st.text("abcxyz", min_size=1, max_size=4), max_size=3),
            "image_column": st.sampled_from(["image", "photo.bytes"]),
            "limit": st.integers(1, 10**6),
            "images_per_shard": st.integers(1, 10**6),
            "splits": _shares(),
        },
        "image": {
            "max_pixels": st.integers(1, 10**12),
            "min_side": st.integers(2, 500),
            "max_clipped": st.floats(0, 1),
            "downscale": st.floats(1, 16),
            "crop": st.lists(st.integers(1, 600).map(lambda half: 2 * half), min_size=2, max_size=2),
        },
        "method": {
            "method": st.sampled_from(["unprocess", "rst_isp_net_small", "another"]),
            "weights": st.sampled_from(["default", "my weights.safetensors"]),
            "camera": st.sampled_from(["Sony ILCE-7SM2", "Nikon D850"]),
            "cfa": st.sampled_from(["RGGB", "GBRG", "camera"]),
            "cam_from_srgb": rows,
            "white_balance": st.lists(positive, min_size=2, max_size=2),
            "rgb_gain": positive,
        },
        "noise": {
            "noise": st.sampled_from(["poisson_gaussian", "heteroscedastic_gaussian"]),
            "iso": positive | st.lists(positive, min_size=2, max_size=2),
            "shot": planes,
            "read": planes,
            "realizations": st.integers(1, 99),
        },
        "compute": {
            "device": st.sampled_from(["auto", "cpu", "cuda:1"]),
            "dtype": st.sampled_from(["float32", "bfloat16", "float16"]),
            "compile": st.sampled_from(["auto", "on", "off"]),
            "batch_pixels": st.integers(1, 10**9),
        },
        "run": {
            **{name: st.integers(1, 99) for name in ("threads", "max_errors")},
            "engine": st.sampled_from(["local", "ray"]),
            "workers": st.integers(1, 999) | st.just("auto"),
            **{name: st.floats(0.01, 99) for name in ("gpus_per_worker", "stall_timeout")},
            "summary": st.sampled_from(["summary.json", "s3://bucket/run.json"]),
            **{
                name: st.booleans()
                for name in (
                    "retry_errors", "extend", "overwrite", "dry_run", "plan_only", "quiet", "json_log"
                )  # fmt: skip
            },
        },
    }
    sections = {name: st.fixed_dictionaries({}, optional=fields) for name, fields in options.items()}
    output = st.fixed_dictionaries({}, optional={"part_size": st.integers(1, 10**12), "srgb": st.booleans()})
    sections["write"] = st.tuples(st.just({}) | _levels(), output).map(lambda pair: {**pair[0], **pair[1]})
    return st.fixed_dictionaries(
        {"input": st.sampled_from(["photos", "s3://bucket/{0..9}.tar"]), "output": st.just("corpus")},
        optional={"seed": st.integers(-(2**40), 2**40), **sections},
    )


@pytest.fixture(scope="session")
def config_values() -> st.SearchStrategy[dict[str, Any]]:
    """Strategy of nested option values as JSON and TOML hold them: any valid choice of any fields."""
    return _config_values()


@dataclass(frozen=True)
class Finished:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """``cli("generate", ...)``: run the command line in this process."""
    from rawsynth.cli import main

    def run(*args: str | Path) -> Finished:
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Finished(code, said.out, said.err)

    return run


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's in-memory filesystem, empty before and after."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
