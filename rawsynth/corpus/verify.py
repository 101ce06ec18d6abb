"""Check that a corpus holds what its records say: counts, checksums, end-of-archive marks, complete samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.corpus.index import default_threads
from rawsynth.corpus.index_rows import IndexedPart, IndexHeader
from rawsynth.corpus.records import read_failure, read_many, read_record
from rawsynth.corpus.verify_files import altered_text, check_failures, find_strays
from rawsynth.corpus.verify_index import check_index
from rawsynth.corpus.verify_part import Members, PartFindings, check_part
from rawsynth.errors import CorpusError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.own_files import DATASET_FILE, INDEX_FILES
from rawsynth.pipeline.flow import ordered_map
from rawsynth.pipeline.record import ShardFailure, ShardRecord, record_url


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


def verify(
    corpus: str, watch: Callable[[str], None] = lambda part: None, *, threads: int | None = None
) -> Report:
    """Read a whole corpus and compare it with its records, and its index with it.

    Any changed byte of any of its files is found: tars by their checksums, the plan, records and failures by their
    seals and their text, an index by its rows.

    Args:
        corpus: folder or URL.
        watch: called with each part's name before it is read.
        threads: parts that are checked at a time; by the machine's cores if ``None``.

    Raises:
        CorpusError: there is no corpus, or its plan is damaged.
        InputAccessError: the store cannot be listed.

    Returns:
        Counts, and one line a problem, naming the part and the sample, in an order that threads do not change.
    """
    dataset = Dataset.load(corpus)
    if dataset is None:
        raise CorpusError(f"no corpus at {corpus}: there is no {DATASET_FILE}. Give what generate wrote to.")
    report = Report(shards=len(dataset.shards))
    files = [path for path, _ in storage.walk_files(corpus)]
    report.problems += filter(None, [altered_text(storage.join(corpus, DATASET_FILE))])
    looks = _check_records(dataset, report)
    records = {name: record for name, record in looks.items() if isinstance(record, ShardRecord)}
    findings = list(_check_parts(dataset, records, report, watch, threads or default_threads(corpus)))
    parts = {part.indexed.part.name for part in findings}
    planned = {shard.name for shard in dataset.shards}
    done = {name: record for name, record in records.items() if record.config_digest == dataset.digest}
    report.problems += find_strays(files, parts, planned)
    report.problems += check_failures(corpus, files, planned, done)
    # Of damaged records and parts it cannot be said what an index should have.
    known = not any(isinstance(look, CorpusError) for look in looks.values()) and len(records) == len(done)
    if known and not any(part.problems for part in findings):
        header = IndexHeader.of(dataset, done.values())
        for name in [name for name in INDEX_FILES if name in files]:
            faults = check_index(storage.join(corpus, name), header, findings)
            report.problems += [f"{name}: {fault}" for fault in faults]
    return report


def _check_records(dataset: Dataset, report: Report) -> dict[str, ShardRecord | CorpusError | None]:
    """Check the records and return what there is of each, in the order of the plan."""
    corpus, digest = dataset.config.output, dataset.digest

    def look(shard: str) -> tuple[ShardRecord | CorpusError | None, str | None]:
        record = read_record(corpus, shard)
        return record, altered_text(record_url(corpus, shard)) if isinstance(record, ShardRecord) else None

    names = [shard.name for shard in dataset.shards]
    looks: dict[str, ShardRecord | CorpusError | None] = {}
    for name, (record, altered) in zip(names, read_many(corpus, look, names), strict=True):
        looks[name] = record
        if isinstance(record, ShardRecord):
            report.problems += [*filter(None, [altered]), *_contradictions(record, digest)]
        elif record is None:
            report.problems.append(_undone(corpus, name))
        else:
            report.problems.append(str(record))
    return looks


def _undone(corpus: str, shard: str) -> str:
    failure = read_failure(corpus, shard)
    why = f" (it failed: {failure.cause})" if isinstance(failure, ShardFailure) else ""
    return f"shard {shard} is not done: run generate again{why}"


def _contradictions(record: ShardRecord, digest: str) -> Iterator[str]:
    if record.config_digest != digest:
        yield f"shard {record.shard} was made with another configuration"
    if sum(part.samples for part in record.parts) != record.samples:
        yield f"record of {record.shard}: its parts' samples do not add up to {record.samples}"
    if record.lost != len(record.errors) or record.skipped != len(record.skips):
        yield f"record of {record.shard}: its losses are not all listed"


def _check_parts(
    dataset: Dataset, records: Mapping[str, ShardRecord], report: Report, watch: Callable[[str], None], threads: int
) -> Iterator[PartFindings]:
    """Check every part that a record names, several at a time, and report in the order of the corpus."""
    owners: dict[str, str] = {}

    def parts() -> Iterator[tuple[IndexedPart, Members]]:
        for record in records.values():
            members = _members(dataset, record)
            for part in record.parts:
                watch(part.name)
                yield IndexedPart(record.shard, part), members

    keys: set[str] = set()
    with ThreadPoolExecutor(threads, "rawsynth-verify") as pool:
        check: Callable[[tuple[IndexedPart, Members]], PartFindings]
        check = lambda row: check_part(dataset.config.output, *row)  # noqa: E731
        for findings in ordered_map(pool, check, parts(), window=threads + 1):
            name, shard, part = findings.indexed.part.name, findings.indexed.shard, findings.indexed.part
            findings.problems += _repeated(findings.keys, keys)
            if owners.setdefault(name, shard) is not shard:
                findings.problems.append(f"shards {owners[name]} and {shard} both have it")
            report.parts += 1
            report.samples += part.samples
            report.bytes += part.bytes
            report.problems += [f"{name}: {problem}" for problem in findings.problems]
            yield findings
    report.lost = sum(record.lost for record in records.values())


def _members(dataset: Dataset, record: ShardRecord) -> Members:
    keep = dataset.config.read.keep
    return Members(frozenset(record.members), frozenset(keep) | {f"source.{extension}" for extension in keep})


def _repeated(found: list[str], keys: set[str]) -> Iterator[str]:
    """Yield keys met before; those found are added, and need not be kept with their part any longer."""
    for key in found:
        if key in keys:
            yield f"sample {key} occurs twice in the corpus"
        keys.add(key)
    found.clear()
