"""inputs: every way to name images and tars, what they are grouped to, and how the plan outlives a change."""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.inputs import list_input
from rawsynth.pipeline.reader import count_samples, read_shard
from rawsynth.pipeline.shards import InputFile, Listing, Shard, apply_limit, plan_shards
from rawsynth.pipeline.source_sample import SourceSample

ALL_PHOTOS = ["astronaut.jpg", "cats/chelsea.png", "cats/chelsea.v2.jpeg", "coffee.PNG", "rocket.jpg"]


@pytest.fixture
def mixed(photos: Path, photo_tar: Callable[..., Path]) -> Path:
    """The photographs, and beside them two tars."""
    photo_tar(photos / "shards" / "00.tar", 2)
    photo_tar(photos / "shards" / "01.tar", 3, first=2)
    return photos


def found(listing: Listing) -> list[str]:
    return [file.path for file in (*listing.tars, *listing.images)]


def read_all(shards: list[Shard]) -> list[SourceSample]:
    """Read every image: a plan is worth what can be read by it."""
    samples = [sample for shard in shards for sample in read_shard(shard, ())]
    for sample in samples:
        assert isinstance(sample, SourceSample) and len(sample.load()) > 100
    return samples  # type: ignore[return-value]


TARS = ["shards/00.tar", "shards/01.tar"]
SOURCES = [
    ("{root}", TARS + ALL_PHOTOS),
    ("{root}/", TARS + ALL_PHOTOS),
    ("file://{root}", TARS + ALL_PHOTOS),
    ("{root}/../photos", TARS + ALL_PHOTOS),
    ("{root}/cats", ["chelsea.png", "chelsea.v2.jpeg"]),
    ("{root}/*.jpg", ["astronaut.jpg", "rocket.jpg"]),
    ("{root}/r?cket.jp[ge]", ["rocket.jpg"]),
    ("{root}/**/*.png", ["cats/chelsea.png"]),
    ("{root}/*", ["astronaut.jpg", "coffee.PNG", "rocket.jpg"]),
    ("file://{root}/*.jpg", ["astronaut.jpg", "rocket.jpg"]),
    ("{root}/{{rocket,astronaut}}.jpg", ["rocket.jpg", "astronaut.jpg"]),
    ("{root}/{{cats/*.png,coffee.PNG}}", ["cats/chelsea.png", "coffee.PNG"]),
    ("{root}/shards/{{00..01}}.tar", ["00.tar", "01.tar"]),
    ("{root}/shards/*.tar", ["00.tar", "01.tar"]),
    ("{root}/shards/01.tar", ["01.tar"]),
    ("{root}/cats/chelsea.v2.jpeg", ["chelsea.v2.jpeg"]),
]


@pytest.mark.parametrize(("source", "paths"), SOURCES, ids=[source for source, _ in SOURCES])
def test_what_an_input_names(mixed: Path, source: str, paths: list[str]) -> None:
    listing = list_input(source.format(root=mixed), ReadConfig())
    assert found(listing) == paths
    read_all(plan_shards(listing, ReadConfig()))


RELATIVE = [
    ("photos", ALL_PHOTOS),
    ("./photos", ALL_PHOTOS),
    ("photos/*.jpg", ["astronaut.jpg", "rocket.jpg"]),
    ("./photos/*.jpg", ["astronaut.jpg", "rocket.jpg"]),
    ("photos/{{rocket,astronaut}}.jpg", ["rocket.jpg", "astronaut.jpg"]),
    ("*.png", ["here.png"]),
    ("{{here,there}}.png", ["here.png", "there.png"]),
    ("./here.png", ["here.png"]),
    ("here.png", ["here.png"]),
    ("list.txt", ["photos/rocket.jpg", "here.png"]),
]


