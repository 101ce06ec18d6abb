"""Shards: what an input names, grouped into units of work and frozen.

A tar is a shard, and so is a Parquet file. Image files are grouped into virtual shards in their paths' order. The plan
is stored in ``dataset.json``; a resumed run reads it from there, so files that come or go change nothing unless they
are asked for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline import keys
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.stated import check_inside, stated

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class InputFile:
    """One file to read: path relative to the root, size (None where it could not be had), siblings to keep."""

    path: str
    size: int | None
    siblings: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> list[Any]:
        """Return ``[path, size]``, with the siblings' ``{extension: path}`` if there are any."""
        row: list[Any] = [self.path, self.size]
        return [*row, dict(self.siblings)] if self.siblings else row

    @classmethod
    def from_json(cls, row: list[Any]) -> InputFile:
        """Read what :meth:`to_json` wrote; raises UsageError for anything else."""
        siblings = tuple(row[2].items()) if len(row) > 2 else ()
        return stated(cls, {"path": row[0], "size": row[1], "siblings": siblings})


@dataclass(frozen=True)
class Shard:
    """Unit of work, retry and resume: one tar, one Parquet file, or a run of image files.

    Attributes:
        name: of its parts and its record.
        kind: ``"tar"``, ``"parquet"`` or ``"images"``.
        root: what the files' paths are relative to, as the user wrote it; it goes into the samples' metadata.
        files: what to read.
        limit: only the first so many images.
        base: the root as an absolute place, where a resumed run finds the files from any working directory.
    """

    name: str
    kind: str
    root: str
    files: tuple[InputFile, ...]
    limit: int | None = None
    base: str | None = None

    @property
    def size(self) -> int:
        """Bytes to read, as far as known."""
        return sum(f.size or 0 for f in self.files)

    @property
    def place(self) -> str:
        """Folder to read from."""
        return self.root if self.base is None else self.base

    def url(self, file: InputFile) -> str:
        """URL to read one of the files from."""
        return storage.join(self.place, file.path)

    def source_url(self, file: InputFile) -> str:
        """URL of one of the files as the metadata state it."""
        return storage.join(self.root, file.path)

    def to_json(self) -> dict[str, Any]:
        """Return the shard as a JSON object; the root stands once in ``dataset.json``."""
        limit = {} if self.limit is None else {"limit": self.limit}
        return {"name": self.name, "kind": self.kind, "files": [f.to_json() for f in self.files], **limit}

    @classmethod
    def from_json(cls, data: dict[str, Any], root: str, base: str | None = None) -> Shard:
        """Read what :meth:`to_json` wrote.

        Raises:
            UsageError, LookupError, TypeError, AttributeError: it is something else.
        """
        files = tuple(InputFile.from_json(row) for row in data["files"])
        shard = stated(cls, {**data, "files": files, "root": root, "base": base})
        if shard.kind not in ("tar", "parquet", "images") or shard.kind != "images" and len(files) != 1:
            raise UsageError(f"shard {shard.name} is of kind {shard.kind!r}, with {len(files)} files")
        check_inside(shard.name)
        return shard


@dataclass(frozen=True)
class Listing:
    """Files that an input names, relative to its root."""

    root: str
    tars: tuple[InputFile, ...]
    images: tuple[InputFile, ...]
    tables: tuple[InputFile, ...] = ()


def plan_shards(listing: Listing, config: ReadConfig, known: Iterable[Shard] = ()) -> list[Shard]:
    """Group what ``known`` shards do not hold yet into new shards; names never repeat."""
    known = list(known)
    taken = {file.path for shard in known for file in shard.files}
    archives = [("tar", f) for f in listing.tars] + [("parquet", f) for f in listing.tables]
    whole = [(kind, f) for kind, f in archives if f.path not in taken]
    images = [f for f in listing.images if f.path not in taken]
    splits = tuple(config.splits)
    names = {name for shard in known for name in _part_names(shard.name, splits)}
    shards = [Shard(_unique(_whole_name(f.path), names, splits), kind, listing.root, (f,)) for kind, f in whole]
    next_index = sum(shard.kind == "images" for shard in known)
    for index, start in enumerate(range(0, len(images), config.images_per_shard), next_index):
        group = tuple(images[start : start + config.images_per_shard])
        shards.append(Shard(_unique(f"images-{index:05d}", names, splits), "images", listing.root, group))
    return shards


def apply_limit(shards: list[Shard], limit: int | None, count: Callable[[Shard, int], int]) -> list[Shard]:
    """Keep the first ``limit`` source images; ``count(shard, limit)`` counts those of a tar or a Parquet file."""
    if limit is None:
        return shards
    kept: list[Shard] = []
    for shard in shards:
        if limit <= 0:
            break
        if shard.kind == "images":
            shard = replace(shard, files=shard.files[:limit])
            limit -= len(shard.files)
        else:
            try:
                shard = replace(shard, limit=count(shard, limit))
            except InputAccessError:
                # Its shard will fail and be tried again; then it may give what is still missing.
                kept.append(replace(shard, limit=limit))
                continue
            limit -= shard.limit or 0
        kept.append(shard)
    return kept


def _whole_name(path: str) -> str:
    """Name the shard that one file is after it."""
    suffix = next((s for s in TAR_SUFFIXES if path.lower().endswith(s)), ".parquet")
    return keys.escape(re.sub(r"^[a-z0-9]+://|^/+", "", path[: -len(suffix)]).lstrip("/")) or suffix.split(".")[1]


def _part_names(shard: str, splits: tuple[str, ...]) -> set[str]:
    """What the names of a shard's record and parts begin with; those of another must not."""
    return {shard, *(f"{shard}-{split}" for split in splits)}


def _unique(name: str, names: set[str], splits: tuple[str, ...]) -> str:
    candidates = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    chosen = next(c for c in candidates if names.isdisjoint(_part_names(c, splits)))
    names |= _part_names(chosen, splits)
    return chosen
