"""One page that needs nothing else, and the figures beside it."""

import base64
import re
from pathlib import Path

import fsspec
import pytest

from rawsynth.errors import OutputError, UsageError
from rawsynth.evaluation.page import Figure, Table, page_html, write_page

PNG = b"\x89PNG not really"
FIGURE = Figure("curve", "A <curve>", PNG, "caption & more")
TABLE = Table("Numbers", ["camera", "gain"], [["A & B <x>", "0.28"], ["C", "-3 %"]], "of two")


def test_files(tmp_path: Path) -> None:
    write_page(str(tmp_path / "new/report"), title="T", summary=["one", "two"], blocks=[FIGURE, TABLE])
    folder = tmp_path / "new/report"
    assert {path.name for path in folder.iterdir()} == {"index.html", "curve.png"}
    assert (folder / "curve.png").read_bytes() == PNG
    page = (folder / "index.html").read_text("utf-8")
    embedded = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(data) for data in embedded] == [PNG]
    assert page.index("one") < page.index("two") < page.index("curve") < page.index("Numbers")
    assert "http" not in page


def test_on_an_object_store(memory: fsspec.AbstractFileSystem) -> None:
    write_page("memory://report", title="T", summary=[], blocks=[FIGURE])
    assert memory.cat("/report/curve.png") == PNG and b"<h1>T</h1>" in memory.cat("/report/index.html")


def test_text_is_text() -> None:
    page = page_html(title="<script>", summary=["a < b"], blocks=[FIGURE, TABLE])
    assert "<script>" not in page and "<x>" not in page and "<curve>" not in page
    for text in ("&lt;script&gt;", "a &lt; b", "A &amp; B &lt;x&gt;", "caption &amp; more"):
        assert text in page


def test_numbers_are_set_to_the_right() -> None:
    page = page_html(title="T", summary=[], blocks=[TABLE])
    assert '<td class="number">0.28</td>' in page and '<td class="number">-3 %</td>' in page and "<td>C</td>" in page


def test_names_without_utf8_are_shown(tmp_path: Path) -> None:
    write_page(str(tmp_path), title="\udcff", summary=[], blocks=[])
    assert r"\udcff" in (tmp_path / "index.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "-a"])
def test_a_figure_s_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="figure's name"):
        write_page(str(tmp_path), title="T", summary=[], blocks=[Figure(name, "t", PNG, "")])
    assert not list(tmp_path.iterdir())


def test_a_figure_s_name_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="curve"):
        write_page(str(tmp_path), title="T", summary=[], blocks=[FIGURE, FIGURE])


def test_rows_fit_their_table() -> None:
    with pytest.raises(UsageError, match="Numbers.*2 columns.*row of 1"):
        page_html(title="T", summary=[], blocks=[Table("Numbers", ["a", "b"], [["1"]])])


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_page(str(tmp_path / "file/report"), title="T", summary=[], blocks=[])
