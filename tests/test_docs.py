"""The documentation's blocks run as they are printed, its commands parse, and its made pages miss nothing."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

import rawsynth
from rawsynth.cli.main import VERBS, build_parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Pages all of whose Python blocks run, in order and in one room, in a folder that holds what they assume.
RUN = ("quick-start", "concepts", "noise-on-read", "add-a-noise-model", "faq", "ray")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text("utf-8")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``site("cli_page")``: a module of docs/site, which is no package."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"site_{name}", DOCS / "site" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def folder_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path, make_corpus: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ascontiguousarray(data.astronaut()[:64, :64])).save("photo.jpg")
    make_corpus("photos", "corpus", image={"crop": 32})
    make_corpus("photos", "clean-corpus", image={"crop": 32}, write={"clean_only": True})


@pytest.mark.usefixtures("folder_as_printed")
@pytest.mark.parametrize("name", RUN)
def test_python_blocks_run(name: str) -> None:
    from rawsynth.noise import NOISE_MODELS

    known, names = set(NOISE_MODELS), dict[str, object]()
    try:
        for block in blocks("python", page(name)):
            exec(compile(block, f"docs/{name}.md", "exec"), names)
    finally:
        for added in set(NOISE_MODELS) - known:
            del NOISE_MODELS[added]
    assert names


def test_the_noise_model_of_the_guide_has_the_variance_that_it_states() -> None:
    from rawsynth.noise import NOISE_MODELS

    names = dict[str, Any]()
    try:
        for block in blocks("python", page("add-a-noise-model")):
            exec(compile(block, "docs/add-a-noise-model.md", "exec"), names)
    finally:
        NOISE_MODELS.pop("scaled_gaussian", None)
    noise = names["noisy"].packed - names["clean"].packed
    assert float(noise.var()) == pytest.approx(4 * (0.01 * 0.25 + 1e-4), rel=0.05)
    assert float(names["noisy"].variance().mean()) == pytest.approx(float(noise.var()), rel=0.1)


@pytest.mark.parametrize("name", sorted(path.stem for path in DOCS.glob("*.md")))
def test_commands_parse(name: str) -> None:
    text = page(name)
    commands = [line for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]
    commands += [line[4:] for line in text.splitlines() if line.startswith("    rawsynth ")]
    for command in commands:
        found = re.match(r"\s*(?:srun .*?|torchrun .*?-m )?(rawsynth .*)", command)
        if found and "..." not in command:
            assert build_parser().parse_args(shlex.split(found[1], comments=True)[1:]).run, command


def test_the_page_of_the_command_line_has_every_verb_and_option(site: Callable[[str], ModuleType]) -> None:
    made = site("cli_page")
    text = made.render()
    assert set(made.verbs()) == set(VERBS)
    sections = dict(re.findall(r"^## rawsynth ([\w-]+)\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE))
    for name, parser in made.verbs().items():
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                for spelling in action.option_strings or [str(action.metavar or action.dest).upper()]:
                    assert spelling in sections[name], (name, spelling)


def test_the_page_of_python_has_every_public_name(site: Callable[[str], ModuleType]) -> None:
    made = site("api_page")
    text = made.render()
    for name in rawsynth.__all__:
        assert f"::: {rawsynth._HOMES[name]}.{name}\n" in text
    assert "## Further" not in text, "a public name's module has no topic: add it to TOPICS in docs/site/api_page.py"


def test_every_page_has_its_place() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    placed = set(re.findall(r"([\w/-]+)\.md$", nav, flags=re.MULTILINE))
    missing = {path.stem for path in DOCS.glob("*.md")} - placed
    assert not missing, f"pages without a line under nav in mkdocs.yml: {missing}"


def test_nothing_of_the_site_comes_from_elsewhere() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in text
    assert not re.search(r"extra_(css|javascript)|https?://", text)
