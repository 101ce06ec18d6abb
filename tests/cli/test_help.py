"""--help of every verb has examples that work when pasted: they parse, and what is cheap runs."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.main import VERBS, build_parser

Cli = Callable[..., Any]
_LAUNCHER = re.compile(r"^(?:torchrun .*? -m |srun .*? )?(?=rawsynth )")


def examples(verb: str) -> list[str]:
    """Return the lines under "examples:" of a verb's help, as they are printed."""
    text: str = VERBS[verb].DESCRIPTION
    return [line.strip() for line in text.partition("examples:\n")[2].splitlines() if line.strip()]


def own_commands(verb: str) -> list[list[str]]:
    """Return the arguments of the examples that call rawsynth itself."""
    lines = [_LAUNCHER.sub("", line) for line in examples(verb)]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("rawsynth ")]


def parse(argv: list[str]) -> argparse.Namespace:
    return build_parser().parse_args(argv)


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_examples(verb: str, cli: Cli) -> None:
    assert any(arguments[0] == verb for arguments in own_commands(verb)), "no example of the verb itself"
    shown = cli(verb, "--help").out
    assert all(line in shown for line in examples(verb)), "the help prints its examples as they are written"


@pytest.mark.parametrize("verb", VERBS)
def test_examples_parse(verb: str) -> None:
    for arguments in own_commands(verb):
        assert parse(arguments).verb == arguments[0]


def test_the_top_of_the_help_names_every_verb_and_its_examples_parse(cli: Cli) -> None:
    shown = cli("--help").out
    assert all(re.search(rf"^ +{verb}\s", shown, re.MULTILINE) for verb in VERBS)
    for line in re.findall(r"^  (rawsynth .*)$", shown, re.MULTILINE):
        assert parse(shlex.split(line)[1:]).verb in VERBS


def test_no_argument_shows_the_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2 and "rawsynth demo" in done.err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(("generate", "a", "b", "--metod", "unprocess"), "--method"), (("verify", "corpus", "--thread=2"), "--threads")],
)
def test_a_misspelt_option_is_told_what_was_meant(cli: Cli, arguments: tuple[str, ...], meant: str) -> None:
    done = cli(*arguments)
    assert done.code == 2 and f"did you mean {meant}?" in done.err and f"rawsynth {arguments[0]} --help" in done.err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("genrate", "there is no verb genrate; did you mean generate?"),
        ("--verison", "there is no option --verison; did you mean --version?"),
        ("frobnicate", "there is no verb frobnicate."),
    ],
)
def test_a_misspelt_verb_is_told_what_was_meant(cli: Cli, word: str, said: str) -> None:
    done = cli(word, "photos/", "corpus/")
    assert done.code == 2 and said in done.err and "`rawsynth --help`" in done.err


@pytest.mark.parametrize(("reader", "code", "said"), [("gone", 1, ""), ("full", 1, "No space left on device")])
def test_output_that_nobody_takes_is_no_crash(reader: str, code: int, said: str) -> None:
    """``rawsynth methods | head -0``, and ``rawsynth methods > /dev/full``."""
    if reader == "gone":
        end, target = os.pipe()
        os.close(end)
    elif Path("/dev/full").exists():
        target = os.open("/dev/full", os.O_WRONLY)
    else:
        pytest.skip("no /dev/full here")
    command = [sys.executable, "-m", "rawsynth", "methods"]
    done = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(target)
    assert done.returncode == code and said in done.stderr
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr


# In a folder with photos/ and a corpus.toml, in this order: what a user would type one after the other.
PASTED = [
    "rawsynth generate photos/ corpus/ --method unprocess",
    "rawsynth verify corpus/",
    "rawsynth status corpus/",
    "rawsynth status corpus/ --json",
    "rawsynth index corpus/",
    "rawsynth index corpus/ --format parquet",
    "rawsynth generate --config corpus.toml --dry-run",
    "rawsynth cameras --with both",
    "rawsynth cameras nikon --with noise",
    'rawsynth cameras "Sony ILCE-7SM2"',
    "rawsynth train own_camera --show",
    "rawsynth doctor --seconds 0 --json",
]


def test_cheap_examples_run_one_after_the_other(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.toml").write_text('input = "photos/"\noutput = "corpus-of-toml/"\n[method]\nmethod = "unprocess"\n')
    printed = {line for verb in VERBS for line in examples(verb)}
    for line in PASTED:
        assert line in printed, f"no help prints {line!r} any more: drop it here"
        done = cli(*shlex.split(line)[1:])
        assert done.code == 0, (line, done.err)
        assert done.out
