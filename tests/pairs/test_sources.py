"""RAW files are found with the JPEGs beside them, and each has a key that is legal and its own."""

import re
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.errors import UsageError
from rawsynth.pairs.sources import RawSource, find_sources


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def found(location: object) -> dict[str, list[str]]:
    return {source.path: [path for path, _ in source.jpegs] for source in find_sources(str(location))}


def test_a_folder_with_subfolders(tmp_path: Path) -> None:
    fill(tmp_path, "b.DNG", "b.jpg", "a/x.nef", "a/x.JPEG", "a/b.jpg", "notes.txt", "c.cr2", "d.jpg", "e.tar")
    assert found(tmp_path) == {"a/x.nef": ["a/x.JPEG"], "b.DNG": ["b.jpg"], "c.cr2": []}
    assert list(found(f"{tmp_path}/")) == ["a/x.nef", "b.DNG", "c.cr2"]


def test_case_of_names_and_suffixes(tmp_path: Path) -> None:
    fill(tmp_path, "IMG_1.Dng", "img_1.JPG", "IMG_1.jpeg", "IMG_1.jpg.txt", "IMG_10.jpg")
    assert found(tmp_path) == {"IMG_1.Dng": ["IMG_1.jpeg", "img_1.JPG"]}


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "._a.dng", ".trash/b.dng", "a.dng", "._a.jpg")
    assert found(tmp_path) == {"a.dng": []}


def test_folders_of_one_name_but_for_case(tmp_path: Path) -> None:
    fill(tmp_path, "Trip/a.dng", "trip/a.jpg")
    assert found(tmp_path) == {"Trip/a.dng": []}


def test_patterns_and_single_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "in/a/1.nef", "in/a/1.jpg", "in/b/2.nef", "in/b/3.dng", "in/[x].dng", "in/[x].jpg")
    assert found(tmp_path / "in/*/*.nef") == {"a/1.nef": ["a/1.jpg"], "b/2.nef": []}
    assert found(tmp_path / "in/**/*.dng") == {"[x].dng": ["[x].jpg"], "b/3.dng": []}
    assert found(tmp_path / "in/a/1.nef") == {"1.nef": ["1.jpg"]}
    assert found(tmp_path / "in/[x].dng") == {"[x].dng": ["[x].jpg"]}
    monkeypatch.chdir(tmp_path / "in")
    assert found("a") == {"1.nef": ["1.jpg"]} and found("*/1.*") == {"a/1.nef": ["a/1.jpg"]}
    assert found("b/3.dng") == {"3.dng": []} and list(found(".")) == ["[x].dng", "a/1.nef", "b/2.nef", "b/3.dng"]


def test_links_keep_their_names(tmp_path: Path) -> None:
    fill(tmp_path, "store/0001", "in/b.jpg")
    (tmp_path / "in/b.dng").symlink_to(tmp_path / "store/0001")
    for location in (tmp_path / "in", tmp_path / "in/*.dng", tmp_path / "in/b.dng"):
        assert found(location) == {"b.dng": ["b.jpg"]}


def test_other_stores(memory: fsspec.AbstractFileSystem) -> None:
    for name in ("in/a.dng", "in/a.jpg", "in/sub/b.arw"):
        memory.pipe_file(f"/{name}", b"")
    for location in ("memory://in", "memory://in/*", "memory://in/a.dng"):
        source = find_sources(location)[0]
        assert (source.path, [path for path, _ in source.jpegs]) == ("a.dng", ["a.jpg"])
        assert memory.exists(source.url) and memory.exists(source.jpegs[0][1])


@pytest.mark.parametrize("location", ["nowhere", "empty", "photos", "photos/a.jpg", "photos/*.dng"])
def test_nothing_to_find(tmp_path: Path, location: str) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "photos", "a.jpg", "b.tiff")
    with pytest.raises(UsageError, match=re.escape(location)):
        find_sources(str(tmp_path / location))


parts = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300).filter(lambda p: p.strip("."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@given(first=paths, second=paths, suffixes=st.tuples(*[st.sampled_from(["dng", "DNG", "cr2"])] * 2))
def test_keys_are_legal_and_unique(first: str, second: str, suffixes: tuple[str, str]) -> None:
    sources = [RawSource(f"{stem}.{suffix}", "") for stem, suffix in zip((first, second), suffixes, strict=True)]
    for source in sources:
        assert re.fullmatch(r"[A-Za-z0-9_=/]+-[A-Za-z0-9]+", source.key) and "." not in source.key
        assert max(map(len, source.key.split("/"))) < 200
        assert re.fullmatch(r"[A-Za-z0-9_=]+-[A-Za-z0-9]+", source.file_name) and len(source.file_name) < 200
    if sources[0].path != sources[1].path:
        assert sources[0].key != sources[1].key and sources[0].file_name != sources[1].file_name


def test_names_that_are_not_unicode_have_keys_of_their_own() -> None:
    """Undecodable bytes (surrogateescape, POSIX) and lone surrogates (Windows) in names."""
    names = ["\ud800.dng", "\udced\udca0\udc80.dng", "\udce9.dng", "\udd00.dng"]
    assert len({RawSource(name, "").key for name in names}) == len(names)


def test_a_raw_and_its_copy_show_one_scene() -> None:
    original, copy = RawSource("trip/IMG_1.CR2", ""), RawSource("trip/IMG_1.dng", "")
    assert original.scene == copy.scene == "trip/IMG_1" and original.key != copy.key
