"""An S3 server for the tests of storage, with nothing in it."""

import urllib.request
from collections.abc import Iterator

import pytest

from tests.storage.s3_server import BUCKET, FaultyStore, moto, serve


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[FaultyStore, str]]:
    """moto's S3 server in a thread: its middleware and its URL."""
    store = moto()
    server = serve(store)
    yield store, f"http://127.0.0.1:{server.server_port}"
    store.reset()
    server.shutdown()


@pytest.fixture(scope="module")
def s3_connection(s3_server: tuple[FaultyStore, str]) -> Iterator[tuple[FaultyStore, str]]:
    """The server as the one that ``s3://`` means. The driver's own retries are off: what recovers, recovers by ours."""
    import s3fs

    environment = {
        "AWS_ENDPOINT_URL": s3_server[1],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_RETRY_MODE": "standard",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3_server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3(s3_connection: tuple[FaultyStore, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """An empty bucket ``s3://bucket``; waits between tries are short."""
    import s3fs

    store, endpoint = s3_connection
    monkeypatch.setattr("rawsynth.storage.retrying._FIRST_WAIT_S", 0.001)
    store.reset()
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(BUCKET)
    store.log.clear()
    yield store
    store.reset()
