"""Check that a corpus holds what its records say: counts, checksums, end-of-archive marks, complete samples."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError
from rawsynth.pipeline.dataset import DATASET_FILE, Dataset
from rawsynth.pipeline.record import RECORD_FOLDER, PartRecord, ShardRecord

_CHUNK = 1 << 20
_MARK = bytes(2 * tarfile.BLOCKSIZE)


@dataclass
class Report:
    """What :func:`verify` found; empty ``problems`` mean a sound corpus."""

    shards: int = 0
    parts: int = 0
    samples: int = 0
    lost: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(corpus: str, watch: Callable[[str], None] = lambda part: None) -> Report:
    """Read a whole corpus and compare it with its records.

    Args:
        corpus: folder or URL.
        watch: called with each part's name before it is read.

    Raises:
        CorpusError: there is no corpus, or its plan is damaged.

    Returns:
        Counts, and one line a problem, naming the part and the sample.
    """
    dataset = Dataset.load(corpus)
    if dataset is None:
        raise CorpusError(f"no corpus at {corpus}: there is no {DATASET_FILE}.")
    report = Report(shards=len(dataset.shards))
    digest = dataset.digest
    expected: set[str] = set()
    keys: set[str] = set()
    for shard in dataset.shards:
        try:
            record = ShardRecord.load(corpus, shard.name)
        except CorpusError as error:
            report.problems.append(str(error))
            continue
        if record is None:
            report.problems.append(f"shard {shard.name} is not done: run generate again")
            continue
        if record.config_digest != digest:
            report.problems.append(f"shard {shard.name} was made with another configuration")
        expected |= {part.name for part in record.parts}
        _check_record(corpus, record, keys, report, watch)
    _check_strays(corpus, expected, report)
    return report


def _check_record(
    corpus: str, record: ShardRecord, keys: set[str], report: Report, watch: Callable[[str], None]
) -> None:
    report.lost += record.lost
    if sum(part.samples for part in record.parts) != record.samples:
        report.problems.append(f"record of {record.shard}: its parts' samples do not add up to {record.samples}")
    if record.lost != len(record.errors) or record.skipped != len(record.skips):
        report.problems.append(f"record of {record.shard}: its losses are not all listed")
    for part in record.parts:
        watch(part.name)
        report.parts += 1
        report.samples += part.samples
        report.bytes += part.bytes
        try:
            problems = list(check_part(storage.join(corpus, part.name), part, set(record.members), keys))
        except InputAccessError as error:
            problems = [str(error)]
        report.problems += [f"{part.name}: {problem}" for problem in problems]


def check_part(url: str, part: PartRecord, members: set[str], keys: set[str]) -> Iterator[str]:
    """Yield what is wrong with one tar; ``keys`` collects the keys met, across parts."""
    with storage.open_read(url) as stream:
        size, sha256, tail = _checksum(stream)
        if size != part.bytes:
            yield f"{size} bytes, its record says {part.bytes}"
        if sha256 != part.sha256:
            yield "its sha256 is not the record's"
        if tail != _MARK:
            yield "the end-of-archive mark is missing"
        stream.seek(0)
        samples = 0
        try:
            for key, found in _samples(stream):
                samples += 1
                if key in keys:
                    yield f"sample {key} occurs twice in the corpus"
                keys.add(key)
                if members - found:
                    yield f"sample {key} lacks {', '.join(sorted(members - found))}"
        except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
            yield f"unreadable after {samples} samples: {error}"
        if samples != part.samples:
            yield f"{samples} samples, its record says {part.samples}"


def _checksum(stream: storage.GuardedStream) -> tuple[int, str, bytes]:
    digest, size, tail = hashlib.sha256(), 0, b""
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        tail = (tail + chunk)[-len(_MARK) :]
    return size, digest.hexdigest(), tail


def _samples(stream: storage.GuardedStream) -> Iterator[tuple[str, set[str]]]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        current: str | None = None
        found: set[str] = set()
        for member in archive:
            folder, slash, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            key = f"{folder}{slash}{stem}"
            if key != current and current is not None:
                yield current, found
                found = set()
            current = key
            found.add(extension)
        if current is not None:
            yield current, found


def _check_strays(corpus: str, expected: set[str], report: Report) -> None:
    for path, _ in storage.walk_files(corpus):
        hidden = path.split("/")[-1].startswith(".")
        if path.endswith(".tar") and not hidden and path not in expected and not path.startswith(f"{RECORD_FOLDER}/"):
            report.problems.append(f"{path}: no record knows this part; it was left by an interrupted run")
