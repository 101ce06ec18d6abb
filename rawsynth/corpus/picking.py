"""Pick samples of a corpus to look at, spread over its parts or by key; what is damaged costs no other sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rawsynth import storage
from rawsynth.corpus.access import CorpusIndex
from rawsynth.corpus.part import Seekable, StoredSample, open_sparsely, walk_samples
from rawsynth.corpus.ranges import read_members
from rawsynth.corpus.reading import list_parts
from rawsynth.errors import CorpusError, InputAccessError, UnknownKeyError

_AGAIN = "#"
# More than any sample has; a damaged header may state any size.
_LARGEST_MEMBER = 1 << 30
Places = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Picked:
    """One sample, its members undecoded.

    Attributes:
        key: the sample's key.
        realization: which of its noisy images is meant, from 0.
        part: URL of the tar that holds it.
        members: bytes by extension.
    """

    key: str
    realization: int
    part: str
    members: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """Key of the pair: ``KEY``, or ``KEY#1`` for a further realization."""
        return pair_name(self.key, self.realization)


@dataclass(frozen=True)
class Damaged:
    """A sample, or the rest of a part, that cannot be read."""

    name: str
    cause: str


def pair_name(key: str, realization: int) -> str:
    """Return the key of a pair, as :class:`~rawsynth.CorpusIndex` has it."""
    return f"{key}{_AGAIN}{realization}" if realization else key


def pick_first(corpus: str, count: int) -> Iterator[Picked | Damaged]:
    """Yield the first samples of parts that are spread evenly over the corpus, in its order.

    Args:
        corpus: folder or URL of a corpus, or tars as :func:`~rawsynth.open_corpus` takes them.
        count: at most so many samples, the damaged ones included.

    Raises:
        UsageError, CorpusError: there is no corpus, or a record is damaged.
        InputAccessError: it cannot be reached.
    """
    parts = list(list_parts([corpus], None))
    chosen = _spread(parts, count)
    for index, part in enumerate(chosen):
        # A part that has fewer leaves its share to those behind it.
        share = -(-count // (len(chosen) - index))
        for found in _walk(part, share):
            yield found
            count -= 1


def pick_keys(corpus: str, keys: Sequence[str]) -> list[Picked | Damaged]:
    """Return samples by their keys, in that order: by the index where there is one, by the tars' headers otherwise.

    Args:
        corpus: folder or URL of a corpus, or tars.
        keys: ``KEY``, or ``KEY#1``, ``KEY#2``, ... for further noisy images of it.

    Raises:
        UnknownKeyError: the corpus has no such sample.
        UsageError, CorpusError, InputAccessError: as :func:`pick_first`.
    """
    wanted = {key: _split(key) for key in keys}
    found = _by_index(corpus, wanted)
    if found is None:
        found = {}
        for one in _by_headers(corpus, {stem for stem, _ in wanted.values()}):
            for key, (stem, realization) in wanted.items():
                if stem == one.name:
                    found[key] = replace(one, realization=realization) if isinstance(one, Picked) else one
    missing = [key for key in keys if key not in found]
    if missing:
        raise UnknownKeyError(
            f"{corpus} has no sample {missing[0]!r}. `rawsynth index {corpus}` lists all keys in index.jsonl; "
            "`rawsynth status` says whether all shards are done."
        )
    return [found[key] for key in dict.fromkeys(keys)]


def _spread(parts: Sequence[str], count: int) -> list[str]:
    wanted = min(len(parts), count)
    return [parts[k * len(parts) // wanted] for k in range(wanted)]


def _split(key: str) -> tuple[str, int]:
    stem, again, number = key.partition(_AGAIN)
    return (stem, int(number)) if again and number.isdecimal() else (key, 0)


def _walk(part: str, most: int, wanted: Iterable[str] | None = None) -> Iterator[Picked | Damaged]:
    """Yield samples of a part, of some keys or all, and what ends it early as damage."""
    if most <= 0:
        return
    keys = None if wanted is None else set(wanted)
    try:
        with open_sparsely(part) as stream:
            for sample in walk_samples(stream):
                if keys is not None and sample.key not in keys:
                    continue
                yield _read(part, sample, stream)
                most -= 1
                if most <= 0:
                    return
    except (CorpusError, InputAccessError) as error:
        yield Damaged(part, str(error))


def _read(part: str, sample: StoredSample, stream: Seekable) -> Picked | Damaged:
    if sample.faults:
        return Damaged(sample.key, "; ".join(sample.faults))
    members = {}
    for name, (offset, size) in sample.members.items():
        if size > _LARGEST_MEMBER:
            return Damaged(sample.key, f"{name} has {size} bytes by its header")
        stream.seek(offset)
        members[name] = stream.read(size)
        if len(members[name]) != size:
            return Damaged(sample.key, f"{name} is cut short: {len(members[name])} bytes of {size}")
    return Picked(sample.key, 0, part, members)


def _by_index(corpus: str, wanted: Mapping[str, tuple[str, int]]) -> dict[str, Picked | Damaged] | None:
    """Read samples where the index says that they are; ``None`` where there is no index that fits the corpus."""
    found: dict[str, Picked | Damaged] = {}
    try:
        index = CorpusIndex.open(corpus)
        for key, (stem, realization) in wanted.items():
            if key not in index:
                continue
            row = index.row(key)
            part = storage.join(corpus, row["part"])
            members = read_members(part, stem, {name: (at, size) for name, (at, size) in row["members"].items()})
            found[key] = Picked(stem, realization, part, members)
    except CorpusError:
        # Made anew since it was written, or damaged: the tars themselves are asked.
        return None
    return found


def _by_headers(corpus: str, keys: set[str]) -> Iterator[Picked | Damaged]:
    left = set(keys)
    for part in list_parts([corpus], None):
        if not left:
            return
        for one in _walk(part, len(left), left):
            if one.name in left:
                left.discard(one.name)
                yield one
