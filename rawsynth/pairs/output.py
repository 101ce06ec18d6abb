"""The folder that pairs are written to: numbered tars, pictures of what was rejected, and the outcome last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import UsageError
from rawsynth.raw.codecs import Members
from rawsynth.raw.files import RAW_SUFFIXES

OUTCOME, REJECTED = "pairs.json", "rejected"

_PART = re.compile(r"pairs-\d{5}\.tar")
_PICTURE = re.compile(rf"[\w=]+-({'|'.join(RAW_SUFFIXES)})\.jpg", re.ASCII | re.IGNORECASE)


class PairFolder:
    """Folder of pairs being written; what is in it appears under its name only when it is whole.

    Args:
        url: where.
        part_size: bytes from which on a tar is closed and another begun.
        overwrite: remove what an earlier run has left there; anything else stays.

    Attributes:
        parts: name, pairs, bytes and checksum of the tars that are whole.

    Raises:
        UsageError: it is a file, or holds something and ``overwrite`` was not asked for.
        OutputError: it cannot be written.
    """

    def __init__(self, url: str, *, part_size: int, overwrite: bool) -> None:
        self.url, self._part_size = url, part_size
        self.parts: list[dict[str, Any]] = []
        self._part: storage.TarFile | None = None
        _make_room(url, overwrite)
        storage.prepare_folder(url)
        storage.remove_stale(url)

    def write_pair(self, key: str, members: Members) -> None:
        """Append one pair."""
        if self._part is None:
            self._part = storage.TarFile(storage.join(self.url, self._part_name()))
        self._part.write(storage.tar_entries(key, members))
        if self._part.size >= self._part_size:
            self._close_part()

    def write_picture(self, name: str, picture: bytes) -> str:
        """Write the picture of a rejected file; returns its path in the folder."""
        path = f"{REJECTED}/{name}.jpg"
        storage.write_atomic(storage.join(self.url, path), picture)
        return path

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Close the last tar and write the outcome, which says that the folder is complete."""
        if self._part is not None:
            self._close_part()
        document = json.dumps({**outcome, "parts": self.parts}, indent=1, allow_nan=False)
        storage.write_atomic(storage.join(self.url, OUTCOME), document.encode("ascii") + b"\n")

    def abort(self) -> None:
        """Drop the tar that is being written."""
        if self._part is not None:
            self._part.abort()

    def _part_name(self) -> str:
        return f"pairs-{len(self.parts):05d}.tar"

    def _close_part(self) -> None:
        part, self._part = self._part, None
        assert part is not None
        name = self._part_name()
        try:
            part.commit()
        except BaseException:
            part.abort()
            raise
        file = part.file
        self.parts.append(
            {"name": name, "pairs": part.samples, "bytes": file.bytes_written, "sha256": file.sha256.hexdigest()}
        )


def _make_room(url: str, overwrite: bool) -> None:
    if not storage.exists(url):
        return
    if not storage.is_folder(url):
        raise UsageError(f"output {url} is a file; name a folder.")
    names = sorted(name for name in storage.list_names(url) if not name.startswith("."))
    if names and not overwrite:
        left = "" if OUTCOME in names or not any(map(_PART.fullmatch, names)) else " of a run that did not end"
        raise UsageError(
            f"output {url} holds {counted(len(names), 'file')}{left} ({', '.join(names[:3])}, ...): "
            "name an empty folder, or pass --overwrite to replace the pairs in it."
        )
    # The outcome goes first: without it, no half-removed folder passes for a complete one.
    own = [name for name in names if name == OUTCOME] + [name for name in names if _PART.fullmatch(name)]
    if REJECTED in names:
        pictures = storage.list_names(storage.join(url, REJECTED))
        own += [f"{REJECTED}/{name}" for name in sorted(pictures) if _PICTURE.fullmatch(name)]
    for name in own:
        storage.remove(storage.join(url, name))
