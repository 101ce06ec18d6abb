"""The documentation's commands parse, its made pages miss nothing, and the site shows and finds them."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import rawsynth
from rawsynth.cli.main import VERBS, build_parser
from rawsynth.pipeline.config import SECTIONS
from tests.browser import load

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


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


@pytest.mark.parametrize("name", sorted(path.stem for path in DOCS.glob("*.md")))
def test_commands_parse(name: str) -> None:
    text = page(name)
    commands = [line for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]
    commands += [line[4:] for line in text.splitlines() if line.startswith("    rawsynth ")]
    for command in commands:
        found = re.match(r"\s*(?:srun .*?|torchrun .*?-m )?(rawsynth .*)", command)
        if found and "..." not in command:
            assert build_parser().parse_args(shlex.split(found[1], comments=True)[1:]).run, command


def test_files_that_pages_name_exist() -> None:
    pages = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for path in pages:
        for name in re.findall(r"\b((?:benchmarks|examples|rawsynth|tests)/[\w/]+\.\w+)", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


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


def test_the_page_of_files_has_every_option(site: Callable[[str], ModuleType]) -> None:
    made = site("options_page")
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", made.render(), flags=re.DOTALL | re.MULTILINE))
    for title, (_, model) in made.FILES.items():
        for name, field in model.model_fields.items():
            inner = getattr(field.annotation, "model_fields", None)
            assert (f"| `[{name}]` |" if inner else f"| `{name}` |") in sections[title]
            assert all(f"| `{key}` |" in sections[title] for key in inner or ())


def test_names_that_share_a_line_of_a_docstring_have_lines_of_their_own(site: Callable[[str], ModuleType]) -> None:
    pytest.importorskip("griffe")
    text = "Args:\n    shot, read: S and O,\n        both or none.\n    seed: a number."
    apart = "    shot: S and O,\n        both or none.\n    read: S and O,\n        both or none.\n    seed: a number."
    assert site("docstrings").shown(text) == f"Args:\n{apart}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install 'rawsynth[docs]' builds the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return folder


def test_nothing_of_the_site_comes_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*? (?:src|href)=.?https?://[^>]*", page.read_text("utf-8"))
        assert not loaded, (page.name, loaded)


def test_search_finds_a_page_that_is_opened_from_a_disk(built: Path) -> None:
    script = """
      const field = document.querySelector(".md-search__input"), found = () => document.querySelector(
        ".md-search-result__item a[href]");
      field.focus();
      field.value = "extrapolate";
      for (let i = 0; i < 100 && !found(); i++) {
        field.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
        await new Promise((done) => setTimeout(done, 50));
      }
      return found()?.getAttribute("href");"""
    assert ".html" in load(built / "index.html", script).result


@pytest.mark.parametrize("page_name", ["generate", "reference/api", "reference/cli"])
@pytest.mark.parametrize("width", [1280, 500])
def test_pages_are_no_wider_than_the_screen(built: Path, page_name: str, width: int) -> None:
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth;"
    assert load(built / f"{page_name}.html", script, width=width).result == 0


def test_code_fits_its_column_on_a_small_laptop() -> None:
    """107 characters are what a page of the site shows of a line at 1280 pixels."""
    for path in [*DOCS.glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md"]:
        for line in "".join(re.findall(r"^```.*?^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)).splitlines():
            assert len(line) <= 107, f"{path.name}: {line}"


def test_pages_have_one_title_and_no_level_is_left_out() -> None:
    for path in DOCS.glob("*.md"):
        text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
        assert text.startswith("# ") and levels.count(1) == 1, path.name
        assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False)), path.name


def test_the_page_on_corpora_names_every_option() -> None:
    for section, model in SECTIONS.items():
        (row,) = (line for line in page("generate").splitlines() if line.startswith(f"| `[{section}]` |"))
        assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == set(model.model_fields), section
