"""Dark frames as people keep them: folders, patterns and tars of frames, with a word on what the files cannot say.

Read are all files that :func:`rawsynth.raw.frames.decode_frame` can decode, in the order of their names, and the
members of tars (WebDataset). A DNG or another camera RAW says all that is needed. For PNG, TIFF and NPY a JSON states
``cfa``, ``white_level`` and, where they are known, ``black_level`` and ``iso``: ``NAME.json`` beside ``NAME.npy`` (in a
tar too), or ``frames.json`` for all that lies below its folder, looked for up to the folder above the one that all
frames share. What a JSON states stands above what the file says; an ISO that nothing else states may stand in the path
(``iso800``), in the name of that shared folder or below it.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from braceexpand import braceexpand

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.frames import FRAME_SUFFIXES, Frame, decode_frame

COMMON_FILE = "frames.json"
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_ENDINGS = tuple(f".{suffix}" for suffix in FRAME_SUFFIXES)
_ISO = re.compile(r"(?<![a-z0-9])iso[ _-]?([1-9]\d*)")
_ARCHIVE_FAULTS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, UnicodeDecodeError, ValueError)
_NAMED = 3

_Stated = dict[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _Entry:
    """One file or tar member: its name below the shared folder, its bytes, what a JSON states of it."""

    name: str
    data: bytes
    stated: Mapping[str, Any]


def read_dark_frames(url: str) -> Iterator[Frame]:
    """Yield the dark frames of a folder, a pattern (``*``, ``?``, ``[...]``, ``{000..009}``), a tar or one file.

    Returns:
        Frames with the fields that a JSON or the path adds; ``name`` is the path below the folder that all share.

    Raises:
        UsageError: there are none, a frame or JSON cannot be read, or a tar is damaged or cut short.
        InputAccessError: something cannot be reached.
    """
    urls = _files(url)
    prefix = os.path.commonprefix(urls).rpartition("/")[0]
    top, _, shared = prefix.rpartition("/")
    found, others = 0, list[str]()
    known: _Stated = {}
    for file in urls:
        for entry in _entries(file, file[len(prefix) :].lstrip("/"), top, known):
            if not entry.name.lower().endswith(_ENDINGS):
                others.append(entry.name)
                continue
            found += 1
            yield _frame(entry, f"{shared} {entry.name}")
    if not found:
        raise UsageError(
            f"dark frames {url}: no frame in {counted(len(urls), 'file')}. Give a folder, a pattern or tars of dark "
            f"frames ({', '.join(FRAME_SUFFIXES[:5])}, or camera RAW such as dng, nef, cr3, arw), taken with cap on."
        )
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        warnings.warn(f"dark frames {url}: not frames, left out: {', '.join(others[:_NAMED])}{more}", stacklevel=2)


def _files(url: str) -> list[str]:
    expanded = list(chain.from_iterable(_matches(pattern) for pattern in braceexpand(url)))
    shown = [file for file in expanded if not file.rpartition("/")[2].startswith(".")]
    return sorted(dict.fromkeys(shown))


def _matches(pattern: str) -> list[str]:
    if any(sign in pattern for sign in "*?["):
        return [match for match in storage.glob(pattern) if not storage.is_folder(match)]
    if not storage.is_folder(pattern):
        if not storage.exists(pattern):
            raise InputAccessError(f"dark frames {pattern}: no such file or folder.")
        return [pattern]
    paths = [path for path, _ in storage.walk_files(pattern)]
    return [storage.join(pattern, path) for path in paths if not any(p.startswith(".") for p in path.split("/"))]


def _entries(file: str, name: str, top: str, known: _Stated) -> Iterator[_Entry]:
    lower, folder = file.lower(), file.rpartition("/")[0]
    if lower.endswith(_TAR_SUFFIXES):
        common = _stated_for_all(folder, top, known)
        for member, data, stated in _tar_samples(file):
            yield _Entry(f"{name}:{member}", data, {**common, **stated})
    elif lower.endswith(_ENDINGS):
        own = f"{file.rpartition('.')[0]}.json"
        stated = _parsed(storage.read_bytes(own), own) if storage.exists(own) else {}
        yield _Entry(name, storage.read_bytes(file), {**_stated_for_all(folder, top, known), **stated})
    elif not lower.endswith(".json"):
        yield _Entry(name, b"", {})


def _stated_for_all(folder: str, top: str, known: _Stated) -> Mapping[str, Any]:
    """Read the nearest ``frames.json``, from a file's own folder up to the top one."""
    if folder not in known:
        common = storage.join(folder, COMMON_FILE)
        if storage.exists(common):
            known[folder] = _parsed(storage.read_bytes(common), common)
        elif len(folder) <= len(top) or "/" not in folder:
            known[folder] = {}
        else:
            known[folder] = _stated_for_all(folder.rpartition("/")[0], top, known)
    return known[folder]


