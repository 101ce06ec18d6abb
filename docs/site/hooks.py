"""What mkdocs asks while it builds the site: pages that are made, and links that lead out of docs/."""

from __future__ import annotations

import importlib.util
import posixpath
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Files beside docs/ that are pages of the site, too.
BESIDE = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
}
# What a page links to in the source, because no page of docs/ has it, and where the site has it.
MADE_OF = {
    "rawsynth/pipeline/config.py": "reference/options.md#a-corpus",
    "rawsynth/training/config.py": "reference/options.md#a-training-on-pairs",
    "rawsynth/training/scene_config.py": "reference/options.md#a-training-of-rst_isp_net_small",
}
_LINK = re.compile(r"\[([^\]\n]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def _load(name: str) -> ModuleType:
    """Load a module that lies here: this folder is no package, and mkdocs does not search it."""
    spec = importlib.util.spec_from_file_location(f"rawsynth_site_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made from parsers, public names and files beside docs/."""
    sys.path.insert(0, str(ROOT))
    made = {f"reference/{name}.md": _load(f"{name}_page").render() for name in ("cli", "options", "api")}
    for source, page in BESIDE.items():
        if page not in files.src_uris:
            made[page] = _relocated((ROOT / source).read_text("utf-8"), source, page)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Mend links to files that are not in docs/: to the page made of one, or, where there is none, plain code.

    A link that shows the name of a page's file shows the page's title.
    """
    folder, titles = posixpath.join("docs", posixpath.dirname(page.file.src_uri)), _titles(config.nav)
    text = _outside_fences(markdown, lambda match: _mended(match, folder, page.file.src_uri))
    return _outside_fences(text, lambda match: match[0].replace(f"[{match[1]}]", f"[{titles.get(match[1], match[1])}]"))


def _titles(nav: list[Any] | Any) -> dict[str, str]:
    """Return the title of each page by the file that ``nav`` names."""
    found: dict[str, str] = {}
    for entry in nav:
        for title, below in entry.items():
            found |= {below: title} if isinstance(below, str) else _titles(below)
    return found


def _mended(match: re.Match[str], folder: str, page: str) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    path = posixpath.normpath(posixpath.join(folder, target))
    if path.startswith("docs/") and not path.endswith(".sha256"):
        return match[0]
    if path in BESIDE or path in MADE_OF:
        found = BESIDE[path] + anchor if path in BESIDE else MADE_OF[path]
        return f"[{text}]({posixpath.relpath(found, posixpath.dirname(page) or '.')})"
    return f"`{text.strip('`')}`"


def _relocated(text: str, source: str, page: str) -> str:
    """Turn a file's links, which start from its own folder, into those of a page of docs/."""
    folder = posixpath.dirname(source)

    def moved(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        start = posixpath.join("docs", posixpath.dirname(page))
        return f"[{match[1]}]({posixpath.relpath(path, start)}{match[3] or ''})"

    return _outside_fences(text, moved)


def _outside_fences(text: str, replace: Any) -> str:
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(replace, part) for part in parts)
