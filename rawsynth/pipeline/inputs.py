"""What there is to read: what a folder, a pattern, a list file or one name stands for, listed once."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from braceexpand import braceexpand

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.local_files import listed_size
from rawsynth.pipeline.own_files import DATASET_FILE
from rawsynth.pipeline.record import RECORD_FOLDER
from rawsynth.pipeline.shards import TAR_SUFFIXES, InputFile, Listing
from rawsynth.raw.files import RAW_SUFFIXES

IMAGE_EXTENSIONS = (
    "jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "ppm", "pgm", "jp2", "avif", "heic", "gif", "jfif", "jpe",
    "heif", "hif",
)  # fmt: skip
LIST_SUFFIXES = (".txt", ".lst", ".list")
TABLE_SUFFIX = ".parquet"
_PACKED = (".zip", ".7z", ".rar", ".gz", ".xz", ".zst", ".bz2")
_MOST_NAMED = 3


def list_input(source: str, config: ReadConfig) -> Listing:
    """List an input.

    Raises:
        UsageError: it names no tar, no image and no Parquet file, or a corpus.
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
        _refuse_corpus(source, {path for path, _ in rows})
    else:
        root, name = _split_root(source)
        rows = [(name, storage.size(source))]
    tars = tuple(_checked(root, InputFile(path, size)) for path, size in rows if path.lower().endswith(TAR_SUFFIXES))
    images = tuple(_checked(root, file) for file in _with_siblings(root, rows, config.keep))
    tables: tuple[InputFile, ...] = ()
    # Beside tars or images in a folder, a table is about them, as img2dataset writes one for each tar.
    if not (tars or images) or source.lower().endswith((TABLE_SUFFIX, *LIST_SUFFIXES)):
        named = (row for row in rows if row[0].lower().endswith(TABLE_SUFFIX))
        tables = tuple(_checked(root, InputFile(path, size)) for path, size in named)
    if not (tars or images or tables):
        raise UsageError(
            f"no images and no tar shards in {source!r}{_told(rows)}. Give a folder with images "
            f"({', '.join(IMAGE_EXTENSIONS[:5])}, ...; dng, nef, ...), tars such as 'shards/{{000..009}}.tar', Parquet "
            "files that hold images, or a list file (.txt)."
        )
    return Listing(root, tars, images, tables)


def _refuse_corpus(source: str, paths: set[str]) -> None:
    """Raise UsageError for a corpus, whose tars hold RAW and no images."""
    if DATASET_FILE in paths and any(path.startswith(f"{RECORD_FOLDER}/") for path in paths):
        raise UsageError(f"input {source} is a corpus, RAW already; give the folder or tars of sRGB images.")


def _told(rows: list[tuple[str, int | None]]) -> str:
    """Say what was found that is none of these."""
    if not rows:
        return ": nothing is there, hidden files aside"
    names = [path for path, _ in rows]
    packed = next((name for name in names if name.lower().endswith(_PACKED)), None)
    if packed is not None:
        return f"; unpack {packed!r} first"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f", only {', '.join(map(repr, names[:_MOST_NAMED]))}{more}"


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
    """Return what lies in a folder; one that is not there has nothing to keep, and its images will fail by themselves.

    Raises:
        InputAccessError: it cannot be listed, so that what is to be kept would be lost without a word.
    """
    try:
        return storage.list_names(folder) if storage.exists(folder) else set()
    except InputAccessError as error:
        raise InputAccessError(f"cannot look for what is to be kept beside the images (--keep): {error}") from error


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