def _tar_samples(url: str) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Yield a tar's members but for JSON, each with what its sample's JSON states; members of a sample are adjacent."""
    key: str | None = None
    members: dict[str, bytes] = {}
    for name, data in chain(_tar_members(url), [("", b"")]):
        folder, slash, base = name.rpartition("/")
        own = f"{folder}{slash}{base.partition('.')[0]}"
        if own != key or not name:
            described = next((member for member in members if member.lower().endswith(".json")), None)
            stated = {} if described is None else _parsed(members.pop(described), f"{url}:{described}")
            if described is not None and not members:
                raise UsageError(
                    f"dark frames {url}: no frame stands next to {described}. The members of a sample are adjacent and "
                    f"share their name; what holds for all stands in {COMMON_FILE} beside the tar."
                )
            yield from ((member, content, stated) for member, content in members.items())
            key, members = own, {}
        if name:
            members[name] = data


def _tar_members(url: str) -> Iterator[tuple[str, bytes]]:
    with storage.open_read(url) as stream:
        try:
            archive = tarfile.open(fileobj=stream, mode="r:*")
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]
                handle = archive.extractfile(member) if member.isreg() else None
                if handle is None:
                    continue
                data = handle.read()
                if len(data) != member.size:
                    raise tarfile.ReadError(f"{member.name} has {len(data)} of {member.size} bytes")
                yield member.name, data
            # tarfile takes the end of the file for the archive's; a tar cut between members would read as whole.
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
                raise tarfile.ReadError("the end-of-archive mark is missing")
        except _ARCHIVE_FAULTS as error:
            if stream.failure is not None:
                raise stream.failure from error
            cause = " ".join(str(error).split())
            raise UsageError(f"dark frames {url}: tar damaged or cut short: {cause}. Copy it again.") from error


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
        if not isinstance(parsed, dict):
            raise ValueError(f"wanted an object, got {type(parsed).__name__}")
        return parsed
    except ValueError as error:
        raise UsageError(f"{where}: no JSON of a dark frame: {error}") from error


def _frame(entry: _Entry, path: str) -> Frame:
    try:
        frame = decode_frame(entry.data, entry.name)
    except SampleError as error:
        raise UsageError(f"dark frames: {str(error).rstrip('.')}. Replace the file or take it out.") from error
    stated = {key: entry.stated[key] for key in ("iso", "black_level", "white_level") if key in entry.stated}
    for key, value in stated.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**20:
            raise UsageError(f"dark frame {entry.name}: its JSON's {key} is a number; got {value!r}.")
    if "cfa" in entry.stated:
        stated["cfa"] = check_cfa(entry.stated["cfa"])
    named = _ISO.findall(re.sub("[/:_]", " ", path.lower()))
    if named and stated.get("iso", frame.iso) is None:
        # The part nearest to the file decides.
        stated["iso"] = float(named[-1])
    return replace(frame, **stated)
