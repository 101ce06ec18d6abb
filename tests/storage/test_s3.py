"""S3 over HTTP: whatever goes wrong on the way passes unnoticed, or ends in one clear error and nothing half-done."""

from collections.abc import Callable

import pytest

from rawsynth import storage
from rawsynth.errors import InputAccessError, OutputError, RawsynthError
from tests.storage.s3_server import FaultyStore, Request, the_first

URL = "s3://bucket/folder/a.bin"
DATA = bytes(range(256)) * 4


def read_stream(url: str) -> bytes:
    with storage.open_read(url) as stream:
        return stream.read()


READS: dict[str, tuple[Callable[[], object], object]] = {
    "read_bytes": (lambda: storage.read_bytes(URL), DATA),
    "read_bytes, size listed": (lambda: storage.read_bytes(URL, listed=len(DATA)), DATA),
    "open_read": (lambda: read_stream(URL), DATA),
    "exists": (lambda: storage.exists(URL), True),
    "exists, a folder": (lambda: storage.exists("s3://bucket/folder"), True),
    "exists, not": (lambda: storage.exists("s3://bucket/other"), False),
    "exists, the bucket": (lambda: storage.exists("s3://bucket"), True),
    "is_folder": (lambda: storage.is_folder("s3://bucket/folder"), True),
    "is_folder, a file": (lambda: storage.is_folder(URL), False),
    "size": (lambda: storage.size(URL), len(DATA)),
    "walk_files": (lambda: storage.walk_files("s3://bucket"), [("folder/a.bin", len(DATA))]),
    "list_names": (lambda: storage.list_names("s3://bucket/folder"), {"a.bin"}),
    "glob": (lambda: storage.glob("s3://bucket/*/*.bin"), [URL]),
    "glob, any depth": (lambda: storage.glob("s3://bucket/**/a.*"), [URL]),
}
WRITES: dict[str, Callable[[], object]] = {
    "write_atomic": lambda: storage.write_atomic(URL, b"new"),
    "remove": lambda: storage.remove(URL),
    "prepare_folder": lambda: storage.prepare_folder("s3://bucket/folder"),
}


@pytest.fixture
def stored(s3: FaultyStore) -> FaultyStore:
    """The bucket with one object; the client is connected."""
    storage.write_atomic(URL, DATA)
    s3.log.clear()
    return s3


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for an answer; a busy machine may need more of them, so try often."""
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "1")
    monkeypatch.setattr("rawsynth.storage.retrying._ATTEMPTS", 30)


@pytest.mark.parametrize("kind", ["500", "503", "429", "reset", "truncated", "lost reply"])
@pytest.mark.parametrize("name", READS)
def test_reads_recover(stored: FaultyStore, name: str, kind: str) -> None:
    read, expected = READS[name]
    stored.choose = the_first(2, kind)
    assert read() == expected
    assert stored.injected


@pytest.mark.parametrize("name", ["read_bytes", "open_read", "exists", "walk_files", "glob"])
def test_reads_recover_from_a_late_answer(stored: FaultyStore, impatient: None, name: str) -> None:
    read, expected = READS[name]
    stored.choose = the_first(1, "late")
    assert read() == expected
    assert stored.injected == ["late"]


@pytest.mark.parametrize("kind", ["500", "503", "429", "reset", "truncated", "lost reply"])
@pytest.mark.parametrize("name", WRITES)
def test_writes_recover(stored: FaultyStore, name: str, kind: str) -> None:
    stored.choose = the_first(2, kind)
    check_write(stored, name)


@pytest.mark.parametrize("name", WRITES)
def test_writes_recover_from_a_late_answer(stored: FaultyStore, impatient: None, name: str) -> None:
    stored.choose = the_first(1, "late")
    check_write(stored, name)


def check_write(stored: FaultyStore, name: str) -> None:
    WRITES[name]()
    assert stored.injected
    left = {"write_atomic": b"new", "remove": None, "prepare_folder": DATA}[name]
    assert (storage.read_bytes(URL) if storage.exists(URL) else None) == left


@pytest.mark.parametrize("kind", ["500", "503", "429", "reset", "truncated"])
@pytest.mark.parametrize("name", READS)
def test_reads_that_go_on_failing_end_in_one_error(stored: FaultyStore, name: str, kind: str) -> None:
    """Above all no fault is an answer: neither "there is no such file" nor an empty listing."""
    stored.choose = lambda request: kind
    with pytest.raises(InputAccessError, match=r"^cannot read s3://bucket.*: \S.* \(tried 5 times\)$"):
        READS[name][0]()


@pytest.mark.parametrize("kind", ["500", "503", "429", "reset", "truncated"])
@pytest.mark.parametrize("name", ["write_atomic", "remove"])
def test_writes_that_go_on_failing_end_in_one_error(stored: FaultyStore, name: str, kind: str) -> None:
    stored.choose = lambda request: kind
    verb = {"write_atomic": "write", "remove": "remove"}[name]
    with pytest.raises(OutputError, match=rf"^cannot {verb} {URL}: \S.* \(tried 5 times\)$"):
        WRITES[name]()


@pytest.mark.parametrize("name", ["read_bytes", "open_read", "exists", "walk_files", "write_atomic", "remove"])
def test_a_store_that_never_answers(stored: FaultyStore, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "0.5")
    monkeypatch.setattr("rawsynth.storage.retrying._ATTEMPTS", 2)
    stored.choose = lambda request: "late"
    with pytest.raises(RawsynthError, match=r"has not answered for 0\.5 s.*RAWSYNTH_IO_TIMEOUT.*tried 2 times"):
        WRITES[name]() if name in WRITES else READS[name][0]()


@pytest.mark.parametrize("name", ["read_bytes", "open_read", "exists", "size", "walk_files", "list_names"])
def test_no_permission_is_said_at_once(stored: FaultyStore, name: str) -> None:
    stored.choose = lambda request: "403"
    with pytest.raises(InputAccessError, match="cannot read s3://bucket.*(Access Denied|Forbidden)"):
        READS[name][0]()
    assert len(stored.log) == 1


@pytest.mark.parametrize("name", ["write_atomic", "remove"])
def test_no_permission_to_write(stored: FaultyStore, name: str) -> None:
    stored.choose = lambda request: "403"
    with pytest.raises(OutputError, match=f"{URL}.*Access Denied"):
        WRITES[name]()
    assert len(stored.log) == 1


def test_what_is_not_there_is_said_at_once(stored: FaultyStore) -> None:
    for read in (storage.read_bytes, storage.size, storage.open_read):
        with pytest.raises(InputAccessError, match=r"gone\.bin: no such file"):
            read("s3://bucket/gone.bin")
    with pytest.raises(OutputError, match="nosuchbucket/a"):
        storage.write_atomic("s3://nosuchbucket/a", b"")
    storage.remove("s3://bucket/gone.bin")


def test_the_driver_s_own_retries_change_nothing(stored: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it: s3fs and botocore try several times by themselves, and we again."""
    import s3fs

    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 3)
    s3fs.S3FileSystem.clear_instance_cache()
    stored.choose = the_first(4, "500")
    assert storage.read_bytes(URL) == DATA
    assert len(stored.injected) == 4
    s3fs.S3FileSystem.clear_instance_cache()


