"""--help of every verb has examples that work when pasted: they parse; test_pasted.py runs them."""

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


MISSPELT = [
    (("generat", "photos/", "corpus/"), "no verb 'generat'; did you mean generate?"),
    (("fit_style",), "did you mean fit-style?"),
    (("--verison",), "no option '--verison'; did you mean --version?"),
    (("xyzzy",), "no verb 'xyzzy'. `rawsynth --help` lists all."),
    (("generate", "a", "b", "--method", "unproces"), "did you mean 'unprocess'?"),
    (("generate", "a", "b", "--noise", "poison_gaussian"), "did you mean 'poisson_gaussian'?"),
    (("generate", "a", "b", "--camera", "Sony ILC-7SM2"), "did you mean 'Sony ILCE-7SM2'?"),
    (("cameras", "sony ilce-7sm9"), "Near: Sony ILCE-7S, Sony ILCE-7SM2, Sony ILCE-7SM3."),
    (("generate", "htps://host/a", "b"), "did you mean https://?"),
    (("train", "own_camra"), "did you mean 'own_camera'?"),
    (("train", "own_camera", "--set", "data.trian=x"), "data.trian: no such option; did you mean train?"),
    (("generate", "a", "b", "--compile", "onn"), "choose from 'auto', 'on', 'off'"),
]


@pytest.mark.parametrize(("arguments", "said"), MISSPELT)
def test_a_misspelt_name_is_answered_with_the_nearest(
    cli: Cli, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*arguments)
    assert done.code == 2 and said in done.err, done.err
    assert len(done.err.splitlines()) == 1 and done.err.startswith("rawsynth")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_a_terminal(verb: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words do; examples stay whole, to be pasted."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli(*filter(None, (verb, "--help"))).out.splitlines()
    examples = [line for line in lines if re.match(r"^  (rawsynth|torchrun|srun|duckdb|then) ", line)]
    assert [line for line in lines if len(line) > 80 and line not in examples] == []
    usage = next(number for number, line in enumerate(lines) if not line)
    assert usage <= 5, "the usage leaves room for what matters"


def test_the_top_of_the_help_begins_with_the_common_path(cli: Cli) -> None:
    verbs = re.findall(r"^  ([a-z][a-z-]+)  ", cli("--help").out, re.MULTILINE)
    assert verbs[:4] == ["demo", "generate", "status", "verify"] and set(verbs) == set(VERBS)
