"""What went wrong in a store: whether it may pass, and how to say it."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping

# Waiting cannot help these. What no rule knows is taken to pass: a few waits too many cost less than a lost shard.
_LASTING = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError,
    TypeError, ValueError,
)  # fmt: skip
_LASTING_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG}
# Timeout, conflict, too early, too many; of 5xx all but what the server says it never does.
_PASSING_STATUS = {408, 409, 425, 429}
_LASTING_5XX = {501, 505}
# S3 says 400 or 404 to these too: what it got was damaged on the way, or a half-done upload was swept away.
_PASSING_CODES = {
    "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "InvalidPart", "NoSuchUpload",
    "SlowDown",
}  # fmt: skip


class ShortTransfer(OSError):
    """Fewer bytes, or more, went over than there are; another try may move them all."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed after a wait."""
    for raised in (error, error.__cause__):
        status, code = _http_answer(raised)
        if code in _PASSING_CODES:
            return True
        if status is not None and status >= 300:
            return status in _PASSING_STATUS or status >= 500 and status not in _LASTING_5XX
    if isinstance(error, OSError) and error.errno in _LASTING_ERRNO:
        return False
    if _unmasked(error) is not error or isinstance(error, json.JSONDecodeError):
        # An answer cut short parses badly.
        return True
    return not isinstance(error, _LASTING)


def cause(error: BaseException) -> str:
    """Say in a few words what went wrong."""
    shown = _unmasked(error)
    text = getattr(shown, "strerror", None) or str(shown) or type(shown).__name__
    return f"no such file ({text})" if isinstance(shown, FileNotFoundError) and shown.errno is None else text


def _unmasked(error: BaseException) -> BaseException:
    """fsspec's HTTP driver says "not found" of every failure to ask for a file; what it was is the cause."""
    below = error.__cause__
    if isinstance(error, FileNotFoundError) and below is not None:
        network = isinstance(below, (TimeoutError, ConnectionError)) or type(below).__module__.startswith("aiohttp")
        if network and _http_answer(below)[0] not in (404, 410):
            return below
    return error


def _http_answer(error: BaseException | None) -> tuple[int | None, str | None]:
    """HTTP status and error code that an exception of a driver carries: botocore, aiohttp, requests, azure, gcsfs."""
    if type(error).__module__ == "aiohttp.http_exceptions":
        # The client's own 400 to an answer that it could not read to the end.
        return None, None
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None, response.get("Error", {}).get("Code")
    for holder, name in ((error, "status"), (error, "status_code"), (response, "status_code"), (error, "code")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return status, None
    return None, None
