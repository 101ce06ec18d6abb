"""The images of a corpus as single files that other programs open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from rawsynth import storage
from rawsynth.corpus.export_formats import EXPORT_FORMATS, StoredRaw
from rawsynth.corpus.index import default_threads, finished_records
from rawsynth.corpus.index_rows import parse_meta
from rawsynth.corpus.part import StoredSample, open_sparsely, walk_samples
from rawsynth.corpus.ranges import read_members
from rawsynth.corpus.reading import SampleMeta
from rawsynth.counting import counted
from rawsynth.errors import CorpusError, InputAccessError, OutputError, SampleError, UsageError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.flow import ordered_map
from rawsynth.pipeline.own_files import check_apart
from rawsynth.pipeline.record import ShardRecord
from rawsynth.pipeline.stated import check_inside
from rawsynth.raw.codecs import decode_dn
from rawsynth.raw.levels import Levels
from rawsynth.registry import pick
from rawsynth.storage.sealed import read_sealed, write_sealed

EXPORT_FILE = "export.json"
"""Names the corpus and the format that a folder of exported files is of."""

EXPORTED = ("noisy", "clean")
"""Which of a sample's images can be exported."""

# File systems take 255 bytes; this leaves room for the suffixes and a temporary file's.
_LONGEST_STEM = 180


@dataclass
class ExportSummary:
    """What :func:`export` did.

    Attributes:
        url: the folder.
        written, present: files written now, and files that were there already.
        lost: what could not be exported, and why.
    """

    url: str
    written: int = 0
    present: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """One sample in its part."""

    url: str
    sample: StoredSample


