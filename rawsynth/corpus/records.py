"""What a corpus's records and failures say, read while a run may be writing them: listed once, read in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError
from rawsynth.pipeline.flow import ordered_map
from rawsynth.pipeline.record import FAILURE_FOLDER, RECORD_FOLDER, ShardFailure, ShardRecord, failure_url, record_url
from rawsynth.storage.sealed import read_sealed

_REMOTE_THREADS = 32
# What drivers say of a file that changes when it is replaced; a size alone may stay the same.
_VERSION_FIELDS = ("mtime", "ino", "ETag", "LastModified", "created", "generation")

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Listing:
    """Shards that have a file in a folder of the corpus.

    Attributes:
        versions: by shard, what tells one version of its file from the next; ``None`` where the store does not say.
        known: false where the store cannot list, such as a plain web server; any shard may have a file then.
    """

    versions: dict[str, str | None]
    known: bool = True

    def may_hold(self, shard: str) -> bool:
        """Whether it is worth reading the shard's file."""
        return not self.known or shard in self.versions


def list_records(corpus: str) -> Listing:
    """List the shards that have a record; one listing, whatever their number.

    Raises:
        InputAccessError: the store cannot be reached.
    """
    return _list(corpus, RECORD_FOLDER)


def list_failures(corpus: str) -> Listing:
    """List the shards that have a failure, as :func:`list_records`."""
    return _list(corpus, FAILURE_FOLDER)


def _list(corpus: str, folder: str) -> Listing:
    url = storage.join(corpus, folder)
    fs, root = storage.resolve(url)
    # Drivers remember listings, and another process has been writing since.
    fs.invalidate_cache()
    try:
        found = storage.retry(lambda: fs.find(root, detail=True), url)
    except InputAccessError as error:
        if not is_gone(error) and not _is_web(fs.protocol):
            raise
        found = {}
    prefix = root.rstrip("/") + "/"
    files = {str(path)[len(prefix) :]: info for path, info in found.items() if str(path).startswith(prefix)}
    versions = {name[: -len(".json")]: _version(info) for name, info in sorted(files.items()) if _is_visible_json(name)}
    return Listing(versions, known=bool(versions) or not _is_web(fs.protocol))


def _is_visible_json(name: str) -> bool:
    return name.endswith(".json") and not name.rpartition("/")[2].startswith(".")


def _is_web(protocol: str | tuple[str, ...]) -> bool:
    return "http" in ((protocol,) if isinstance(protocol, str) else protocol)


def _version(info: dict[str, object]) -> str | None:
    said = [info.get(name) for name in _VERSION_FIELDS]
    return None if all(value is None for value in said) else repr([info.get("size"), *said])


def read_record(corpus: str, shard: str) -> ShardRecord | CorpusError | None:
    """Read a shard's record: the error where it is damaged, ``None`` where there is none (any more).

    Raises:
        InputAccessError: the store cannot be reached.
    """
    url = record_url(corpus, shard)

    def read() -> ShardRecord:
        record = ShardRecord.from_json(read_sealed(url), url)
        if record.shard != shard:
            raise CorpusError(f"{url} is the record of shard {record.shard}. Delete it to make the shard again.")
        return record

    return _read(read)


def read_failure(corpus: str, shard: str) -> ShardFailure | CorpusError | None:
    """Read why a shard could not be made, as :func:`read_record` reads records."""
    url = failure_url(corpus, shard)
    return _read(lambda: ShardFailure.from_json(read_sealed(url), url))


def _read(read: Callable[[], A]) -> A | CorpusError | None:
    try:
        return read()
    except CorpusError as error:
        return error
    except InputAccessError as error:
        if is_gone(error):
            return None
        raise


def is_gone(error: InputAccessError) -> bool:
    """Whether a file could not be read because there is none, and not because its store is out of reach."""
    return isinstance(error.__cause__, FileNotFoundError)


def read_many(corpus: str, read: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Read many small files of a corpus in order, many at a time where each takes a round trip to a store."""
    if storage.is_local(corpus):
        # Parsing holds the interpreter's lock, so threads would only take turns.
        yield from map(read, items)
        return
    with ThreadPoolExecutor(_REMOTE_THREADS, "rawsynth-records") as pool:
        yield from ordered_map(pool, read, items, window=4 * _REMOTE_THREADS)
