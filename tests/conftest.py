"""What many tests need: real photographs, tars made by hand, and what is in a corpus, read without rawsynth."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from skimage import data

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
    """``make_corpus(input, output, seed=, read={...}, noise={...}, ...)``: generate; returns the summary."""
    from rawsynth.engine.local import generate
    from rawsynth.pipeline.config import build_config

    def make(source: str | Path, output: str | Path, **values: Any) -> Any:
        run = {"threads": 2, **values.pop("run", {})}
        return generate(build_config({"input": str(source), "output": str(output), "run": run, **values}))

    return make


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
