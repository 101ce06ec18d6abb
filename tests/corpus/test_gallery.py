"""gallery: a sheet and one page that show what a corpus holds, whatever it holds."""

import base64
import html
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from rawsynth.corpus.gallery import write_gallery
from rawsynth.errors import UsageError
from tests.browser import load

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> Path:
    """Three samples with their sources and two realizations, one larger than what is shown."""
    root = tmp_path_factory.mktemp("gallery")
    (root / "in").mkdir()
    for name, (height, width) in {"a": (64, 64), "b<i>&": (64, 96), "c": (128, 160)}.items():
        (root / f"in/{name}.png").write_bytes(photo(len(name), height=height, width=width))
    noise = {"noise": "heteroscedastic_gaussian", "shot": 0.01, "read": 0.0004, "realizations": 2}
    make_corpus(root / "in", root / "corpus", write={"srgb": True}, noise=noise)
    return root / "corpus"


def pictures(page: str, kind: str = "png") -> list[Image.Image]:
    found = re.findall(rf"data:image/{kind};base64,([A-Za-z0-9+/=]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def test_a_sheet_and_a_page(made: Path, tmp_path: Path) -> None:
    done = write_gallery(str(made), str(tmp_path / "look"), window=64)
    assert (done.samples, done.damaged, done.exit_code) == (3, [], 0)
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == ["preview.html", "preview.png"]
    page = (tmp_path / "look/preview.html").read_text("utf-8")
    assert [image.size for image in pictures(page)] == [(64, 64)] * 12
    assert [image.size for image in pictures(page, "jpeg")] == [(480, 320), (480, 384)]
    assert page.count("<svg") == 6 and page.count("measured / model") >= 4
    assert "heteroscedastic_gaussian" in page and "made by" in page
    with Image.open(tmp_path / "look/preview.png") as sheet:
        assert sheet.format == "PNG" and 3 * 260 < sheet.height < 3 * 260 + 300


def test_the_page_names_no_address_and_escapes_what_it_shows(made: Path, tmp_path: Path) -> None:
    write_gallery(str(made), str(tmp_path / "look"))
    page = (tmp_path / "look/preview.html").read_text("utf-8")
    assert not re.findall(r"https?://|src=\"(?!data:)|href=\"(?!data:)|@import|url\(", page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "b<i>" not in page and "b&lt;i&gt;&amp;" in page


def test_pixels_are_the_sensor_s_and_the_residual_is_gray(made: Path, tmp_path: Path) -> None:
    write_gallery(str(made), str(tmp_path / "look"), keys=["a-png"], gain=3.0)
    srgb, clean, noisy, residual = pictures((tmp_path / "look/preview.html").read_text("utf-8"))
    assert srgb.size == clean.size == noisy.size == residual.size == (64, 64) and residual.mode == "L"
    gray = np.asarray(residual, float) / 255
    assert abs(gray.mean() - 0.5) < 0.02 and 0.02 < gray.std() < 0.3
    assert np.corrcoef(np.asarray(srgb, float).ravel(), np.asarray(clean, float).ravel())[0, 1] > 0.8


def test_realizations_by_key(made: Path, tmp_path: Path) -> None:
    write_gallery(str(made), str(tmp_path / "look"), keys=["a-png#1", "a-png"])
    page = (tmp_path / "look/preview.html").read_text("utf-8")
    shown = pictures(page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["a-png#1", "a-png"]
    assert shown[1].tobytes() == shown[5].tobytes() and shown[2].tobytes() != shown[6].tobytes()


@pytest.mark.parametrize(
    ("write", "said", "views"),
    [
        ({}, "made without --srgb", ["clean", "noisy", "residual"]),
        ({"clean_only": True}, "clean RAW only", ["clean"]),
    ],
    ids=["no srgb", "clean only"],
)
def test_what_a_corpus_does_not_hold_is_said(
    photos: Path, tmp_path: Path, make_corpus: Make, write: dict[str, bool], said: str, views: list[str]
) -> None:
    make_corpus(photos, tmp_path / "corpus", write=write, read={"limit": 1})
    write_gallery(str(tmp_path / "corpus"), str(tmp_path / "look"))
    page = (tmp_path / "look/preview.html").read_text("utf-8")
    assert said in page and re.findall(r'data-view="(\w+)"', page) == views


def damaged_copy(corpus: Path, target: Path, key: str, member: str, at: int = 0) -> Path:
    """Change the first bytes of one member of one sample."""
    target.mkdir()
    for path in corpus.rglob("*"):
        if path.is_file():
            (target / path.relative_to(corpus)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(corpus)).write_bytes(path.read_bytes())
    (part,) = target.glob("*.tar")
    content = part.read_bytes()
    start = content.index(f"{key}.{member}".encode()) + 512 + at
    part.write_bytes(content[:start] + b"????" + content[start + 4 :])
    return target


@pytest.mark.parametrize("member", ["json", "clean.npy", "noisy.0.npy", "srgb.jpg"])
def test_a_damaged_sample_costs_that_sample(made: Path, tmp_path: Path, member: str) -> None:
    corpus = damaged_copy(made, tmp_path / "damaged", "a-png", member)
    done = write_gallery(str(corpus), str(tmp_path / "look"))
    assert (done.samples, done.exit_code) == (2, 1) and [one.name for one in done.damaged] == ["a-png"]
    page = (tmp_path / "look/preview.html").read_text("utf-8")
    assert 'role="alert"' in page and html.escape(done.damaged[0].cause) in page
    assert len(re.findall("<article", page)) == 2


def test_nothing_but_damage_leaves_a_page_that_says_so(made: Path, tmp_path: Path) -> None:
    corpus = damaged_copy(made, tmp_path / "damaged", "a-png", "json")
    done = write_gallery(str(corpus), str(tmp_path / "look"), keys=["a-png"])
    assert done.sheet is None and done.exit_code == 1 and (tmp_path / "look/preview.html").exists()


def test_stores_and_bare_tars(made: Path, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.put(str(made), "/corpus", recursive=True)
    write_gallery("memory://corpus", "memory://look", limit=1)
    assert memory.cat("/look/preview.html").startswith(b"<!DOCTYPE html>")
    assert write_gallery(f"{made}/*.tar", str(tmp_path / "look"), limit=2).samples == 2


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 101}, {"window": 8}, {"gain": 0.0}, {"gain": float("inf")}], ids=str
)
def test_numbers_out_of_range(made: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        write_gallery(str(made), str(tmp_path / "look"), **options)
    assert not (tmp_path / "look").exists()


# ---- in a browser ----

_CLICK = """
const view = document.querySelectorAll("article .view")[2], box = view.getBoundingClientRect();
const click = {detail: 1, bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2};
view.dispatchEvent(new MouseEvent("click", click));
const dialog = document.getElementById("zoom"), image = dialog.querySelector(".pane img");
const rest = () => new Promise((done) => setTimeout(done, 200));
await rest();
const seen = {open: dialog.open, at400: image.getBoundingClientRect().width, alt: image.alt};
seen.rendering = getComputedStyle(image).imageRendering;
dialog.querySelector(".in").click();
seen.at600 = image.getBoundingClientRect().width;
dialog.dispatchEvent(new KeyboardEvent("keydown", {key: "4", bubbles: true}));
await rest();
seen.other = image.alt;
seen.pressed = [...dialog.querySelectorAll("[aria-pressed=true]")].map((one) => one.textContent);
dialog.querySelector(".close").click();
seen.closed = !dialog.open;
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return seen;
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 380])
def test_in_a_browser_the_zoom_works_and_nothing_complains(made: Path, tmp_path: Path, width: int) -> None:
    write_gallery(str(made), str(tmp_path / "look"), window=64)
    seen = load(tmp_path / "look/preview.html", _CLICK, width=width)
    assert seen.console == []
    assert seen.result == {
        "open": True, "at400": 256, "alt": "noisy", "rendering": "pixelated", "at600": 384, "other": "residual",
        "pressed": ["residual"], "closed": True, "overflow": 0,
    }  # fmt: skip