def export(
    corpus: str,
    output: str,
    *,
    format: str = "dng",
    which: Collection[str] = (),
    keys: Collection[str] = (),
    limit: int | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ExportSummary:
    """Write images of a corpus as single files, ``KEY.noisy.dng`` and ``KEY.clean.dng``; whole files only.

    Run again, it goes on: a file that is there stays.

    Args:
        corpus: folder or URL.
        output: folder or URL for the files, outside the corpus.
        format: key of :data:`~rawsynth.corpus.export_formats.EXPORT_FORMATS`.
        which: of :data:`EXPORTED`; all that the corpus has if empty.
        keys: only these samples; all if empty.
        limit: only the first so many samples.
        overwrite: replace files, and an export of another corpus or format.
        threads: samples worked on at a time.
        watch: called with the samples done and their total.

    Raises:
        UsageError: an unknown format or image, a folder inside the corpus or of another export.
        CorpusError: there is no corpus, or its plan or a record is damaged.
        InputAccessError, OutputError: the corpus cannot be read, or a file cannot be written.
    """
    pick(EXPORT_FORMATS, format, "export format")
    for name in which:
        pick({known: known for known in EXPORTED}, name, "image to export")
    dataset = Dataset.of(corpus)
    if dataset.config.write.clean_only and "noisy" in which:
        raise UsageError(f"{corpus} holds clean RAW only (--clean-only); export that: --which clean.")
    check_apart(corpus, output)
    present = _claim(dataset, output, format=format, overwrite=overwrite)
    records = list(finished_records(dataset))
    total = sum(part.samples for record in records for part in record.parts)
    total = min(total, limit if limit is not None else total, len(keys) or total)
    summary, missing = ExportSummary(output), set(keys)
    work, workers = _Exporter(output, format, tuple(which) or EXPORTED, present), threads or default_threads(corpus)
    with ThreadPoolExecutor(workers, "rawsynth-export") as pool:
        jobs = islice(_jobs(corpus, records, missing), limit)
        for done, one in enumerate(ordered_map(pool, work, jobs, window=workers + 1), 1):
            summary.written += one.written
            summary.present += one.present
            summary.lost += one.lost
            watch(done, total)
    if limit is None:
        summary.lost += [(key, "the corpus has no sample of this key") for key in sorted(missing)]
    return summary


def _claim(dataset: Dataset, output: str, *, format: str, overwrite: bool) -> set[str]:
    """Mark a folder as an export of this corpus and return the files in it that stay.

    Raises:
        UsageError: it holds another export.
    """
    url = storage.join(output, EXPORT_FILE)
    claim = {"corpus": storage.absolute(dataset.config.output), "config_digest": dataset.digest, "format": format}
    if not overwrite and storage.exists(url):
        there = read_sealed(url)
        if there != claim:
            changed = ", ".join(f"{name} {there.get(name)!r}" for name in claim if claim[name] != there.get(name))
            raise UsageError(f"{output} holds an export of {changed}. Choose another folder, or add --overwrite.")
    present = {path for path, _ in storage.walk_files(output)} if storage.exists(output) else set()
    storage.prepare_folder(output)
    write_sealed(url, claim)
    return set() if overwrite else present


def _jobs(corpus: str, records: Iterable[ShardRecord], missing: set[str]) -> Iterator[_Job | tuple[str, str]]:
    """Yield the samples in the order of the corpus; what is damaged of a part is one entry, with the part's name."""
    some = bool(missing)
    for part in (part for record in records for part in record.parts):
        url, count = storage.join(corpus, part.name), 0
        try:
            with open_sparsely(url) as stream:
                for sample in walk_samples(stream):
                    count += 1
                    if not some or sample.key in missing:
                        missing.discard(sample.key)
                        yield _Job(url, sample)
                    if some and not missing:
                        return
            if count != part.samples:
                yield part.name, f"{counted(count, 'sample')}, its record says {part.samples}; run rawsynth verify"
        except CorpusError as error:
            yield part.name, f"{error}; {count} of {counted(part.samples, 'sample')} found. Run rawsynth verify"


@dataclass(frozen=True)
class _Exporter:
    """Export one sample; whatever is wrong with its content costs that sample."""

    output: str
    format: str
    which: tuple[str, ...]
    present: set[str]

    def __call__(self, job: _Job | tuple[str, str]) -> ExportSummary:
        summary = ExportSummary(self.output)
        if isinstance(job, tuple):
            summary.lost.append(job)
            return summary
        try:
            self._export(job, summary)
        except (InputAccessError, OutputError, MemoryError):
            # None of these is the sample's fault.
            raise
        except Exception as error:  # noqa: BLE001 - the sample boundary: whatever a sample holds costs that sample
            told = isinstance(error, CorpusError | SampleError | UsageError)
            summary.lost.append((job.sample.key, str(error) if told else f"{type(error).__name__}: {error}"))
        return summary

    def _export(self, job: _Job, summary: ExportSummary) -> None:
        key = check_inside(job.sample.key)
        meta = parse_meta(job.sample)
        for member, entry in _members(meta, self.which):
            name = f"{_stem(key)}.{member.removesuffix('.npy')}.{self.format}"
            if name in self.present:
                summary.present += 1
                continue
            raw = _stored(job, meta, member=member, entry=entry)
            storage.write_atomic(storage.join(self.output, name), EXPORT_FORMATS[self.format](raw))
            summary.written += 1


def _members(meta: Mapping[str, Any], which: Collection[str]) -> list[tuple[str, Mapping[str, Any]]]:
    noisy: Sequence[Mapping[str, Any]] = meta["noisy"] if "noisy" in which else ()
    entries = [*noisy, *([meta["clean"]] if "clean" in which else [])]
    return [(entry["member"], entry) for entry in entries]


def _stored(job: _Job, meta: Mapping[str, Any], *, member: str, entry: Mapping[str, Any]) -> StoredRaw:
    """Read one image of a sample."""
    if member not in job.sample.members:
        raise CorpusError(f"{job.url} lacks {job.sample.key}.{member}: run rawsynth verify")
    (data,) = read_members(job.url, job.sample.key, {member: job.sample.members[member]}).values()
    dn = decode_dn(data)
    if dn.ndim != 3 or dn.shape[0] != 4:
        raise SampleError(f"{member}: wanted packed DN (4, h, w), got {dn.shape}; run rawsynth verify")
    is_noisy = entry is not meta["clean"]
    metadata = SampleMeta(meta, noisy=entry if is_noisy else []).raw()
    if metadata.camera is None and is_noisy:
        metadata = replace(metadata, camera=entry["noise"].get("camera"))
    facts = {name: meta[name] for name in ("key", "split", "source", "raw")} | {"image": entry}
    return StoredRaw(dn, Levels(**entry["levels"]), metadata, facts, meta["source"].get("orientation", 1))


def _stem(key: str) -> str:
    """Name of a sample's files: its key, cut where a file system would refuse it."""
    folder, slash, name = key.rpartition("/")
    if len(name) <= _LONGEST_STEM:
        return key
    return f"{folder}{slash}{name[:_LONGEST_STEM]}~{hashlib.sha256(key.encode()).hexdigest()[:12]}"
