"""Check a corpus's small files, and that it holds none that belong to nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

from rawsynth import storage
from rawsynth.corpus.records import is_gone, read_failure, read_many
from rawsynth.errors import CorpusError, InputAccessError
from rawsynth.pipeline.record import FAILURE_FOLDER, RECORD_FOLDER, failure_url


def altered_text(url: str) -> str | None:
    """Say so if a sealed file's text is not as it was written, though its values may be: other blanks, a doubled key.

    The seal covers values; what wrote the file wrote them in one way only.
    """
    try:
        text = storage.read_bytes(url)
        written = json.dumps(json.loads(text), indent=1).encode() + b"\n"
    except InputAccessError as error:
        return None if is_gone(error) else str(error)
    except (ValueError, RecursionError) as error:
        return f"{url} is damaged: {error}"
    return None if text == written else f"{url} is damaged: its text is not as it was written. Fetch it again."


def check_failures(corpus: str, files: Sequence[str], planned: Collection[str], done: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the failures among a corpus's files."""
    names = [_shard_of(path, FAILURE_FOLDER) for path in files if _is_sealed(path, FAILURE_FOLDER)]

    def look(shard: str) -> str | None:
        where = f"{FAILURE_FOLDER}/{shard}.json"
        if shard not in planned:
            return f"{where}: no shard of the plan has this name: delete it"
        failure = read_failure(corpus, shard)
        if failure is None or isinstance(failure, CorpusError):
            return None if failure is None else str(failure)
        if failure.shard != shard:
            return f"{where} is the failure of shard {failure.shard}: delete it"
        if shard in done:
            return f"{where}: its shard is done since: delete it"
        return altered_text(failure_url(corpus, shard))

    yield from (problem for problem in read_many(corpus, look, names) if problem is not None)


def find_strays(files: Sequence[str], parts: Collection[str], planned: Collection[str]) -> Iterator[str]:
    """Yield tars, records and temporary files that belong to nothing; other files are the user's own."""
    for path in files:
        name = path.rpartition("/")[2]
        if storage.is_temporary(name):
            yield f"{path}: left by a run that was killed; the next run removes it, unless one is writing it now"
        elif name.startswith("."):
            continue
        elif _is_sealed(path, RECORD_FOLDER):
            if _shard_of(path, RECORD_FOLDER) not in planned:
                yield f"{path}: no shard of the plan has this name: delete it"
        elif path.endswith(".tar") and path not in parts:
            yield f"{path}: no record knows this part; it was left by an interrupted run"


def _is_sealed(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and path.endswith(".json") and not path.rpartition("/")[2].startswith(".")


def _shard_of(path: str, folder: str) -> str:
    return path[len(folder) + 1 : -len(".json")]
