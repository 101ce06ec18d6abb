"""Web servers, to read from: with and without ranges and sizes, sound and failing. memory:// stands for the rest."""

import re
from collections.abc import Callable, Iterable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rawsynth import storage
from rawsynth.errors import InputAccessError
from tests.storage.s3_server import KINDS, FaultyStore, serve, the_first

BLOCK = 10_000
DATA = bytes(i * i % 251 for i in range(6 * BLOCK + 7))


class Files:
    """WSGI application over a few files, as object stores and CDNs serve them, or without what a server may lack."""

    def __init__(self, *, ranges: bool = True, sizes: bool = True) -> None:
        self.ranges, self.sizes = ranges, sizes
        self.files = {"/a.bin": DATA, "/empty": b""}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        content = self.files.get(environ["PATH_INFO"])
        if content is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        status, headers = "200 OK", [("Content-Type", "application/octet-stream")]
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", ""))
        if self.ranges and asked:
            status, content = "206 Partial Content", content[int(asked[1]) : int(asked[2]) + 1]
        # Without it the server sends in chunks.
        headers += [("Content-Length", str(len(content)))] if self.sizes else []
        start_response(status, headers)
        return [content] if environ["REQUEST_METHOD"] == "GET" else []


@pytest.fixture
def http(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FaultyStore, str]]:
    """A server's middleware and its URL; waits are short, blocks small."""
    monkeypatch.setattr("rawsynth.storage.retrying._FIRST_WAIT_S", 0.001)
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", BLOCK)
    store = FaultyStore(Files(**getattr(request, "param", {})))
    server = serve(store)
    yield store, f"http://127.0.0.1:{server.server_port}"
    store.reset()
    server.shutdown()


def read_about(url: str) -> None:
    """Read as archive readers do: the end, the beginning, on, back, to the end."""
    with storage.open_read(url) as stream:
        assert stream.seek(0, 2) == len(DATA)
        stream.seek(-100, 2)
        assert stream.read() == DATA[-100:]
        stream.seek(0)
        assert stream.read(10) == DATA[:10]
        stream.seek(3 * BLOCK + 5)
        assert stream.read(BLOCK) == DATA[3 * BLOCK + 5 : 4 * BLOCK + 5]
        stream.seek(0)
        assert stream.read() == DATA


SERVERS = [{}, {"ranges": False}, {"sizes": False}, {"ranges": False, "sizes": False}]


@pytest.mark.parametrize("http", SERVERS, indirect=True, ids=str)
def test_any_server_can_be_read(http: tuple[FaultyStore, str]) -> None:
    read_about(f"{http[1]}/a.bin")
    assert storage.read_bytes(f"{http[1]}/a.bin") == DATA
    assert storage.read_bytes(f"{http[1]}/empty") == b""


@pytest.mark.parametrize("http", [{"ranges": False}], indirect=True)
def test_without_ranges_a_file_is_copied_once(http: tuple[FaultyStore, str]) -> None:
    read_about(f"{http[1]}/a.bin")
    assert len([request for request in http[0].log if request.method == "GET"]) <= 3


@pytest.mark.parametrize("http", [{}, {"sizes": False}], indirect=True, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_reading_recovers(http: tuple[FaultyStore, str], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, url = http
    assert storage.exists(f"{url}/a.bin")
    if kind == "late":
        # A busy machine may be late by itself.
        monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "1")
        monkeypatch.setattr("rawsynth.storage.retrying._ATTEMPTS", 30)
    for method in ("HEAD", "GET"):
        store.choose = the_first(1 if kind == "late" else 2, kind, lambda request: request.method == method)
        assert storage.read_bytes(f"{url}/a.bin") == DATA
        assert storage.exists(f"{url}/a.bin")
    assert store.injected


@pytest.mark.parametrize("use", [storage.exists, storage.size, storage.read_bytes, storage.is_folder])
@pytest.mark.parametrize("kind", ["500", "503", "429", "reset"])
def test_no_fault_passes_for_an_answer(http: tuple[FaultyStore, str], kind: str, use: Callable[[str], object]) -> None:
    """fsspec's HTTP driver says "not found" of all that goes wrong when it asks for a file's size."""
    http[0].choose = lambda request: kind
    with pytest.raises(InputAccessError, match=r"cannot read http://.*/a\.bin: .*tried 5 times"):
        use(f"{http[1]}/a.bin")


def test_what_is_not_there(http: tuple[FaultyStore, str]) -> None:
    assert not storage.exists(f"{http[1]}/gone")
    with pytest.raises(InputAccessError, match="gone: no such file"):
        storage.read_bytes(f"{http[1]}/gone")
    assert len(http[0].log) <= 4


@pytest.mark.parametrize("http", [{"sizes": False}], indirect=True)
def test_a_size_that_the_server_does_not_state(http: tuple[FaultyStore, str]) -> None:
    with pytest.raises(InputAccessError, match=r"size of .*a\.bin: the server does not state it"):
        storage.size(f"{http[1]}/a.bin")


def test_python_s_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which knows no ranges, and lists its folders as pages with links."""
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", BLOCK)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.bin").write_bytes(DATA)
    (tmp_path / "sub" / "b.bin").write_bytes(b"b")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        read_about(f"{url}/a.bin")
        assert storage.size(f"{url}/a.bin") == len(DATA)
        assert storage.is_folder(f"{url}/") and not storage.is_folder(f"{url}/a.bin")
        assert [path for path, _ in storage.walk_files(url)] == ["a.bin", "sub/b.bin"]
        assert storage.glob(f"{url}/*.bin") == [f"{url}/a.bin"]
    finally:
        server.shutdown()
