"""doctor, the verb: words, JSON and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.doctor import describe
from rawsynth.engine.doctor import Examination, Finding

Cli = Callable[..., Any]


def test_in_words(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", "--seconds", "0", "--write-test", tmp_path)
    assert done.code == 0
    topics = [line for line in done.out.splitlines() if line and line[0] not in " !"]
    assert topics[:5] == ["versions", "codecs", "machine", "extras", "write test"]
    assert topics[-1] == "nothing is broken"


def test_as_json(cli: Cli) -> None:
    found = json.loads(cli("doctor", "--seconds", "0", "--json").out)
    assert found["fine"] is True and found["findings"][0]["name"] == "rawsynth"


def test_what_is_broken_comes_last_and_decides_the_exit_code(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = cli("doctor", "--seconds", "0", "--write-test", tmp_path / "taken")
    assert done.code == 1 and "Traceback" not in done.out + done.err
    assert done.out.splitlines()[-1].startswith("! write: ") and "docs/storage.md" in done.out


def test_advice_is_gathered() -> None:
    missing = Finding("machine", "compiler", "none", "note", "apt install g++")
    said = describe(Examination((Finding("machine", "cores", "2 of 2"), missing))).splitlines()
    assert said[said.index("what would help") + 1] == "  apt install g++"


@pytest.mark.parametrize("arguments", [("--seconds", "-1"), ("--seconds", "x"), ("corpus",)])
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("doctor", *arguments).code == 2
