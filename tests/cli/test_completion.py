"""completion: a script that bash runs, asked as a shell asks it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.main import VERBS

Cli = Callable[..., Any]

TYPED = [
    ("rawsynth gen", {"generate"}),
    ("rawsynth ", set(VERBS)),
    ("rawsynth verify --t", {"--threads"}),
    ("rawsynth generate photos/ corpus/ --retry", {"--retry-errors"}),
    ("rawsynth generate photos/ corpus/ --method unp", {"unprocess"}),
    ("rawsynth evaluate pairs/ --method srgb", {"srgb_linear"}),
    ("rawsynth generate photos/ corpus/ --noise phys", {"physics", "physics_gaussian"}),
    ("rawsynth generate photos/ corpus/ --compile ", {"auto", "on", "off"}),
    ("rawsynth verify corp", set()),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_what_is_typed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(cli("completion").out)
    for typed, wanted in TYPED:
        words = " ".join(f"'{word}'" for word in typed.split(" "))
        ask = (
            f"source completion; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _rawsynth; "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-uc", ask], cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert done.stderr == "" and set(done.stdout.split()) == wanted, typed


def test_zsh_reads_the_same_after_its_bridge_to_bash(cli: Cli) -> None:
    bash, zsh = cli("completion", "bash").out, cli("completion", "zsh").out
    assert "bashcompinit" in zsh.splitlines()[0] and zsh.endswith(bash)


def test_another_shell_is_refused(cli: Cli) -> None:
    done = cli("completion", "fish")
    assert done.code == 2 and "choose from 'bash', 'zsh'" in done.err
