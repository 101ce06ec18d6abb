"""retry: what passes is tried again, with growing waits; what lasts is said at once; what hangs is given up."""

import errno
import json
import threading
from typing import Any

import pytest

from rawsynth import storage
from rawsynth.errors import InputAccessError, OutputError, UsageError


class BotoError(Exception):
    """As botocore's ClientError is."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class StatusError(Exception):
    """As aiohttp's, azure's, gcsfs's and requests' exceptions are, by the name of an attribute."""

    def __init__(self, name: str, status: Any) -> None:
        super().__init__(f"status {status}")
        setattr(self, name, status)


class Response:
    """As requests' response is, which counts as false where it is an error."""

    def __init__(self, status: int) -> None:
        self.status_code = status

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"Response({self.status_code})"


def masked(error: Exception, below: Exception) -> Exception:
    error.__cause__ = below
    return error


def truncated_json() -> Exception:
    try:
        json.loads('{"items": [')
    except json.JSONDecodeError as error:
        return error
    raise AssertionError


PASSING = [
    OSError("unknown"), TimeoutError(), ConnectionResetError(), RuntimeError("the driver's own"), truncated_json(),
    *(StatusError("status", status) for status in (408, 409, 425, 429, 500, 502, 503, 504)),
    StatusError("status_code", 503), StatusError("code", 500), StatusError("response", Response(503)),
    masked(OSError(errno.EBUSY, "slow down"), BotoError(503, "SlowDown")),
    masked(OSError(errno.EINVAL, "timeout"), BotoError(400, "RequestTimeout")),
    masked(OSError(errno.EINVAL, "damaged"), BotoError(400, "XAmzContentSHA256Mismatch")),
    masked(FileNotFoundError("upload"), BotoError(404, "NoSuchUpload")),
    masked(FileNotFoundError("url"), StatusError("status", 500)),
    masked(FileNotFoundError("url"), ConnectionResetError()), masked(FileNotFoundError("url"), TimeoutError()),
]  # fmt: skip
LASTING = [
    FileNotFoundError("gone"), PermissionError("not yours"), IsADirectoryError(), NotADirectoryError(),
    ValueError("bad argument"), TypeError("bad argument"), NotImplementedError(), OSError(errno.ENOSPC, "full"),
    *(StatusError("status", status) for status in (400, 401, 403, 404, 405, 410, 416, 501)),
    StatusError("response", Response(403)),
    masked(OSError(errno.EINVAL, "bad"), BotoError(400, "InvalidArgument")),
    masked(OSError(errno.EREMCHG, "another region"), BotoError(301, "PermanentRedirect")),
    masked(FileNotFoundError("bucket"), BotoError(404, "NoSuchBucket")),
    masked(FileNotFoundError("url"), StatusError("status", 404)), masked(FileNotFoundError("key"), KeyError("key")),
]  # fmt: skip


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between the tries, which are not made."""
    noted: list[float] = []
    monkeypatch.setattr("time.sleep", noted.append)
    return noted


def tries(error: Exception) -> int:
    count = 0

    def action() -> None:
        nonlocal count
        count += 1
        raise error

    with pytest.raises(InputAccessError, match="cannot read memory://x: .+"):
        storage.retry(action, "memory://x")
    return count


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again(error: Exception, waits: list[float]) -> None:
    assert tries(error) == 5
    assert len(waits) == 4


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts_is_said_at_once(error: Exception, waits: list[float]) -> None:
    assert tries(error) == 1
    assert not waits


def test_waits_grow_and_differ(waits: list[float]) -> None:
    """Workers that were refused together must not come back together."""
    for _ in range(20):
        tries(OSError("down"))
    runs = [waits[i : i + 4] for i in range(0, len(waits), 4)]
    assert all(run == sorted(run) and 0.3 < run[0] < 0.7 and 3 <= run[3] <= 5 for run in runs)
    assert len({run[0] for run in runs}) > 10


@pytest.mark.parametrize(
    ("doing", "kind"), [("read", InputAccessError), ("write", OutputError), ("remove", OutputError)]
)
def test_messages_say_what_was_being_done(doing: str, kind: type[Exception], waits: list[float]) -> None:
    def action() -> None:
        raise OSError("down")

    with pytest.raises(kind, match=rf"^cannot {doing} memory://x: down \(tried 5 times\)$"):
        storage.retry(action, "memory://x", doing=doing)


def test_what_never_comes_back_is_given_up(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "0.05")
    hangs, started = threading.Event(), []

    def action() -> None:
        started.append(threading.current_thread())
        hangs.wait()

    try:
        with pytest.raises(InputAccessError, match=r"has not answered for 0.05 s; RAWSYNTH_IO_TIMEOUT .*tried 5 times"):
            storage.retry(action, "memory://x")
        assert len(started) == 5 and all(thread.daemon for thread in started)
    finally:
        hangs.set()


def test_one_hung_call_costs_a_try(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", "0.2")
    hangs, calls = threading.Event(), []

    def action() -> str:
        calls.append(1)
        if len(calls) == 1:
            hangs.wait()
        return "there"

    try:
        assert storage.retry(action, "memory://x") == "there"
        assert len(calls) == 2
    finally:
        hangs.set()


@pytest.mark.parametrize("stated", ["0", "-1", "soon", "nan", "inf", ""])
def test_a_timeout_that_is_none(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv("RAWSYNTH_IO_TIMEOUT", stated)
    with pytest.raises(UsageError, match="RAWSYNTH_IO_TIMEOUT wants a positive number"):
        storage.exists("memory://x")
