"""Which files in a folder are a corpus's own: all others are the user's, and are neither counted nor removed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import CorpusError, UsageError
from rawsynth.pipeline.card_file import CARD_FILE, holds_own_card
from rawsynth.pipeline.record import FAILURE_FOLDER, RECORD_FOLDER, ShardRecord
from rawsynth.pipeline.shards import Shard
from rawsynth.storage.sealed import read_sealed
from rawsynth.transforms.add_noise import CORPUS_FILE

DATASET_FILE = CORPUS_FILE
INDEX_FILES = ("index.jsonl", "index.parquet")


def check_apart(source: str, output: str) -> None:
    """Raise UsageError if the output lies inside the input folder, or the input inside the output."""
    inside, outside = storage.absolute(source).rstrip("/") + "/", storage.absolute(output).rstrip("/") + "/"
    if outside.startswith(inside) and storage.exists(source) and storage.is_folder(source):
        raise UsageError(f"output {output} lies inside the input {source}; choose a folder elsewhere.")
    if inside.startswith(outside):
        raise UsageError(f"input {source} lies inside the output {output}; choose a folder elsewhere.")


def refuse_foreign_files(output: str) -> None:
    """Raise UsageError if the output folder holds files but no corpus."""
    if not storage.exists(output):
        return
    if not storage.is_folder(output):
        raise UsageError(f"output {output} is a file; give a folder.")
    files = [path for path, _ in storage.walk_files(output) if not path.split("/")[-1].startswith(".")]
    own = _recorded_files(output, files)
    foreign = [path for path in files if path not in own]
    if foreign:
        raise UsageError(
            f"{output} holds {counted(len(foreign), 'file')}, such as {foreign[0]!r}, but no {DATASET_FILE}. "
            "Choose an empty folder."
        )


def _recorded_files(output: str, files: list[str]) -> set[str]:
    """Files of a corpus that has lost its plan: sound records, the parts that they name, sound failures, an index, an
    unedited dataset card."""
    own = {path for path in files if _is_index(output, path) or path == CARD_FILE and holds_own_card(output)}
    for path in files:
        if path.startswith((f"{RECORD_FOLDER}/", f"{FAILURE_FOLDER}/")) and path.endswith(".json"):
            url = storage.join(output, path)
            try:
                body = read_sealed(url)
                record = ShardRecord.from_json(body, url) if path.startswith(f"{RECORD_FOLDER}/") else None
            except CorpusError:
                continue
            own |= {path, *(part.name for part in (record.parts if record else ()))}
    return own


def _is_index(output: str, path: str) -> bool:
    """Whether a file is what ``rawsynth index`` writes beside the parts, and not the user's own of that name."""
    return path in INDEX_FILES and begins_as_index(storage.join(output, path))


def begins_as_index(url: str) -> bool:
    """Whether a file begins as an index does; of Parquet any file does."""
    with storage.open_read(url) as stream:
        return stream.read(64).startswith((b'{"rawsynth_index":', b"PAR1"))


def remove_corpus(output: str, shards: Iterable[Shard], splits: Iterable[str]) -> None:
    """Delete the files of a corpus of these shards, plan last, and nothing else."""
    names = {shard.name if split is None else f"{shard.name}-{split}" for shard in shards for split in (None, *splits)}
    files = [path for path, _ in storage.walk_files(output)]
    # Records go first: a part without a record is made again, a record without its part would not be.
    records = [p for p in files if p.startswith(f"{RECORD_FOLDER}/") and p[len(RECORD_FOLDER) + 1 : -5] in names]
    parts = [p for p in files if (match := re.fullmatch(r"(.+)-\d{2,}\.tar", p)) and match[1] in names]
    failures = [p for p in files if p.startswith(f"{FAILURE_FOLDER}/") and p[len(FAILURE_FOLDER) + 1 : -5] in names]
    indexes = [p for p in files if _is_index(output, p)]
    cards = [p for p in files if p == CARD_FILE and holds_own_card(output)]
    for path in [*indexes, *cards, *records, *parts, *failures]:
        storage.remove(storage.join(output, path))
    storage.remove(storage.join(output, DATASET_FILE))
