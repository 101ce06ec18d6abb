"""Camera RAW files of an input with the JPEGs beside them, and the keys that their pairs get."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rawsynth import storage
from rawsynth.errors import UsageError
from rawsynth.raw.files import RAW_SUFFIXES
from rawsynth.storage.naming import escape_character, shortened

JPEG_SUFFIXES = ("jpg", "jpeg", "jpe")

_PATTERN = re.compile(r"[*?[]")


@dataclass(frozen=True)
class RawSource:
    """One camera RAW file of an input.

    Attributes:
        path: relative to the input.
        url: to read it from.
        jpegs: path and URL of the JPEGs with its stem in its folder; one whose stem agrees in case comes first.
    """

    path: str
    url: str
    jpegs: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Key of the file, legal in WebDataset and as a file name, and no other file's.

        >>> RawSource("trip/IMG 1.CR2", "").key
        'trip/IMG=201-CR2'
        """
        stem, _, suffix = self.path.rpartition(".")
        return "/".join(map(_safe, stem.split("/"))) + f"-{_safe(suffix)}"

    @property
    def file_name(self) -> str:
        """The key as one component of a path."""
        stem, dash, suffix = self.key.rpartition("-")
        return shortened(stem.replace("/", "=2F")) + dash + suffix

    @property
    def scene(self) -> str:
        """What the file shows: its path without the suffix, so that a RAW and its copy as DNG show the same."""
        return self.path.rpartition(".")[0]


def find_sources(location: str) -> list[RawSource]:
    """List the RAW files of a folder with its subfolders, of a pattern, or one by name; in the order of their paths.

    Hidden files and folders (a name that begins with a dot) are left out, as the shadow files that macOS makes are.

    Raises:
        UsageError: there is nothing there, or no RAW file in it.
        InputAccessError: it cannot be listed.
    """
    # What is there under just this name is meant, even if the name looks like a pattern.
    if storage.exists(location):
        if storage.is_folder(location):
            root, names = location.rstrip("/") or "/", [path for path, _ in storage.walk_files(location)]
            found = _sources(root, names)
        else:
            root, _, name = _whole(location).rpartition("/")
            names = list(storage.list_names(root or "/"))
            found = _sources(root or "/", names, only={name})
    elif _PATTERN.search(location):
        root, names, matches = _match(location)
        found = _sources(root, names, only=matches)
    else:
        raise UsageError(f"there is no {location}: give a folder with camera RAW files, a pattern, or one RAW file.")
    if not found:
        shown = ", ".join(f".{suffix}" for suffix in ("dng", "cr2", "cr3", "nef", "arw", "raf", "orf", "rw2"))
        alone = storage.exists(location) and not storage.is_folder(location)
        what = f"{location} is no camera RAW file" if alone else f"no camera RAW files among {len(names)} in {location}"
        raise UsageError(f"{what}: wanted {shown}, ...")
    return found


def _whole(url: str) -> str:
    """Return a URL in the form that listings of its store have; links stay, as their targets may be named otherwise."""
    fs, path = storage.resolve(url)
    return path if storage.is_local(url) else str(fs.unstrip_protocol(path))


def _match(pattern: str) -> tuple[str, list[str], set[str]]:
    """Return the root of a pattern, the files in the folders of its matches, and its matches, relative to the root."""
    fixed = _PATTERN.split(pattern, maxsplit=1)[0].rpartition("/")
    root = _whole(fixed[0] or fixed[1] or ".")
    matches = {url.removeprefix(root.rstrip("/") + "/") for url in storage.glob(pattern)}
    folders = sorted({posixpath.dirname(path) for path in matches})
    names = [
        posixpath.join(folder, name) for folder in folders for name in storage.list_names(storage.join(root, folder))
    ]
    return root, names, matches


def _sources(root: str, paths: Iterable[str], only: set[str] | None = None) -> list[RawSource]:
    shown = sorted(path for path in paths if not any(part.startswith(".") for part in path.split("/")))
    jpegs: dict[str, list[str]] = {}
    for path in shown:
        if _suffix(path) in JPEG_SUFFIXES:
            jpegs.setdefault(path.rpartition(".")[0].lower(), []).append(path)
    found = []
    for path in shown:
        if _suffix(path) in RAW_SUFFIXES and (only is None or path in only):
            stem = path.rpartition(".")[0]
            folder, beside = posixpath.dirname(path), jpegs.get(stem.lower(), [])
            beside = [jpeg for jpeg in beside if posixpath.dirname(jpeg) == folder]
            beside.sort(key=lambda jpeg: (jpeg.rpartition(".")[0] != stem, jpeg))
            found.append(
                RawSource(path, storage.join(root, path), tuple((jpeg, storage.join(root, jpeg)) for jpeg in beside))
            )
    return found


def _suffix(path: str) -> str:
    stem, dot, suffix = posixpath.basename(path).rpartition(".")
    return suffix.lower() if dot and stem else ""


def _safe(part: str) -> str:
    """Escape a component of a path: letters, digits and ``_`` stand for themselves, ``=`` and two digits for a byte."""
    return shortened(re.sub(r"\W", escape_character, part, flags=re.ASCII))
