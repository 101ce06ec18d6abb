"""FilesAhead: many reads are under way before they are asked for, in order, and bounded in number and in bytes."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from rawsynth.errors import InputAccessError
from rawsynth.storage import FilesAhead

COUNT = 100


class Reads:
    """Notes which files were asked for; answers when ``open``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        self.asked.append(path)
        self.open.wait(10)
        if "bad" in path:
            raise PermissionError("not yours")
        return f"content of {path}".encode()[start:end]


@pytest.fixture
def reads(memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    """The memory filesystem's reads."""
    noted = Reads()
    monkeypatch.setattr(type(memory), "cat_file", lambda self, *args, **options: noted.cat_file(*args, **options))
    yield noted
    noted.open.set()


def url(index: int) -> str:
    return f"memory://in/{index:03d}.jpg"


def content(index: int) -> bytes:
    return f"content of {url(index).removeprefix('memory:/')}".encode()


def files(count: int = COUNT, size: int = len(content(0))) -> list[tuple[str, int | None]]:
    return [(url(index), size) for index in range(count)]


def settle(reads: Reads) -> int:
    """Wait until no more reads begin."""
    before = -1
    while before != len(reads.asked):
        before = len(reads.asked)
        time.sleep(0.1)
    return before


def test_each_gets_its_own_bytes(reads: Reads) -> None:
    ahead = FilesAhead(files())
    assert [ahead.next()() for _ in range(COUNT)] == [content(index) for index in range(COUNT)]
    assert len(reads.asked) == COUNT


def test_reads_are_under_way_before_they_are_asked_for(reads: Reads) -> None:
    ahead = FilesAhead(files())
    ahead.next()
    assert settle(reads) == 33
    ahead.stop()


def test_few_at_a_time_ask_the_store(reads: Reads) -> None:
    reads.open.clear()
    ahead = FilesAhead(files())
    ahead.next()
    assert settle(reads) == 16
    ahead.stop()


@pytest.mark.parametrize("weight", [100, 250, 5000])
def test_the_bytes_in_memory_are_bounded(reads: Reads, monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    """One file larger than the bound is read all the same, alone."""
    monkeypatch.setattr("rawsynth.storage.files_ahead._BYTES", 1000)
    monkeypatch.setattr("rawsynth.storage.files_ahead._UNKNOWN_BYTES", weight)
    monkeypatch.setattr("rawsynth.storage.files_ahead.read_bytes", lambda url, listed: reads.cat_file(url))
    ahead = FilesAhead([(url(index), None) for index in range(COUNT)])
    most = max(1, 1000 // weight)
    taken = [ahead.next()]
    assert settle(reads) == most
    for done in range(1, 4):
        taken.pop()()
        assert settle(reads) == most + done
        taken.append(ahead.next())
    ahead.stop()


def test_handing_out_never_waits(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes all reads before making the first gets them, though no more fit into memory."""
    monkeypatch.setattr("rawsynth.storage.files_ahead._BYTES", 100)
    ahead = FilesAhead(files())
    handed_out = [ahead.next() for _ in range(COUNT)]
    assert [read() for read in reversed(handed_out)] == [content(index) for index in reversed(range(COUNT))]


def test_a_fault_is_raised_where_its_file_is_read(reads: Reads) -> None:
    ahead = FilesAhead([(url(0), 5), ("memory://in/bad.jpg", 5), (url(1), len(content(1)))])
    first, second, third = (ahead.next() for _ in range(3))
    assert third() == content(1)
    with pytest.raises(InputAccessError, match=r"bad\.jpg: not yours"):
        second()


def test_stopping_gives_up_what_has_not_begun(reads: Reads) -> None:
    reads.open.clear()
    ahead = FilesAhead(files())
    first = ahead.next()
    begun = settle(reads)
    ahead.stop()
    reads.open.set()
    assert first() == content(0)
    assert settle(reads) == begun
    assert not [thread for thread in threading.enumerate() if thread.name == "rawsynth-files-ahead"]


def test_local_files_are_read_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"early")
    ahead = FilesAhead([(str(tmp_path / "a"), 5)])
    read = ahead.next()
    (tmp_path / "a").write_bytes(b"later")
    assert read() == b"later"
