"""Wheel and source archive hold what a user needs and nothing else, and say what they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# setuptools takes sys.argv for itself.
BUILD = "import sys; from setuptools import build_meta as b; to = sys.argv[1]; b.build_sdist(to); b.build_wheel(to)"
EDITABLE = "import sys; from setuptools import build_meta as b; b.build_editable(sys.argv[1])"
FIND = """
import importlib.util, site, sys
site.addsitedir(sys.argv[1])
print(importlib.util.find_spec("rawsynth").origin)
"""
_NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "shared", "rawsynth-demo")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built from a copy: a build leaves files beside its sources."""
    source, out = tmp_path_factory.mktemp("source") / "rawsynth", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=_NOT_COPIED)
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_an_editable_install_is_found_from_the_folder_that_holds_the_clone(tmp_path: Path) -> None:
    """There, the clone's own folder is a namespace package of the same name."""
    source, out, site = tmp_path / "rawsynth", tmp_path / "dist", tmp_path / "site"
    shutil.copytree(ROOT, source, ignore=_NOT_COPIED)
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", EDITABLE, str(out)], cwd=source, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = out.glob("*.whl")
    zipfile.ZipFile(path).extractall(site)
    command = [sys.executable, "-S", "-c", FIND, str(site)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == str(source / "rawsynth" / "__init__.py"), found.stderr


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode("utf-8"))


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "rawsynth"
    there = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == there
    for suffix in (".py", ".toml", ".tsv", ".safetensors", "py.typed"):
        assert any(name.endswith(suffix) for name in packed)
    for part in ("cameras/profiles/", "methods/weights_files/", "pairs/renderings_files/", "training/configs/"):
        assert any(name.startswith(f"rawsynth/{part}") for name in packed), part
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_source_archive_builds_the_same_package_and_carries_no_test_data(
    built: Path, wheel: zipfile.ZipFile
) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} <= names
    needed = {"LICENSE", "README.md", "pyproject.toml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"}
    assert needed <= names
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"tests", "docs", "benchmarks", "shared"}
    assert path.stat().st_size < 20_000_000


def test_metadata_say_who_may_use_it(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0" and metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Version"] == PROJECT["version"]


def test_the_extra_all_has_every_extra_of_users() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    (everything,) = extras.pop("all")
    named = set(re.fullmatch(r"rawsynth\[([\w,]+)\]", everything)[1].split(","))  # type: ignore[index]
    assert named == set(extras) - {"docs", "lint", "test"}


def test_every_version_that_is_stated_is_one() -> None:
    import rawsynth

    assert rawsynth.__version__ == PROJECT["version"]
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_dependency_is_pinned_for_ci() -> None:
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0].lower())
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    for line in [*PROJECT["dependencies"], *extras]:
        name = re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0].lower())  # type: ignore[index]
        assert name in pinned or name == "rawsynth", line
