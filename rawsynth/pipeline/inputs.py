"""What there is to read: inputs listed once, grouped into shards and frozen.

A tar is a shard. Image files, from a folder, a pattern or a list, are grouped into virtual shards in their paths'
order. The plan is stored in ``dataset.json``; a resumed run reads it from there, so files that come or go change
nothing unless the user asks to extend.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from braceexpand import braceexpand

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline import keys
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.local_files import listed_size
from rawsynth.pipeline.stated import check_inside, stated
from rawsynth.raw.files import RAW_SUFFIXES

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "ppm", "pgm", "jp2", "avif", "heic", "gif")
LIST_SUFFIXES = (".txt", ".lst", ".list")


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
    """Unit of work, retry and resume: one tar, or a run of image files.

    Attributes:
        name: of its parts and its record.
        kind: ``"tar"`` or ``"images"``.
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
        if shard.kind not in ("tar", "images") or shard.kind == "tar" and len(files) != 1:
            raise UsageError(f"shard {shard.name} is of kind {shard.kind!r}, with {len(files)} files")
        check_inside(shard.name)
        return shard


@dataclass(frozen=True)
class Listing:
    """Files that an input names, relative to its root."""

    root: str
    tars: tuple[InputFile, ...]
    images: tuple[InputFile, ...]


def list_input(source: str, config: ReadConfig) -> Listing:
    """List an input.

    Raises:
        UsageError: it names no tar and no image.
        InputAccessError: it cannot be listed, or names what is no file, such as a pipe.
    """
    # What is there under just this name is meant, even if the name looks like a pattern.
    if is_pattern(source) and not storage.exists(source):
        root, rows = _expand_pattern(source)
    elif source.lower().endswith(LIST_SUFFIXES) and not storage.is_folder(source):
        root, rows = _read_list(source)
    elif storage.is_folder(source):
        root = source.rstrip("/") or "/"
        rows = [row for row in storage.walk_files(source) if not is_hidden(row[0])]
    else:
        root, name = _split_root(source)
        rows = [(name, storage.size(source))]
    tars = tuple(_checked(root, InputFile(path, size)) for path, size in rows if path.lower().endswith(TAR_SUFFIXES))
    images = tuple(_checked(root, file) for file in _with_siblings(root, rows, config.keep))
    if not tars and not images:
        raise UsageError(
            f"no images and no tar shards in {source!r} ({len(rows)} files). Give a folder with images "
            f"({', '.join(IMAGE_EXTENSIONS[:5])}, ...; dng, nef, ...), tars such as 'shards/{{000..009}}.tar', or a "
            "list file (.txt)."
        )
    return Listing(root, tars, images)


def plan_shards(listing: Listing, config: ReadConfig, known: Iterable[Shard] = ()) -> list[Shard]:
    """Group what ``known`` shards do not hold yet into new shards; names never repeat."""
    known = list(known)
    taken = {file.path for shard in known for file in shard.files}
    tars = [f for f in listing.tars if f.path not in taken]
    images = [f for f in listing.images if f.path not in taken]
    splits = tuple(config.splits)
    names = {name for shard in known for name in _part_names(shard.name, splits)}
    shards = [Shard(_unique(_tar_name(f.path), names, splits), "tar", listing.root, (f,)) for f in tars]
    next_index = sum(shard.kind == "images" for shard in known)
    for index, start in enumerate(range(0, len(images), config.images_per_shard), next_index):
        group = tuple(images[start : start + config.images_per_shard])
        shards.append(Shard(_unique(f"images-{index:05d}", names, splits), "images", listing.root, group))
    return shards


def apply_limit(shards: list[Shard], limit: int | None, count: Any) -> list[Shard]:
    """Keep the first ``limit`` source images; ``count(shard, limit)`` counts those of a tar."""
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


