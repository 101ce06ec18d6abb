"""Check one part of a corpus against its record, in one pass over its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.corpus.index_rows import IndexedPart, encode_line, index_row, parse_meta
from rawsynth.corpus.part import END_MARK, OncePassed, StoredSample, walk_samples
from rawsynth.counting import counted
from rawsynth.errors import CorpusError, InputAccessError


@dataclass
class PartFindings:
    """What a part holds.

    Attributes:
        indexed: the part and its shard.
        problems: one line each.
        keys: of its samples, in order.
        rows: checksum of the lines that an index has of it.
    """

    indexed: IndexedPart
    problems: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    rows: str = ""


@dataclass(frozen=True)
class Members:
    """Extensions that every sample has, and those that it may have."""

    needed: frozenset[str]
    allowed: frozenset[str]

    def faults(self, sample: StoredSample) -> Iterator[str]:
        """Yield what is wrong with a sample's members."""
        found = sample.members.keys()
        yield from (f"sample {sample.key}: {fault}" for fault in sample.faults)
        if self.needed - found:
            yield f"sample {sample.key} lacks {', '.join(sorted(self.needed - found))}"
        if found - self.needed - self.allowed:
            unknown = ", ".join(sorted(found - self.needed - self.allowed))
            yield f"sample {sample.key} has {unknown}, which its record does not know"


def check_part(corpus: str, indexed: IndexedPart, members: Members) -> PartFindings:
    """Compare a part with its record: bytes, checksum, samples and what each of them has."""
    findings = PartFindings(indexed)
    try:
        with storage.open_read(storage.join(corpus, indexed.part.name)) as stream:
            once = OncePassed(stream)
            inside = list(_check_samples(once, findings, members))
            once.finish()
        # A missing end is met twice.
        findings.problems += dict.fromkeys([*_check_bytes(once, indexed), *inside])
    except InputAccessError as error:
        findings.problems.append(str(error))
    return findings


def _check_bytes(once: OncePassed, indexed: IndexedPart) -> Iterator[str]:
    if once.size != indexed.part.bytes:
        yield f"{once.size} bytes, its record says {indexed.part.bytes}"
    if once.sha256.hexdigest() != indexed.part.sha256:
        yield "its sha256 is not the record's"
    if once.tail != END_MARK:
        yield "the end-of-archive mark is missing"


def _check_samples(once: OncePassed, findings: PartFindings, members: Members) -> Iterator[str]:
    part, rows = findings.indexed.part, hashlib.sha256()
    try:
        for sample in walk_samples(once):
            findings.keys.append(sample.key)
            yield from members.faults(sample)
            if sample.json is not None:
                try:
                    rows.update(encode_line(index_row(findings.indexed, sample, parse_meta(sample))))
                except CorpusError as error:
                    yield str(error)
    except CorpusError as error:
        yield str(error)
    findings.rows = rows.hexdigest()
    if not findings.keys:
        yield "it holds no sample"
    if len(findings.keys) != part.samples:
        yield f"{counted(len(findings.keys), 'sample')}, its record says {part.samples}"