@pytest.mark.parametrize(("source", "paths"), RELATIVE, ids=[source for source, _ in RELATIVE])
def test_inputs_relative_to_the_working_directory(
    photos: Path, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, source: str, paths: list[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("here.png").write_bytes(photo(5))
    Path("list.txt").write_text("photos/rocket.jpg\nhere.png\n")
    if "there" in source:
        Path("there.png").write_bytes(photo(6))
    listing = list_input(source.format(), ReadConfig())
    assert found(listing) == paths
    read_all(plan_shards(listing, ReadConfig()))


LISTS = [
    ("astronaut.jpg\nshards/00.tar\n", ["shards/00.tar", "astronaut.jpg"]),
    ("rocket.jpg\nastronaut.jpg\n", ["rocket.jpg", "astronaut.jpg"]),
    ("# photographs\n\n  rocket.jpg  \n#astronaut.jpg\n", ["rocket.jpg"]),
    ("\ufeffrocket.jpg\r\nastronaut.jpg\r\n", ["rocket.jpg", "astronaut.jpg"]),
    ("rocket.jpg\nrocket.jpg\n", ["rocket.jpg"]),
    ("{root}/rocket.jpg\nastronaut.jpg\n", ["{root}/rocket.jpg", "astronaut.jpg"]),
    ("file://{root}/rocket.jpg\n", ["file://{root}/rocket.jpg"]),
    ("./rocket.jpg\n./cats/chelsea.png\nrocket.jpg\n", ["rocket.jpg", "cats/chelsea.png"]),
    ("../photos/rocket.jpg\n", ["../photos/rocket.jpg"]),
    (".hidden.jpg\n", [".hidden.jpg"]),
]


@pytest.mark.parametrize(("text", "paths"), LISTS, ids=[repr(text) for text, _ in LISTS])
def test_list_files(mixed: Path, text: str, paths: list[str]) -> None:
    """What is named is read, also what a walk through a folder would pass over."""
    (mixed / "list.txt").write_bytes(text.format(root=mixed).encode())
    listing = list_input(str(mixed / "list.txt"), ReadConfig())
    assert found(listing) == [path.format(root=mixed) for path in paths]
    samples = read_all(plan_shards(listing, ReadConfig()))
    assert not any(sample.key.startswith("/") or ".." in sample.key for sample in samples)


def test_a_list_that_is_no_utf8_is_refused_by_name(photos: Path) -> None:
    (photos / "list.txt").write_bytes(b"caf\xe9.jpg\nrocket.jpg\n")
    with pytest.raises(UsageError, match=r"list\.txt.*UTF-8"):
        list_input(str(photos / "list.txt"), ReadConfig())


def test_a_folder_may_have_brackets_in_its_name(photos: Path) -> None:
    """A path that exists is meant as it stands; only what does not exist can be a pattern."""
    strange = photos.rename(photos.parent / "photos [2024] {raw}")
    assert found(list_input(str(strange), ReadConfig())) == ALL_PHOTOS


NOTHING = [
    ("empty", "no images and no tar shards in .*: nothing is there, hidden files aside"),
    ("texts", r"no images and no tar shards in .*, only 'a\.mp4', 'b\.mp4', 'notes\.md' and 1 more\. Give"),
    ("hidden", "no images and no tar shards in .*: nothing is there, hidden files aside"),
    ("packed", "no images and no tar shards in .*; unpack 'all/photos.ZIP' first"),
    ("packed/all/photos.ZIP", "; unpack 'photos.ZIP' first"),
    ("texts/notes.md", "no images and no tar shards"),
    ("empty/*.jpg", "no images and no tar shards"),
    ("empty.txt", "no images and no tar shards"),
    ("texts/{a,b", "unbalanced braces"),
]


def test_a_corpus_is_no_input(photos: Path, tmp_path: Path, make_corpus: Callable[..., Any]) -> None:
    make_corpus(photos, tmp_path / "corpus")
    with pytest.raises(UsageError, match="corpus is a corpus, RAW already; give the folder or tars of sRGB images"):
        list_input(str(tmp_path / "corpus"), ReadConfig())


@pytest.mark.parametrize(("source", "message"), NOTHING)
def test_an_input_without_images_is_refused(
    tmp_path: Path, photo: Callable[..., bytes], source: str, message: str
) -> None:
    for folder in ("empty", "texts", "hidden/.git", "packed/all"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("notes.md", "a.mp4", "b.mp4", "z.doc"):
        (tmp_path / "texts" / name).write_text("# no image")
    (tmp_path / "packed/all/photos.ZIP").write_bytes(b"PK")
    (tmp_path / "hidden/.git/a.jpg").write_bytes(photo(0))
    (tmp_path / "empty.txt").write_text("# a list of nothing\n")
    with pytest.raises(UsageError, match=message) as caught:
        list_input(str(tmp_path / source), ReadConfig())
    assert str(tmp_path / source) in str(caught.value)


def test_memory(memory: fsspec.AbstractFileSystem, photo: Callable[..., bytes]) -> None:
    for name in ("a.png", "sub/b.png", "c.txt"):
        memory.pipe(f"/in/{name}", photo(0))
    for source, paths in {
        "memory://in": ["a.png", "sub/b.png"],
        "memory://in/*.png": ["a.png"],
        "memory://in/{a,sub/b}.png": ["a.png", "sub/b.png"],
    }.items():
        listing = list_input(source, ReadConfig())
        assert found(listing) == paths
        read_all(plan_shards(listing, ReadConfig()))


# ---- what is named but not there ----


@pytest.mark.parametrize("how", ["braces", "list"])
def test_a_missing_file_that_was_named_stays_in_the_plan(mixed: Path, how: str) -> None:
    source = f"{mixed}/shards/{{00..02}}.tar"
    if how == "list":
        source = str(mixed / "shards/list.txt")
        Path(source).write_text("00.tar\n01.tar\n02.tar\n")
    shards = plan_shards(list_input(source, ReadConfig()), ReadConfig())
    assert [(shard.name, shard.files[0].size is None) for shard in shards] == [
        ("00", False), ("01", False), ("02", True),
    ]  # fmt: skip
    with pytest.raises(InputAccessError, match=r"02\.tar"):
        list(read_shard(shards[2], ()))


def test_a_missing_tar_does_not_stop_the_count_for_a_limit(mixed: Path) -> None:
    config = ReadConfig(limit=4)
    shards = plan_shards(list_input(f"{mixed}/shards/{{00,99,01}}.tar", config), config)
    limited = apply_limit(shards, 4, count_samples)
    assert {shard.name: shard.limit for shard in limited if shard.name != "99"} == {"00": 2, "01": 2}


# ---- grouping ----

RELATIVE_PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c d", "é", "x.y"]), min_size=1, max_size=3).map("/".join),
    unique=True,
    max_size=12,
)


def listed(tars: list[str], images: list[str]) -> Listing:
    return Listing(
        "root", tuple(InputFile(f"{p}.tar", 1) for p in tars), tuple(InputFile(f"{p}.jpg", 2) for p in images)
    )


@given(tars=RELATIVE_PATHS, images=RELATIVE_PATHS, size=st.integers(1, 5))
def test_every_file_is_in_one_shard(tars: list[str], images: list[str], size: int) -> None:
    listing = listed(tars, images)
    shards = plan_shards(listing, ReadConfig(images_per_shard=size))
    assert [file for shard in shards for file in shard.files] == [*listing.tars, *listing.images]
    assert len({shard.name for shard in shards}) == len(shards)
    assert all("." not in shard.name for shard in shards)
    assert all(len(shard.files) <= (1 if shard.kind == "tar" else size) for shard in shards)


@given(before=RELATIVE_PATHS, after=RELATIVE_PATHS, size=st.integers(1, 5))
def test_what_is_added_goes_into_new_shards(before: list[str], after: list[str], size: int) -> None:
    config = ReadConfig(images_per_shard=size)
    old, everything = listed(before, before), sorted({*before, *after})
    known = plan_shards(old, config)
    added = plan_shards(listed(everything, everything), config, known)
    new_files = [file.path for shard in added for file in shard.files]
    new = [path for path in everything if path not in before]
    assert new_files == [f"{p}.tar" for p in new] + [f"{p}.jpg" for p in new]
    names = [shard.name for shard in [*known, *added]]
    assert len(set(names)) == len(names)


@given(before=RELATIVE_PATHS, after=RELATIVE_PATHS)
def test_keys_are_stable_when_inputs_are_added(before: list[str], after: list[str]) -> None:
    def keys(paths: list[str]) -> set[str]:
        shards = plan_shards(listed([], paths), ReadConfig(images_per_shard=2))
        return {sample.key for shard in shards for sample in read_shard(shard, ())}

    assert keys(before) <= keys(sorted({*before, *after}))


def test_tars_of_one_stem_do_not_share_a_name() -> None:
    listing = Listing("", tuple(InputFile(p, 1) for p in ("a.tar", "a.tgz", "a.tar.gz", "b/a.tar", "s3://x/a.tar")), ())
    assert [shard.name for shard in plan_shards(listing, ReadConfig())] == ["a", "a-2", "a-3", "b/a", "x/a"]


def test_no_shard_has_the_part_names_of_another_s_split() -> None:
    tars = tuple(InputFile(path, 1) for path in ("a.tar", "a.tgz"))
    shards = plan_shards(Listing("", tars, ()), ReadConfig(splits={"2": 0.5, "val": 0.5}))
    names = [f"{shard.name}{split}" for shard in shards for split in ("", "-2", "-val")]
    assert [shard.name for shard in shards] == ["a", "a-3"]
    assert len(set(names)) == len(names)


def test_a_tar_s_name_need_not_be_short(tmp_path: Path) -> None:
    """Escaping makes nine characters of one kana; the part's file name must still fit the disk's 255 bytes."""
    listing = Listing(str(tmp_path), (InputFile("写真" * 30 + ".tar", 1),), ())
    (shard,) = plan_shards(listing, ReadConfig())
    storage.write_atomic(storage.join(str(tmp_path), f"{shard.name}-00.tar"), b"")


FILES = st.builds(
    InputFile,
    path=st.text(max_size=10),
    size=st.none() | st.integers(0, 2**40),
    siblings=st.lists(st.tuples(st.text("abc", min_size=1), st.text(max_size=5)), max_size=2, unique_by=lambda p: p[0])
    .map(tuple),
)  # fmt: skip


@given(
    name=st.text(st.characters(exclude_characters="./:"), min_size=1, max_size=5),
    kind=st.sampled_from(["tar", "parquet", "images"]),
    files=st.lists(FILES, min_size=1, max_size=3).map(tuple),
    limit=st.none() | st.integers(0, 9),
)
def test_a_shard_survives_json(name: str, kind: str, files: tuple[InputFile, ...], limit: int | None) -> None:
    shard = Shard(name, kind, "root", files if kind == "images" else files[:1], limit, base="/base")
    assert Shard.from_json(shard.to_json(), "root", "/base") == shard


# ---- limit, siblings ----


LIMITS = [(1, [1]), (2, [2]), (3, [2, 1]), (5, [2, 3]), (7, [2, 3, 2]), (10, [2, 3, 4, 1]), (99, [2, 3, 4, 1])]


@pytest.mark.parametrize(("limit", "taken"), LIMITS)
def test_limit_counts_source_images_over_tars_and_folders(mixed: Path, limit: int, taken: list[int]) -> None:
    config = ReadConfig(images_per_shard=4)
    shards = apply_limit(plan_shards(list_input(str(mixed), config), config), limit, count_samples)
    assert [len(read_all([shard])) for shard in shards] == taken


def test_no_limit_keeps_everything(mixed: Path) -> None:
    shards = plan_shards(list_input(str(mixed), ReadConfig()), ReadConfig())
    assert apply_limit(shards, None, count_samples) == shards


def test_members_to_keep_are_found_beside_the_images(tmp_path: Path, photo: Callable[..., bytes]) -> None:
    for name in ("a.jpg", "a.txt", "a.cls.json", "b.jpg", "c.txt", "d.jpg", "d.png"):
        (tmp_path / name).write_bytes(photo(0))
    config = ReadConfig(keep=("txt", "cls.json", "png"))
    listing = list_input(str(tmp_path), config)
    assert {file.path: dict(file.siblings) for file in listing.images} == {
        "a.jpg": {"txt": "a.txt", "cls.json": "a.cls.json"},
        "b.jpg": {},
        "d.jpg": {"png": "d.png"},  # kept, so a label, not an image of its own
    }


@pytest.mark.parametrize("source", ["{root}", "{root}/*.jpg", "{root}/{{a,b}}.jpg", "{root}/a.jpg", "{root}/list.txt"])
def test_members_to_keep_are_found_however_the_images_are_named(
    tmp_path: Path, photo: Callable[..., bytes], source: str
) -> None:
    """A caption that is asked for and is there must not be left behind without a word."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo(0))
    (tmp_path / "a.txt").write_text("a caption")
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n")
    listing = list_input(source.format(root=tmp_path), ReadConfig(keep=("txt",)))
    assert {file.path: dict(file.siblings) for file in listing.images if file.path != "b.jpg"} == {
        "a.jpg": {"txt": "a.txt"}
    }
    assert all(file.siblings == () for file in listing.images if file.path == "b.jpg")


# ---- HTTP ----


class Server(SimpleHTTPRequestHandler):
    """Serve a folder, listings too, with byte ranges, and status 500 for what is in ``broken``."""

    broken: set[str] = set()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name in self.broken:
            self.send_error(500)
        elif path.is_dir():
            super().do_GET()
        elif not path.is_file():
            self.send_error(404)
        else:
            content = path.read_bytes()
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last) + 1 if last else None]
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Accept-Ranges", "bytes")
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

    do_HEAD = do_GET


@pytest.fixture
def http(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of the mixed folder; fsspec's own http needs aiohttp."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(Server, "broken", set())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=os.fspath(mixed)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_http(http: str, mixed: Path) -> None:
    (mixed / "list.txt").write_text("shards/00.tar\nrocket.jpg\n")
    for source, paths in {
        f"{http}/list.txt": ["shards/00.tar", "rocket.jpg"],
        f"{http}/shards/{{00..01}}.tar": ["00.tar", "01.tar"],
        f"{http}/cats/chelsea.png": ["chelsea.png"],
    }.items():
        listing = list_input(source, ReadConfig())
        assert found(listing) == paths
        read_all(plan_shards(listing, ReadConfig()))


def test_a_folder_over_http_whose_listing_knows_no_sizes(http: str) -> None:
    listing = list_input(f"{http}/cats/", ReadConfig())
    assert found(listing) == ["chelsea.png", "chelsea.v2.jpeg"]
    read_all(plan_shards(listing, ReadConfig()))


@pytest.mark.parametrize("name", ["00.tar", "rocket.jpg"])
def test_a_server_that_fails_is_a_fault_of_access(
    http: str, mixed: Path, tmp_path: Path, make_corpus: Callable[..., Any], name: str
) -> None:
    """Status 500 says nothing about the image, so nothing may be recorded as lost."""
    (mixed / "list.txt").write_text("shards/00.tar\nrocket.jpg\n")
    Server.broken.add(name)
    summary = make_corpus(f"{http}/list.txt", tmp_path / "corpus")
    assert (summary.done, len(summary.failed), summary.lost, summary.exit_code) == (1, 1, 0, 1)
    Server.broken.clear()
    summary = make_corpus(f"{http}/list.txt", tmp_path / "corpus")
    assert (summary.done, summary.skipped_shards, summary.lost, summary.exit_code) == (2, 1, 0, 0)


def test_a_folder_that_cannot_be_listed_loses_no_member_to_keep_in_silence(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: str) -> set[str]:
        raise InputAccessError(f"cannot list {folder}: no permission")

    monkeypatch.setattr(storage, "list_names", fail)
    with pytest.raises(InputAccessError, match=r"--keep.*no permission"):
        list_input(str(photos / "*.jpg"), ReadConfig(keep=("txt",)))
    assert list_input(str(photos / "*.jpg"), ReadConfig()).images
    (photos / "list.txt").write_text("gone/a.jpg\n")
    assert list_input(str(photos / "list.txt"), ReadConfig(keep=("txt",))).images[0].siblings == ()
