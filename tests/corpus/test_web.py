"""A corpus behind a plain web server: looked at, verified and read from, without a range request answered."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import rawsynth


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Lists folders, and knows no ranges."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Unlisted(Quiet):
    """Lists nothing either."""

    def list_directory(self, path: Any) -> None:
        """Refuse."""
        self.send_error(404)


@pytest.fixture(params=[Quiet, Unlisted])
def url(request: pytest.FixtureRequest, corpus: Path) -> Iterator[str]:
    """The corpus, its index with it, behind a server."""
    rawsynth.write_index(str(corpus))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=str(corpus)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_corpus_behind_a_web_server(url: str, corpus: Path) -> None:
    here, there = rawsynth.status(str(corpus)), rawsynth.status(url)
    assert there.complete and (there.samples, there.bytes) == (here.samples, here.bytes)
    (corpus / "records/a.json").rename(corpus / "kept")
    assert rawsynth.status(url).missing == 1
    (corpus / "kept").rename(corpus / "records/a.json")
    local, remote = rawsynth.CorpusIndex.open(str(corpus)), rawsynth.CorpusIndex.open(url)
    assert list(remote) == list(local)
    for key in local:
        assert torch.equal(remote[key]["noisy"], local[key]["noisy"])
    before = (corpus / "index.jsonl").read_bytes()
    rawsynth.write_index(url, str(corpus / "index.jsonl"))
    assert (corpus / "index.jsonl").read_bytes() == before
