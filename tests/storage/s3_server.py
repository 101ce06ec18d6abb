"""A real S3 HTTP server (moto's) in a thread, and what can go wrong between it and its client."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

BUCKET = "bucket"
KINDS = ("500", "503", "429", "late", "reset", "truncated")
"""Faults that :class:`FaultyStore` injects; ``late`` answers when nobody waits any more, or never."""

_ANSWERS = {
    "500": ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    "503": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "429": ("429 Too Many Requests", "TooManyRequests", "Too many requests, slow down."),
    "403": ("403 Forbidden", "AccessDenied", "Access Denied"),
}


@dataclass(frozen=True)
class Request:
    """One HTTP request: its method, path with query, and range header."""

    method: str
    path: str
    range: str = ""

    @property
    def about(self) -> str:
        """The object's name in its bucket."""
        return self.path.partition("?")[0].removeprefix(f"/{BUCKET}").lstrip("/")


Choose = Callable[[Request], str | None]


@dataclass
class FaultyStore:
    """WSGI middleware: ``choose`` names the fault of each request, ``log`` holds all; ``before`` is told of each.

    A fault is injected before the request reaches the store, except ``truncated`` and ``lost reply``: those let it
    happen and spoil the answer.
    """

    app: Any
    choose: Choose = lambda request: None
    before: Callable[[Request], object] = lambda request: None
    log: list[Request] = field(default_factory=list)
    injected: list[str] = field(default_factory=list)
    patience: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Be a sound server again, and let go of what hangs."""
        self.patience.set()
        self.patience = threading.Event()
        self.choose = self.before = lambda request: None
        self.log, self.injected = [], []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")
        request = Request(environ["REQUEST_METHOD"], path, environ.get("HTTP_RANGE", ""))
        self.before(request)
        with self.lock:
            self.log.append(request)
            fault = self.choose(request)
            if fault is not None:
                self.injected.append(fault)
        if fault in _ANSWERS:
            return refuse(environ, start_response, *_ANSWERS[fault])
        if fault == "late":
            self.patience.wait(20)
        if fault == "reset":
            cut_connection(environ)
        if fault in ("truncated", "lost reply"):
            return self.spoil(environ, start_response)
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer

    def spoil(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Do what was asked and send half of the answer's body; where it has none, cut the connection instead."""
        stated: list[Any] = []
        body = b"".join(self.app(environ, lambda status, headers, info=None: stated.extend((status, headers))))
        if len(body) > 1 and environ["REQUEST_METHOD"] == "GET":
            start_response(stated[0], stated[1])
            yield body[: len(body) // 2]
        cut_connection(environ)


def refuse(environ: dict[str, Any], start_response: Any, status: str, code: str, message: str) -> list[bytes]:
    """Answer with an S3 error."""
    # An answer to a request that was not read to its end would be taken for a reset.
    length = environ.get("CONTENT_LENGTH")
    environ["wsgi.input"].read(int(length)) if length else b""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    head = environ["REQUEST_METHOD"] == "HEAD"
    headers = [("Content-Type", "application/xml"), ("Content-Length", "0" if head else str(len(body)))]
    start_response(status, [*headers, ("Connection", "close")])
    return [] if head else [body]


def cut_connection(environ: dict[str, Any]) -> NoReturn:
    """Reset the connection under the client's feet."""
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    raise ConnectionAbortedError("cut on purpose")


class QuietHandler(WSGIRequestHandler):
    """Says nothing of requests, nor of connections that were cut on purpose."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


def serve(app: Any) -> BaseWSGIServer:
    """Serve an application from a thread, on a port that is free."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def moto() -> FaultyStore:
    """Return the S3 application behind the middleware."""
    return FaultyStore(DomainDispatcherApplication(create_backend_app))


def the_first(count: int, fault: str, matching: Callable[[Request], bool] = lambda request: True) -> Choose:
    """Choose ``fault`` for the first so many requests that match."""
    left = [count]

    def choose(request: Request) -> str | None:
        if left[0] and matching(request):
            left[0] -= 1
            return fault
        return None

    return choose


def at_random(share: float, faults: Sequence[str], seed: int) -> Choose:
    """Choose the next of ``faults``, round and round, for about this share of the requests."""
    rng, kinds = random.Random(seed), itertools.cycle(faults)
    return lambda request: next(kinds) if rng.random() < share else None
