"""storage: a file is there whole or not at all, locally and on any fsspec filesystem."""

import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth import storage
from rawsynth.errors import InputAccessError, OutputError, UsageError

PLACES = ["local", "memory"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> str:
    """URL of an empty folder, on a disk and in memory."""
    return str(tmp_path / "folder") if request.param == "local" else "memory://folder"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace sleeping by noting for how long."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def everything_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("url", "parts", "joined"),
    [
        ("corpus", ("a.tar",), "corpus/a.tar"),
        ("corpus/", ("records", "a.json"), "corpus/records/a.json"),
        ("s3://bucket/corpus", ("sub/a.tar",), "s3://bucket/corpus/sub/a.tar"),
        ("", ("a.jpg",), "a.jpg"),
        ("photos", ("/elsewhere/a.jpg",), "/elsewhere/a.jpg"),
        ("photos", ("s3://bucket/a.jpg",), "s3://bucket/a.jpg"),
    ],
)
def test_join(url: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(url, *parts) == joined


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(chunks=st.lists(st.binary(max_size=300), max_size=5))
def test_what_was_written_is_what_is_there(place: str, chunks: list[bytes]) -> None:
    url = storage.join(place, "sub", "a.bin")
    target = storage.AtomicFile(url)
    for chunk in chunks:
        target.write(chunk)
    target.commit()
    whole = b"".join(chunks)
    assert storage.read_bytes(url) == whole
    assert target.sha256.hexdigest() == hashlib.sha256(whole).hexdigest()
    assert target.bytes_written == storage.size(url) == len(whole)
    assert storage.walk_files(place) == [("sub/a.bin", len(whole))]


def test_nothing_has_the_name_before_the_commit(place: str) -> None:
    url = storage.join(place, "a.bin")
    target = storage.AtomicFile(url)
    target.write(b"new" * 1_000_000)
    assert not storage.exists(url)
    target.commit()
    assert storage.size(url) == 3_000_000


def test_the_old_file_stands_until_the_commit(place: str) -> None:
    url = storage.join(place, "a.bin")
    storage.write_atomic(url, b"old")
    target = storage.AtomicFile(url)
    target.write(b"new")
    assert storage.read_bytes(url) == b"old"
    target.abort()
    assert storage.read_bytes(url) == b"old"
    assert storage.walk_files(place) == [("a.bin", 3)]


def test_abort_after_commit_keeps_the_file(place: str) -> None:
    url = storage.join(place, "a.bin")
    target = storage.AtomicFile(url)
    target.write(b"kept")
    target.commit()
    target.abort()
    assert storage.read_bytes(url) == b"kept"


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync, rename, sync of the folder: in another order a power cut leaves an empty file or none."""
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        calls.append("sync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    storage.write_atomic(str(tmp_path / "a.json"), b"{}")
    assert calls == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_commit_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match=r"a\.tar: No space left on device.*Free some space"):
        storage.write_atomic(str(tmp_path / "a.tar"), b"data")
    assert everything_under(tmp_path) == set()


def test_an_upload_that_fails_leaves_nothing(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, no_waiting: list[float], tmp_path: Path
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, "the store is down")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OutputError, match="the store is down"):
        storage.write_atomic("memory://folder/a.tar", b"data")
    assert not memory.exists("/folder/a.tar")
    assert everything_under(tmp_path) == set()
    assert len(no_waiting) >= 2


def test_writers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b"abcdefgh"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda content: storage.write_atomic(str(tmp_path / "a"), content), contents))
    assert (tmp_path / "a").read_bytes() in contents
    assert everything_under(tmp_path) == {"a"}


# ---- reading ----


def test_retries_what_passes(no_waiting: list[float]) -> None:
    outcomes = [OSError("reset by peer"), TimeoutError("slow"), None]

    def action() -> str:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return "there"

    assert storage.retry(action, "memory://x") == "there"
    assert no_waiting == sorted(no_waiting) and len(no_waiting) == 2


@pytest.mark.parametrize(
    ("url", "error", "waits"),
    [
        ("memory://x", OSError("down"), 4),
        ("memory://x", FileNotFoundError("gone"), 0),
        ("memory://x", PermissionError("not yours"), 0),
        ("/x", OSError("bad disk"), 0),
    ],
)
def test_gives_up_in_the_end(url: str, error: OSError, waits: int, no_waiting: list[float]) -> None:
    def action() -> None:
        raise error

    with pytest.raises(InputAccessError, match=f"{url}.*{error}"):
        storage.retry(action, url)
    assert len(no_waiting) == waits


def test_a_driver_s_own_exception_is_a_fault_of_access(no_waiting: list[float]) -> None:
    """aiohttp and botocore raise exceptions that are no OSError, such as on an HTTP status 500."""

    class ClientError(Exception):
        """As aiohttp.ClientResponseError and botocore's exceptions are."""

    def action() -> None:
        raise ClientError("500, message='Internal Server Error'")

    with pytest.raises(InputAccessError, match="500"):
        storage.retry(action, "memory://x")


@pytest.mark.parametrize("use", [storage.read_bytes, storage.size, storage.open_read])
def test_a_missing_file_names_itself(place: str, use: Callable[[str], object]) -> None:
    url = storage.join(place, "gone.jpg")
    with pytest.raises(InputAccessError, match=r"gone\.jpg"):
        use(url)


@pytest.mark.parametrize("url", ["gopher://x/y", "nosuchscheme://x"])
def test_an_unknown_scheme_names_itself(url: str) -> None:
    with pytest.raises(UsageError, match=url):
        storage.exists(url)


def test_a_driver_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, **options: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match=r"s3://bucket/a: needs a driver: pip install 'rawsynth\[s3\]'"):
        storage.exists("s3://bucket/a")
    with pytest.raises(UsageError, match=r"abfs://a: Install s3fs to access S3$"):
        storage.exists("abfs://a")