# ---- other processes ----


def test_no_listing_is_stale(s3: FaultyStore) -> None:
    import s3fs

    url, folder = "s3://bucket/shared/records/a.json", "s3://bucket/shared"

    # A client of its own, of whose doings ours learns nothing.
    other = s3fs.S3FileSystem(skip_instance_cache=True)

    def seen() -> tuple[object, ...]:
        return (
            storage.exists(url), storage.is_folder(folder), storage.walk_files(folder), storage.glob(f"{folder}/*/*"),
            storage.list_names("s3://bucket"),
        )  # fmt: skip

    nothing = (False, False, [], [], set())
    assert seen() == nothing
    other.pipe_file(url, b"by another process")
    assert seen() == (True, True, [("records/a.json", 18)], [url], {"shared"})
    other.rm_file(url)
    assert seen() == nothing


# ---- uploads ----


@pytest.fixture
def in_parts(stored: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Content that goes up in three parts; the smallest part that S3 takes is 5 MiB."""
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *args, **options: 5 << 20)
    return bytes(range(251)) * ((11 << 20) // 251)


def completes(request: Request) -> bool:
    return request.method == "POST" and "uploadId" in request.path


def test_an_upload_in_parts_appears_when_it_is_complete(stored: FaultyStore, in_parts: bytes) -> None:
    seen: list[bool] = []

    def look(request: Request) -> None:
        if completes(request):
            seen.append(storage.exists("s3://bucket/parts.bin"))

    stored.before = look
    storage.write_atomic("s3://bucket/parts.bin", in_parts)
    assert seen == [False]
    assert storage.read_bytes("s3://bucket/parts.bin") == in_parts


@pytest.mark.parametrize("kind", ["500", "reset", "lost reply"])
@pytest.mark.parametrize("where", ["part", "end"])
def test_an_upload_in_parts_recovers(stored: FaultyStore, in_parts: bytes, kind: str, where: str) -> None:
    at = completes if where == "end" else lambda request: "partNumber=2" in request.path
    stored.choose = the_first(1, kind, at)
    storage.write_atomic(URL, in_parts)
    assert stored.injected and storage.read_bytes(URL) == in_parts


@pytest.mark.parametrize("kind", ["500", "reset"])
def test_an_upload_that_fails_for_good_leaves_the_old_object(stored: FaultyStore, in_parts: bytes, kind: str) -> None:
    stored.choose = lambda request: kind if completes(request) else None
    for url in (URL, "s3://bucket/new.bin"):
        with pytest.raises(OutputError, match=rf"cannot write {url}: .*tried 5 times"):
            storage.write_atomic(url, in_parts)
    stored.choose = lambda request: None
    assert storage.read_bytes(URL) == DATA
    assert not storage.exists("s3://bucket/new.bin")


def test_an_object_of_another_size_is_uploaded_again_or_removed(
    stored: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _ = storage.resolve(URL)
    put, broken = fs.put_file, [2]

    def shortening(source: str, target: str) -> None:
        if broken[0]:
            broken[0] -= 1
            fs.pipe_file(target, b"half")
        else:
            put(source, target)

    monkeypatch.setattr(fs, "put_file", shortening)
    storage.write_atomic(URL, b"whole content")
    assert storage.read_bytes(URL) == b"whole content"
    broken[0] = 1000
    with pytest.raises(OutputError, match="4 bytes arrived of 13"):
        storage.write_atomic(URL, b"whole content")
    assert not storage.exists(URL)
