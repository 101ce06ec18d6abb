"""open_read on a remote store: any seeks give the file's bytes, blocks come before they are asked for, and few wait."""

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth import storage
from rawsynth.errors import InputAccessError

BLOCK = 1000
DATA = bytes(i * i % 251 for i in range(25 * BLOCK + 7))
URL = "memory://folder/a.bin"


class Store:
    """The memory filesystem's ranges, noted and, where asked for, held up or spoilt."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.answered = 0
        self.arrived = threading.Condition()
        self.open = threading.Event()
        self.open.set()
        self.faults: list[Any] = []

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        with self.arrived:
            self.starts.append(start or 0)
            self.arrived.notify_all()
        self.open.wait(10)
        fault = self.faults.pop(0) if self.faults else None
        with self.arrived:
            self.answered += 1
            self.arrived.notify_all()
        if isinstance(fault, Exception):
            raise fault
        return DATA[start:end] if fault is None else DATA[start:end][:fault]

    def wait_for(self, requests: int) -> bool:
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self.starts) >= requests, 10)

    def answer(self, requests: int) -> bool:
        with self.arrived:
            return self.arrived.wait_for(lambda: self.answered >= requests, 10)


@pytest.fixture
def store(memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store with a file of 26 blocks at URL, whose driver takes calls from several threads."""
    noted = Store()
    memory.pipe("/folder/a.bin", DATA)
    monkeypatch.setattr(type(memory), "cat_file", lambda self, *args, **options: noted.cat_file(*args, **options))
    monkeypatch.setattr(type(memory), "async_impl", True)
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", BLOCK)
    monkeypatch.setattr("rawsynth.storage.retrying._FIRST_WAIT_S", 0.001)
    type(memory).clear_instance_cache()
    yield noted
    noted.open.set()
    type(memory).clear_instance_cache()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rawsynth-")]


MOVES = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 3 * BLOCK)),
    st.tuples(st.just("seek"), st.integers(0, len(DATA) + 10)),
    st.tuples(st.just("back"), st.integers(0, 2 * BLOCK)),
    st.tuples(st.just("end"), st.integers(-2 * BLOCK, 5)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(moves=st.lists(MOVES, max_size=12))
def test_it_is_the_file_whatever_the_moves(store: Store, moves: list[tuple[str, int]]) -> None:
    plain = io.BytesIO(DATA)
    with storage.open_read(URL) as stream:
        for move, amount in moves:
            if move == "read":
                assert stream.read(amount) == plain.read(amount)
            elif move == "seek":
                assert stream.seek(amount) == plain.seek(amount)
            elif move == "end":
                assert stream.seek(amount, 2) == plain.seek(amount, 2)
            elif amount <= plain.tell():
                assert stream.seek(-amount, 1) == plain.seek(-amount, 1)
            assert stream.tell() == plain.tell()


def test_read_on_the_blocks_ahead_are_under_way(store: Store) -> None:
    with storage.open_read(URL) as stream:
        stream.read(10)
        assert store.starts == [0]
        stream.read(BLOCK)
        stream.read(BLOCK)
        # In the third block: the four after it have been asked for, and no more.
        assert store.wait_for(7)
        stream.read(1)
        assert sorted(store.starts) == [i * BLOCK for i in range(7)]


def test_the_reader_waits_for_its_own_block_only(store: Store) -> None:
    with storage.open_read(URL) as stream:
        stream.read(2 * BLOCK + 1)
        assert store.answer(7)
        store.open.clear()
        # The eighth block hangs, which does not hold up the fourth.
        assert stream.read(BLOCK) == DATA[2 * BLOCK + 1 : 3 * BLOCK + 1]
        assert store.wait_for(8)
        store.open.set()


def test_the_end_and_back_costs_a_look_at_the_end(store: Store) -> None:
    """As a reader does that first checks an archive's end."""
    with storage.open_read(URL) as stream:
        assert stream.seek(0, 2) == len(DATA)
        stream.seek(-1024, 2)
        assert stream.read() == DATA[-1024:]
        stream.seek(0)
        assert stream.read(10) == DATA[:10]
    assert store.starts == [len(DATA) - 1024, len(DATA) - 1024 + BLOCK, 0]


def test_it_never_runs_far_ahead(store: Store) -> None:
    """So memory holds a few blocks of a file of any size."""
    with storage.open_read(URL) as stream:
        while stream.read(100):
            assert max(store.starts) // BLOCK <= (stream.tell() - 1) // BLOCK + 4
    assert sorted(store.starts) == [i * BLOCK for i in range(26)]


def test_closing_ends_it(store: Store) -> None:
    """What is under way is let go, what waits for a thread is never asked for, a reader in between is told."""
    told: list[Exception] = []

    def read(stream: storage.GuardedStream) -> None:
        try:
            stream.read(1)
        except InputAccessError as error:
            told.append(error)

    with storage.open_read(URL) as stream:
        stream.read(2 * BLOCK + 1)
        assert store.answer(7)
        store.open.clear()
        stream.read(4 * BLOCK)
        assert store.wait_for(11)
        stream.seek(20 * BLOCK)
        reader = threading.Thread(target=read, args=(stream,), daemon=True)
        reader.start()
    reader.join(10)
    store.open.set()
    deadline = time.monotonic() + 10
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads() and told
    assert max(store.starts) == 10 * BLOCK


@pytest.mark.parametrize("fault", [OSError("reset"), 0, 1, BLOCK - 1], ids=repr)
def test_a_block_cut_short_is_read_again(store: Store, fault: Any) -> None:
    store.faults = [fault, fault]
    with storage.open_read(URL) as stream:
        assert stream.read() == DATA
        assert stream.failure is None


def test_a_fault_that_lasts_is_a_fault_of_access(store: Store) -> None:
    with storage.open_read(URL) as stream:
        assert stream.read(100) == DATA[:100]
        stream.seek(5 * BLOCK)
        store.faults = [10] * 100
        with pytest.raises(InputAccessError, match=r"a\.bin: read cut short: 10 of 1000 bytes from 5000 on \(tried 5"):
            stream.read(100)
        assert stream.failure is not None


def test_a_driver_that_is_not_asynchronous_gets_one_call_at_a_time(
    store: Store, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(memory), "async_impl", False)
    under_way, most = [0], [0]
    cat_file = store.cat_file

    def counting(*args: Any, **options: Any) -> bytes:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        time.sleep(0.001)
        under_way[0] -= 1
        return cat_file(*args, **options)

    monkeypatch.setattr(store, "cat_file", counting)
    with storage.open_read(URL) as stream:
        assert stream.read() == DATA
    assert most[0] == 1


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1])
def test_small_files(memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", BLOCK)
    memory.pipe("/small", DATA[:size])
    with storage.open_read("memory://small") as stream:
        assert stream.read() == DATA[:size]
        assert stream.read(5) == b""
    assert storage.read_bytes("memory://small") == storage.read_bytes("memory://small", listed=size) == DATA[:size]


@pytest.mark.parametrize("listed", [1, 99, 101, 5000])
def test_a_file_of_another_size_than_listed_comes_as_it_is(memory: fsspec.AbstractFileSystem, listed: int) -> None:
    memory.pipe("/a", DATA[:100])
    assert storage.read_bytes("memory://a", listed=listed) == DATA[:100]


def test_a_folder_is_no_file(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/folder/a", b"")
    with pytest.raises(InputAccessError, match="it is a folder"):
        storage.open_read("memory://folder")
