"""options: the command line and the TOML file are two spellings of one configuration."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth.cli.main import VERBS, build_parser
from rawsynth.cli.options import config_from_args
from rawsynth.errors import UsageError
from rawsynth.pipeline.config import SECTIONS, GenerateConfig, build_config
from rawsynth.pipeline.synthesize import make_transforms


def parse(*argv: str) -> GenerateConfig:
    return config_from_args(build_parser().parse_args(["generate", *argv]))


def flag(name: str, value: Any) -> str:
    """One option as one types it."""
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return option if value else option.replace("--", "--no-", 1)
    if isinstance(value, dict):
        return f"{option}={','.join(f'{key}={share!r}' for key, share in value.items())}"
    if name == "crop" and isinstance(value, list):
        return f"{option}={value[0]}x{value[1]}"
    if name == "iso" and isinstance(value, list):
        return f"{option}={value[0]!r}..{value[1]!r}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{option}={json.dumps(value)}"
    if isinstance(value, list):
        return f"{option}={','.join(map(str, value))}"
    return f"{option}={value}"


def flags(values: dict[str, Any]) -> list[str]:
    options = [flag(name, value) for name in SECTIONS for name, value in values.get(name, {}).items()]
    return [values["input"], values["output"], *options, *([flag("seed", values["seed"])] if "seed" in values else [])]


def toml(values: dict[str, Any]) -> str:
    plain = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, dict)]
    tables = []
    for name, table in values.items():
        if isinstance(table, dict):
            rows = {k: v for k, v in table.items() if not isinstance(v, dict)}
            maps = [(k, v) for k, v in table.items() if isinstance(v, dict)]
            nested = [f"{k}.{key} = {share!r}" for k, v in maps for key, share in v.items()]
            tables += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in rows.items()), *nested]
    return "\n".join([*plain, *tables]) + "\n"


# ---- two spellings ----


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_choice_can_be_made_on_the_command_line(
    config_values: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    values = data.draw(config_values)
    assert parse(*flags(values)) == build_config(values)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_toml_file_equals_the_flags(
    config_values: st.SearchStrategy[dict[str, Any]], data: st.DataObject, tmp_path: Path
) -> None:
    values = data.draw(config_values)
    (tmp_path / "corpus.toml").write_text(toml(values))
    assert parse("--config", str(tmp_path / "corpus.toml")) == parse(*flags(values))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_command_line_wins_field_by_field(
    config_values: st.SearchStrategy[dict[str, Any]], data: st.DataObject, tmp_path: Path
) -> None:
    in_file, typed = data.draw(config_values), data.draw(config_values)
    # Levels are checked together, so a file and a command line that are each right may not fit each other.
    typed.pop("write", None)
    (tmp_path / "corpus.toml").write_text(toml(in_file))
    merged: dict[str, Any] = {**in_file, **typed}
    for name in SECTIONS:
        if name in in_file or name in typed:
            merged[name] = {**in_file.get(name, {}), **typed.get(name, {})}
    assert parse("--config", str(tmp_path / "corpus.toml"), *flags(typed)) == build_config(merged)


def test_a_flag_can_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('input = "a"\noutput = "b"\n[write]\nsrgb = true\n[run]\nquiet = true\n')
    config = parse("--config", str(tmp_path / "c.toml"), "--no-srgb", "--no-quiet")
    assert not config.write.srgb and not config.run.quiet


def test_defaults_are_the_configuration_s() -> None:
    assert parse("in", "out") == build_config({"input": "in", "output": "out"})


# ---- wrong usage ----

MISSING = [([], "input and output missing"), (["in"], "output missing"), (["--seed", "3"], "input and output missing")]


@pytest.mark.parametrize(("argv", "message"), MISSING)
def test_what_is_missing_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(*argv)


WRONG_FILES = [
    ("[read]\nlimt = 3\n", r"read.limt: no such option; did you mean limit\?"),
    ("colour = 3\n", "colour: no such option$"),
    ("[images]\ncrop = 3\n", r"images: no such option; did you mean image\?"),
    ("crop = 16\n", r"crop: no such option; crop stands in \[image\]"),
    ("[noise]\nseed = 1\n", "noise.seed: no such option; seed stands in front of all tables"),
    ("[noise]\nxyzzy = 1\n", "noise.xyzzy: no such option$"),
    ("read = 3\n", r"read is a table, written \[read\]"),
    ("[read]\nlimit = 'many'\n", "read.limit.*'many'"),
    ("[image\n", "corpus.toml"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_FILES)
def test_a_wrong_key_of_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "corpus.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        parse("in", "out", "--config", str(tmp_path / "corpus.toml"))


@pytest.mark.parametrize(
    "argv", [["--crops", "two"], ["--seed", "x"], ["--crop", "3x"], ["--splits", "a"], ["--threads", "0"], ["--bits=7"]]
)
def test_a_wrong_value_names_its_option(argv: list[str]) -> None:
    name = argv[0].partition("=")[0].removeprefix("--")
    with pytest.raises(UsageError, match=name):
        parse("in", "out", *argv)


@pytest.mark.parametrize("argv", [["--quite"], ["--qui"], ["--dtype", "int8"], ["--compile", "maybe"], ["a", "b", "c"]])
def test_what_the_parser_does_not_know_is_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse("in", "out", *argv) if argv[0].startswith("-") else parse(*argv)
    assert end.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("rawsynth") and "--help` says" in said


# ---- help ----


def help_of(verb: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args([verb, "--help"] if verb else ["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_example_in_the_help_parses(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names methods, cameras and noise that exist, where it names any."""
    monkeypatch.chdir(tmp_path)
    Path("corpus.toml").write_text('input = "photos"\noutput = "corpus"\n')
    examples = re.findall(r"^  (?:(?:torchrun|srun) .*?-m )?rawsynth (.+)$", help_of(verb, capsys), re.MULTILINE)
    assert examples
    for example in examples:
        args = build_parser().parse_args(shlex.split(example, comments=True))
        assert args.verb in VERBS
        if args.verb == "generate" and not {"method.weights", "method.style"} & vars(args).keys():
            make_transforms(config_from_args(args))


def test_the_help_names_every_option_and_verb(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("generate", capsys)
    for model in SECTIONS.values():
        for name in model.model_fields:
            assert f"--{name.replace('_', '-')}" in text, name
    assert all(verb in help_of("", capsys) for verb in VERBS)


def test_no_two_sections_share_an_option() -> None:
    names = [name for model in SECTIONS.values() for name in model.model_fields]
    assert len(set(names)) == len(names)


def test_the_help_states_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of("generate", capsys).split())
    for default in ("rst_isp_net_small", "poisson_gaussian", "14", "1_000_000_000"):
        assert f"(default {default})" in text


def test_options_reach_the_transforms(cli: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    done = cli("generate", photos, tmp_path / "corpus", "--quiet", "--white-balance", "2.0,1.5", "--cfa", "GBRG",
               "--rgb-gain", "1.25", "--shot", "0.01", "--read", "1e-4,2e-4,3e-4,4e-4")  # fmt: skip
    assert done.code == 0
    config = json.loads((tmp_path / "corpus/dataset.json").read_text())["config"]
    assert config["method"]["white_balance"] == [2.0, 1.5] and config["noise"]["read"] == [1e-4, 2e-4, 3e-4, 4e-4]