def test_streams_seek(place: str) -> None:
    url = storage.join(place, "a.bin")
    storage.write_atomic(url, bytes(range(256)))
    with storage.open_read(url) as stream:
        assert stream.seek(0, 2) == 256
        stream.seek(100)
        assert stream.read(3) == bytes([100, 101, 102])


@pytest.mark.parametrize("ending", ["", "/"])
def test_walk_lists_relative_paths_and_sizes(place: str, ending: str) -> None:
    for name, size in (("b.txt", 2), ("a/z.txt", 0), ("a/b/c.txt", 5), ("a.txt", 1)):
        storage.write_atomic(storage.join(place, name), bytes(size))
    rows = storage.walk_files(place + ending)
    assert rows == [("a.txt", 1), ("a/b/c.txt", 5), ("a/z.txt", 0), ("b.txt", 2)]
    assert storage.is_folder(place + ending) and not storage.is_folder(storage.join(place, "a.txt"))


def test_glob_gives_urls_that_open(place: str) -> None:
    for name in ("b2.tar", "b1.tar", "c1.tar", "b1.txt"):
        storage.write_atomic(storage.join(place, name), name.encode())
    found = storage.glob(storage.join(place, "b*.tar"))
    assert [storage.read_bytes(url) for url in found] == [b"b1.tar", b"b2.tar"]


# ---- folders and leftovers ----


def test_remove_is_content_with_nothing(place: str) -> None:
    url = storage.join(place, "a.txt")
    storage.write_atomic(url, b"x")
    storage.remove(url)
    storage.remove(url)
    assert not storage.exists(url)


@pytest.mark.parametrize("bad", ["file/below", "/proc/rawsynth/corpus"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write to .*Choose a folder"):
        storage.prepare_folder(str(tmp_path / bad))


@pytest.mark.parametrize("target", ["dataset.json", "a-00.tar", "sub/a-01.tar", "records/a.json", "records/sub/a.json"])
def test_what_a_killed_run_left_can_be_removed(tmp_path: Path, target: str) -> None:
    storage.AtomicFile(str(tmp_path / target)).write(b"half")
    mine = {".mine.tmp", ".notes.txt.tmp", "b-00.tar"}
    for name in mine:
        (tmp_path / name).write_text("not what a killed run left")
    assert len(everything_under(tmp_path)) == 4
    storage.remove_stale(str(tmp_path))
    assert everything_under(tmp_path) == mine


def test_there_may_be_nothing_to_remove(tmp_path: Path) -> None:
    storage.remove_stale(str(tmp_path / "nowhere"))
    storage.remove_stale("memory://nowhere")
    assert everything_under(tmp_path) == set()


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open/a.jpg", "shut/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputAccessError, match=r"cannot read \S*/shut: Permission denied"):
        storage.walk_files(str(tmp_path))