def is_hidden(path: str) -> bool:
    """Whether a file or one of its folders is hidden: its name begins with a dot."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def is_pattern(source: str) -> bool:
    """Whether a name holds braces or wildcards."""
    return any(char in source for char in "{*?[")


def _checked(root: str, file: InputFile) -> InputFile:
    """Refuse what is no file before it stands in a plan, which could never be finished."""
    return replace(file, size=listed_size(storage.join(root, file.path), file.size))


def _with_siblings(root: str, rows: list[tuple[str, int | None]], keep: tuple[str, ...]) -> Iterator[InputFile]:
    beside: dict[str, set[str]] = {}
    named = [(*path.rpartition(".")[::2], path, size) for path, size in rows]
    pictures = {stem for stem, extension, _, _ in named if extension.lower() in IMAGE_EXTENSIONS}
    for stem, extension, path, size in named:
        # Of a shot that is there twice, the picture is the source, as it is in a tar.
        sources = IMAGE_EXTENSIONS if stem in pictures else RAW_SUFFIXES
        if extension.lower() not in sources or extension.lower() in keep:
            continue
        found: tuple[tuple[str, str], ...] = ()
        if keep:
            folder, slash, name = stem.rpartition("/")
            if folder not in beside:
                beside[folder] = _names_in(storage.join(root, folder + slash) if slash else root or ".")
            found = tuple((e, f"{stem}.{e}") for e in keep if f"{name}.{e}" in beside[folder])
        yield InputFile(path, size, found)


def _names_in(folder: str) -> set[str]:
    """A folder out of reach has nothing to keep; its images will fail their shard by themselves."""
    try:
        return storage.list_names(folder)
    except InputAccessError:
        return set()


def _expand_pattern(pattern: str) -> tuple[str, list[tuple[str, int | None]]]:
    fixed = re.split(r"[{*?\[]", pattern, maxsplit=1)[0]
    root, _ = _split_root(fixed + "x")
    try:
        expanded = list(braceexpand(pattern))
    except ValueError as error:
        raise UsageError(f"input pattern {pattern!r}: unbalanced braces.") from error
    rows: dict[str, int | None] = {}
    for url in expanded:
        wild = re.search(r"[*?\[]", url) is not None
        for match in storage.glob(url) if wild else [url]:
            path = _relative(match, root)
            if not (wild and (is_hidden(path) or _is_local_folder(match))):
                rows[path] = _size_or_unknown(match)
    return root, list(rows.items())


def _is_local_folder(url: str) -> bool:
    """Stores without folders would be asked once more for each file."""
    return storage.is_local(url) and storage.is_folder(url)


def _read_list(source: str) -> tuple[str, list[tuple[str, int | None]]]:
    try:
        text = storage.read_bytes(source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"list file {source} is not UTF-8 text: byte {error.start}.") from error
    if "\0" in text:
        # No file can have such a name; in a plan, it would be tried again for ever.
        line = text[: text.index("\0")].count("\n") + 1
        raise UsageError(f"list file {source} holds a zero byte, on line {line}.")
    lines = (line.strip() for line in text.splitlines())
    root, _ = _split_root(source)
    named = (line for line in lines if line and not line.startswith("#"))
    paths = dict.fromkeys(line if "://" in line else posixpath.normpath(line) for line in named)
    return root, [(path, _size_or_unknown(storage.join(root, path))) for path in paths]


def _size_or_unknown(url: str) -> int | None:
    """An input named explicitly but out of reach stays in the plan: its shard fails and is retried."""
    try:
        return storage.size(url)
    except InputAccessError:
        return None


def _split_root(url: str) -> tuple[str, str]:
    head, slash, name = url.rpartition("/")
    return (head or "/") if slash else "", name


def _relative(url: str, root: str) -> str:
    path, folder = storage.resolve(url)[1], storage.resolve(root or ".")[1].rstrip("/") + "/"
    return path[len(folder) :] if path.startswith(folder) else url


def _tar_name(path: str) -> str:
    lowered = path.lower()
    suffix = next(s for s in TAR_SUFFIXES if lowered.endswith(s))
    return keys.escape(re.sub(r"^[a-z0-9]+://|^/+", "", path[: -len(suffix)]).lstrip("/")) or "tar"


def _part_names(shard: str, splits: tuple[str, ...]) -> set[str]:
    """What the names of a shard's record and parts begin with; those of another must not."""
    return {shard, *(f"{shard}-{split}" for split in splits)}


def _unique(name: str, names: set[str], splits: tuple[str, ...]) -> str:
    candidates = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    chosen = next(c for c in candidates if names.isdisjoint(_part_names(c, splits)))
    names |= _part_names(chosen, splits)
    return chosen
