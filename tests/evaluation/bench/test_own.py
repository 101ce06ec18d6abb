"""A user's own method comes from the file that is named, or one sentence says why not."""

from pathlib import Path

import pytest

from rawsynth.errors import UsageError
from rawsynth.evaluation.bench.own import load_own_method

METHOD = """
import torch
from rawsynth.methods import ReverseMethod
from rawsynth.methods.srgb_linear import SrgbLinear


class Mine(SrgbLinear):
    name = "mine"
    version = "3"


class Taken(SrgbLinear):
    pass


class Halfway(ReverseMethod):
    name, version = "halfway", "1"


class Nameless(SrgbLinear):
    name = None


class NoMethod:
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(METHOD)
    return path


def test_a_class_of_a_file(file: Path) -> None:
    found = load_own_method(f"{file}:Mine")
    assert (found.method.name, found.method.version) == ("mine", "3")
    before = found.sha256
    file.write_text(METHOD.replace('"3"', '"4"'))
    again = load_own_method(f"{file}:Mine")
    assert again.method.version == "4" and again.sha256 != before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Other", "no subclass"),
        ("NoMethod", "no subclass"),
        ("torch", "no subclass"),
        ("Halfway", "lacks draw, forward, tensors"),
        ("Nameless", "a name"),
        ("Taken", "has a method 'srgb_linear'"),
        ("a-b", "FILE.py:CLASS"),
        ("", "FILE.py:CLASS"),
    ],
)
def test_what_is_no_method(file: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_own_method(f"{file}:{name}")


def test_files_that_are_not_there_or_fail(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        load_own_method(f"{tmp_path}/none.py:Mine")
    with pytest.raises(UsageError, match="FILE.py:CLASS"):
        load_own_method("mine")
    files = {"1 / 0": "ZeroDivisionError", "def": "SyntaxError", "import nothing_at_all": "ModuleNotFoundError"}
    for content, words in files.items():
        (tmp_path / "bad.py").write_text(content)
        with pytest.raises(UsageError, match=f"bad.py fails when it is run: {words}"):
            load_own_method(f"{tmp_path}/bad.py:Mine")
