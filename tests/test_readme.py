"""The README's blocks run as they are printed."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from rawsynth.cli.main import build_parser, main
from rawsynth.engine.local import generate
from rawsynth.pipeline.config import build_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def corpus_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    """A working folder that holds `corpus/`, as the README assumes."""
    monkeypatch.chdir(tmp_path)
    for output, clean_only in (("corpus", False), ("clean-corpus", True)):
        write = {"clean_only": clean_only}
        generate(build_config({"input": str(photos), "output": output, "image": {"crop": 32}, "write": write}))


@pytest.mark.usefixtures("corpus_here")
def test_python_blocks_run() -> None:
    names: dict[str, object] = {}
    assert len(blocks("python")) == 5
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["pair"]["noisy"].shape == (4, 16, 16)  # type: ignore[index]
    assert names["noisy"].shape == (4, 16, 16)  # type: ignore[attr-defined]


def test_the_blocks_on_noise_run() -> None:
    for block in blocks("python", (ROOT / "docs/noise.md").read_text("utf-8")):
        exec(compile(block, "docs/noise.md", "exec"), {})


def test_the_guide_to_a_method_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first block is a file that its command takes; the others go on from there."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/add-a-method.md").read_text("utf-8")
    first, *others = blocks("python", text)
    Path("mine.py").write_text(first, "utf-8")
    (command,) = (line for block in blocks("bash", text) for line in block.splitlines())
    assert main(shlex.split(command)[1:]) == 0
    assert "plain_gamma" in Path("scores/bench.md").read_text("utf-8")
    names: dict[str, object] = {}
    for block in (first, *others):
        exec(compile(block, "docs/add-a-method.md", "exec"), names)


@pytest.mark.parametrize("document", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_of_the_documents_lead_somewhere(document: str) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / "docs" / link).exists(), link


def test_commands_parse() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("rawsynth")]
    assert len(commands) >= 5
    for command in commands:
        assert build_parser().parse_args(shlex.split(command, comments=True)[1:]).run


def test_the_block_on_dng_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    *_, block = blocks("python", (ROOT / "docs/export.md").read_text("utf-8"))
    exec(compile(block, "docs/export.md", "exec"), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.dng", "noisy12.dng"]


def test_toml_block_is_a_configuration() -> None:
    (block,) = blocks("toml", (ROOT / "docs/generate.md").read_text("utf-8"))
    config = build_config(tomllib.loads(block))
    assert config.image.crop == (256, 256) and config.noise.realizations == 2
