"""Write a shard's samples to tar parts that appear under their names only when they are whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from rawsynth import storage
from rawsynth.pipeline.record import PartRecord


class ShardWriter:
    """Parts ``NAME-PP.tar``, or ``NAME-SPLIT-PP.tar``, of one shard.

    As a context manager: leaving with an exception leaves no part half-written under its name.
    """

    def __init__(self, corpus: str, shard: str, part_size: int, splits: Iterable[str] = ()) -> None:
        self.corpus, self.shard, self.part_size, self.splits = corpus, shard, part_size, tuple(splits)
        self._open: dict[str | None, _Part] = {}
        self._next: dict[str | None, int] = {}
        self._done: list[PartRecord] = []

    def write(self, key: str, members: Mapping[str, bytes], split: str | None = None) -> int:
        """Append one sample; its members stay in one part.

        Returns:
            Bytes that it takes in the archive.

        Raises:
            OutputError: the part cannot be written.
        """
        entries = storage.tar_entries(key, members)
        part = self._open.get(split)
        if part is not None and part.samples and part.size + len(entries) > self.part_size:
            self._done.append(part.finish())
            part = None
        if part is None:
            part = self._open[split] = self._start(split)
        part.write(entries)
        return len(entries)

    def _start(self, split: str | None) -> _Part:
        index = self._next.get(split, 0)
        self._next[split] = index + 1
        return _Part(self.corpus, part_name(self.shard, split, index), split)

    def finish(self) -> list[PartRecord]:
        """Commit what is open and return all parts: by split, and within one in the order of their samples."""
        for part in self._open.values():
            self._done.append(part.finish())
        self._open.clear()
        self._remove_leftovers()
        return sorted(self._done, key=lambda part: (part.split or "", len(part.name), part.name))

    def _remove_leftovers(self) -> None:
        """Remove higher-numbered parts of an earlier attempt; numbers run without gaps, so the first gap ends them."""
        for split in {None, *self._next, *self.splits}:
            index = self._next.get(split, 0)
            while storage.exists(url := storage.join(self.corpus, part_name(self.shard, split, index))):
                storage.remove(url)
                index += 1

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._open.values():
            part.abort()


class _Part(storage.TarFile):
    """One open part."""

    def __init__(self, corpus: str, name: str, split: str | None) -> None:
        super().__init__(storage.join(corpus, name))
        self.name, self.split = name, split

    def finish(self) -> PartRecord:
        """Commit it and say what it holds."""
        self.commit()
        return PartRecord(self.name, self.file.bytes_written, self.file.sha256.hexdigest(), self.samples, self.split)


def part_name(shard: str, split: str | None, index: int) -> str:
    """Name of a part in its corpus."""
    return f"{shard}-{index:02d}.tar" if split is None else f"{shard}-{split}-{index:02d}.tar"
